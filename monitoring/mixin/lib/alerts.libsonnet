// One alerting rule in the shape that all have.
local scope = import 'scope.libsonnet';

function(config) {
  local s = scope(config),

  // `labels`: of the result, beyond those of the service; the dashboard opens with them.
  new(name, severity, timing, expr, summary, description, dashboard, vars=['job'], labels={})::
    assert std.member(['page', 'ticket'], severity) : severity;
    {
      alert: name,
      expr: expr,
    } + config.timings[timing] + {
      labels: { severity: severity } + labels,
      annotations: {
        summary: summary,
        description: description,
        dashboard_url: '%s/d/%s%s' % [
          config.grafanaUrl,
          config.uids[dashboard],
          if vars == [] then '' else '?' + std.join('&', ['var-%s={{ $labels.%s }}' % [label, label] for label in vars]),
        ],
        runbook_url: '%s#%s' % [config.runbookUrl, std.asciiLower(name)],
      },
    },

  // An expression only where enough happened in a window: the low-traffic guard.
  guarded(expr, count, least):: |||
    %s
    and on (%s)
    %s >= %g
  ||| % [std.rstripChars(expr, '\n'), s.group, count, least],

  // Names a service in a sentence: `tabserve (namespace prod) `.
  place:: (if std.member(config.groupLabels, 'job') then '{{ $labels.job }} ' else '') + std.join('', [
    '{{ with $labels.%s }}(%s {{ . }}) {{ end }}' % [label, label]
    for label in config.groupLabels
    if label != 'job'
  ]),
}
