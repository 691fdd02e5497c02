// Burn rates of the error budgets, all from the list in the configuration.
local lib = import '../lib/alerts.libsonnet';
local objectives = import '../lib/objectives.libsonnet';

function(config)
  local alerts = lib(config);
  [
    alerts.new(
      objective.alert,
      rate.severity,
      rate.timing,
      // Both windows: the long one says that it matters, the short one that it still goes on.
      alerts.guarded(
        '%(long)s > %(limit)g and %(short)s > %(limit)g' % {
          long: objective.record(rate.long),
          short: objective.record(rate.short),
          // Some digits, as 1 - 0.999 is not quite 0.001.
          limit: std.round(rate.factor * (1 - objective.objective) * 1e9) / 1e9,
        },
        objective.total(rate.long),
        config.minRequests
      ),
      '{{ $labels.job }} uses up its error budget %g times too fast.' % rate.factor,
      '{{ $value | humanizePercentage }} %s in %sover %s. The objective is that %s; at this rate the budget of 30 days lasts %s.' % [
        objective.what,
        alerts.place,
        rate.long,
        objective.goal,
        // Of 30 days.
        if rate.factor > 1 then '%.1f days' % (30 / rate.factor) else '30 days',
      ],
      'service',
      labels={ objective: objective.name, window: rate.long },
    )
    for objective in objectives.list(config)
    for rate in config.burnRates
  ]
