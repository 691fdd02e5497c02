// Panels. Each has a title that asks a question, a description that says what good looks
// like and what to do otherwise, a unit, and words for the case that there is no data.
local queries = import 'queries.libsonnet';

{
  local thresholds(steps) = {
    mode: 'absolute',
    // The first step has no lower limit.
    steps: [{ color: steps[0].color, value: null }] + steps[1:],
  },
  local plain = [{ color: 'green' }],

  // Steps of a colour scale: green below `warn`, orange from there, red from `bad` on.
  rising(warn, bad):: [{ color: 'green' }, { color: 'orange', value: warn }, { color: 'red', value: bad }],
  // The same where small values are the bad ones.
  falling(bad, warn):: [{ color: 'red' }, { color: 'orange', value: bad }, { color: 'green', value: warn }],

  // Names and colours for the values of a state.
  states(list):: [{
    type: 'value',
    options: {
      [std.toString(state.value)]: { text: state.text, color: state.color, index: index }
      for index in std.range(0, std.length(list) - 1)
      for state in [list[index]]
    },
  }],

  local panel(type, title, description, unit, targets, none) = {
    type: type,
    title: title,
    description: description,
    datasource: queries.datasource,
    targets: [
      targets[index] { refId: std.char(std.codepoint('A') + index) }
      for index in std.range(0, std.length(targets) - 1)
    ],
    fieldConfig: {
      defaults: {
        unit: unit,
        noValue: none,
        color: { mode: 'palette-classic' },
        mappings: [],
        thresholds: thresholds(plain),
      },
      overrides: [],
    },
    options: {},
    // Not Grafana's: the layout reads it and takes it out.
    width:: null,
  },

  // One number, coloured by its thresholds, with its course behind it.
  stat(title, description, unit, targets, steps=plain, none='no data', decimals=null, mappings=[])::
    panel('stat', title, description, unit, targets, none) {
      fieldConfig+: {
        defaults+: {
          color: { mode: 'thresholds' },
          thresholds: thresholds(steps),
          mappings: mappings,
          [if decimals != null then 'decimals']: decimals,
        },
      },
      options: {
        colorMode: 'value',
        graphMode: if targets[0].instant then 'none' else 'area',
        justifyMode: 'auto',
        orientation: 'auto',
        percentChangeColorMode: 'standard',
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
        showPercentChange: false,
        textMode: 'auto',
        wideLayout: true,
      },
    },

  // Lines over time. `limit` draws a dashed red line at a threshold.
  timeseries(title, description, unit, targets, none='no data', stack=false, limit=null, min=0, max=null, log=false)::
    panel('timeseries', title, description, unit, targets, none) {
      fieldConfig+: {
        defaults+: {
          custom: {
            axisCenteredZero: false,
            axisPlacement: 'auto',
            drawStyle: 'line',
            fillOpacity: if stack then 30 else 5,
            lineInterpolation: 'linear',
            lineWidth: 1,
            pointSize: 4,
            scaleDistribution: if log then { type: 'log', log: 10 } else { type: 'linear' },
            showPoints: 'auto',
            spanNulls: false,
            stacking: { group: 'A', mode: if stack then 'normal' else 'none' },
            thresholdsStyle: { mode: if limit != null then 'dashed' else 'off' },
          },
          [if min != null then 'min']: min,
          [if max != null then 'max']: max,
          [if limit != null then 'thresholds']:
            thresholds([{ color: 'transparent' }, { color: 'red', value: limit }]),
        },
      },
      options: {
        legend: { calcs: [], displayMode: 'list', placement: 'bottom', showLegend: true },
        tooltip: { mode: 'multi', sort: 'desc' },
      },
    },

  // A histogram's buckets over time.
  heatmap(title, description, unit, targets, none='no data', decimals=null)::
    panel('heatmap', title, description, 'short', targets, none) {
      fieldConfig: {
        defaults: {
          // Of the cells. The axis has its own unit, in `yAxis`.
          unit: 'short',
          noValue: none,
          custom: {
            hideFrom: { legend: false, tooltip: false, viz: false },
            scaleDistribution: { type: 'linear' },
          },
        },
        overrides: [],
      },
      options: {
        calculate: false,
        cellGap: 1,
        cellValues: { unit: 'short' },
        color: {
          exponent: 0.5,
          fill: 'dark-orange',
          mode: 'scheme',
          reverse: false,
          scale: 'exponential',
          scheme: 'Oranges',
          steps: 64,
        },
        exemplars: { color: 'rgba(255,0,255,0.7)' },
        filterValues: { le: 1e-9 },
        legend: { show: true },
        rowsFrame: { layout: 'auto' },
        showValue: 'never',
        tooltip: { mode: 'single', showColorScale: false, yHistogram: true },
        yAxis: { axisPlacement: 'left', reverse: false, unit: unit } +
               (if decimals != null then { decimals: decimals } else {}),
      },
    },

  // States over time, one line a series.
  timeline(title, description, targets, states, none='no data')::
    panel('state-timeline', title, description, 'none', targets, none) {
      fieldConfig+: {
        defaults+: {
          custom: { fillOpacity: 70, lineWidth: 0 },
          mappings: $.states(states),
        },
      },
      options: {
        alignValue: 'left',
        legend: { calcs: [], displayMode: 'list', placement: 'bottom', showLegend: true },
        mergeValues: true,
        rowHeight: 0.8,
        showValue: 'auto',
        tooltip: { mode: 'single', sort: 'none' },
      },
    },

  // A table of instant queries, joined by their labels. `columns`: name, unit and, where
  // there are some, states or thresholds of each query's value, in the order of `targets`;
  // `labels`: the labels to show, with their titles; `sort`: the column to sort by.
  table(title, description, targets, columns, labels, sort, none='no data')::
    local letters = [std.char(std.codepoint('A') + index) for index in std.range(0, std.length(targets) - 1)];
    // With one query alone, Grafana calls its value just `Value`.
    local value(letter) = if std.length(targets) == 1 then 'Value' else 'Value #' + letter;
    panel('table', title, description, 'none', targets, none) {
      fieldConfig+: {
        defaults+: { custom: { align: 'auto', cellOptions: { type: 'auto' }, inspect: false } },
        overrides: [
          {
            matcher: { id: 'byName', options: columns[index].name },
            properties:
              [{ id: 'unit', value: columns[index].unit }] +
              (if std.objectHas(columns[index], 'states') then [
                 { id: 'mappings', value: $.states(columns[index].states) },
                 { id: 'custom.cellOptions', value: { type: 'color-text' } },
               ] else []) +
              (if std.objectHas(columns[index], 'decimals') then [
                 { id: 'decimals', value: columns[index].decimals },
               ] else []),
          }
          for index in std.range(0, std.length(columns) - 1)
        ],
      },
      options: {
        cellHeight: 'sm',
        frameIndex: 0,
        showHeader: true,
        sortBy: [{ displayName: sort, desc: true }],
      },
      transformations: [
        { id: 'merge', options: {} },
        {
          id: 'organize',
          options: {
            excludeByName: { Time: true },
            indexByName: {
              [labels[index].label]: index
              for index in std.range(0, std.length(labels) - 1)
            } + {
              [value(letters[index])]: std.length(labels) + index
              for index in std.range(0, std.length(letters) - 1)
            },
            renameByName: {
              [entry.label]: entry.name
              for entry in labels
            } + {
              [value(letters[index])]: columns[index].name
              for index in std.range(0, std.length(letters) - 1)
            },
          },
        },
      ],
    },
}
