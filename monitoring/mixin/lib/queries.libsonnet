// Targets of panels: PromQL over the templated data source.
{
  datasource:: { type: 'prometheus', uid: '${datasource}' },

  local target(expr, legend) = {
    datasource: $.datasource,
    editorMode: 'code',
    expr: expr,
    legendFormat: legend,
  },

  // A line over time.
  range(expr, legend='__auto'):: target(expr, legend) { range: true, instant: false, format: 'time_series' },

  // One value now.
  instant(expr, legend='__auto'):: target(expr, legend) { range: false, instant: true, format: 'time_series' },

  // Rows of a table now.
  table(expr):: target(expr, '') { range: false, instant: true, format: 'table' },

  // Buckets of a histogram over time; Grafana reads the limits from the legend.
  buckets(expr):: target(expr, '{{le}}') { range: true, instant: false, format: 'heatmap' },
}
