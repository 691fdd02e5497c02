// A dashboard: its panels in rows, its variables, annotations and links.
local queries = import 'queries.libsonnet';

{
  // Panels side by side. A panel may have a `width`; the others share what is left of 24.
  row(height, panels):: { height: height, panels: panels },

  // Rows behind one line that opens with a click.
  folded(title, rows):: { folded: title, rows: rows },

  local place(row, top) =
    local given = std.foldl(function(sum, panel) sum + (if panel.width == null then 0 else panel.width), row.panels, 0);
    local open = std.length([panel for panel in row.panels if panel.width == null]);
    local share = if open == 0 then 0 else std.floor((24 - given) / open);
    local add(state, panel) =
      local width = if panel.width == null then share else panel.width;
      {
        left: state.left + width,
        panels: state.panels + [panel { gridPos: { x: state.left, y: top, w: width, h: row.height } }],
      };
    local placed = std.foldl(add, row.panels, { left: 0, panels: [] });
    assert placed.left <= 24 : 'a row is wider than 24: ' + row.panels[0].title;
    placed.panels,

  local stack(rows, top) =
    std.foldl(
      function(state, row)
        if std.objectHas(row, 'folded') then {
          top: state.top + 1,
          panels: state.panels + [{
            type: 'row',
            title: row.folded,
            collapsed: true,
            gridPos: { x: 0, y: state.top, w: 24, h: 1 },
            panels: stack(row.rows, state.top + 1).panels,
          }],
        } else {
          top: state.top + row.height,
          panels: state.panels + place(row, state.top),
        },
      rows,
      { top: top, panels: [] }
    ),

  // Numbers panels from 1 on, those in folded rows included.
  local number(panels) =
    std.foldl(
      function(state, panel)
        local inner =
          if std.objectHas(panel, 'panels')
          then std.foldl(
            function(inside, one) { next: inside.next + 1, panels: inside.panels + [one { id: inside.next }] },
            panel.panels,
            { next: state.next + 1, panels: [] }
          )
          else { next: state.next + 1, panels: null };
        {
          next: inner.next,
          panels: state.panels + [
            panel { id: state.next } + (if inner.panels == null then {} else { panels: inner.panels }),
          ],
        },
      panels,
      { next: 1, panels: [] }
    ).panels,

  // A mark wherever a query has a value.
  annotation(name, expr, title, text, color):: {
    name: name,
    datasource: queries.datasource,
    enable: true,
    hide: false,
    iconColor: color,
    expr: expr,
    step: '60s',
    titleFormat: title,
    textFormat: text,
  },

  new(config, uid, title, description, rows, variables, annotations):: {
    uid: uid,
    title: title,
    description: description,
    tags: [config.dashboardTag],
    // The schema of Grafana 10; later ones migrate it while they load the file.
    schemaVersion: 38,
    version: 1,
    editable: false,
    graphTooltip: 1,
    refresh: config.refresh,
    time: { from: config.timeFrom, to: 'now' },
    timezone: '',
    fiscalYearStartMonth: 0,
    weekStart: '',
    timepicker: {},
    panels: number(stack(rows, 0).panels),
    templating: { list: variables },
    annotations: { list: annotations },
    links: [
      {
        title: 'tabserve',
        type: 'dashboards',
        tags: [config.dashboardTag],
        asDropdown: false,
        icon: 'external link',
        includeVars: true,
        keepTime: true,
        targetBlank: false,
        tooltip: 'The other dashboards of tabserve',
        url: '',
      },
      {
        title: 'Runbook',
        type: 'link',
        tags: [],
        asDropdown: false,
        icon: 'doc',
        includeVars: false,
        keepTime: false,
        targetBlank: true,
        tooltip: 'What each alert means and what to do',
        url: config.runbookUrl,
      },
    ],
  },
}
