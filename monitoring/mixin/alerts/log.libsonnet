// The prediction log: what cannot be recorded, cannot be judged or explained later.
local lib = import '../lib/alerts.libsonnet';
local scope = import '../lib/scope.libsonnet';

function(config)
  local alerts = lib(config);
  local s = scope(config);
  [
    alerts.new(
      'TabserveLogDropping',
      'page',
      'event',
      'sum by (%s) (increase(%s[%s])) > 0' % [
        s.groupAnd(['reason']),
        s.service('tabserve_log_rows_dropped_total'),
        config.shortWindow,
      ],
      'The prediction log of {{ $labels.job }} loses rows.',
      '{{ $value | printf "%%.0f" }} rows of %swere dropped from the prediction log in the last %s ({{ $labels.reason }}): these answers leave no record.' % [alerts.place, config.shortWindow],
      'health',
    ),
    alerts.new(
      'TabserveLogStalled',
      'ticket',
      'fast',
      'max by (%s) (%s) > %g' % [
        s.replica,
        s.service('tabserve_log_oldest_age_seconds'),
        config.logAgeSeconds,
      ],
      'The prediction log of {{ $labels.job }} does not get to its store.',
      'The oldest row that replica {{ $labels.%s }} of %shas not written is {{ $value | humanizeDuration }} old. Rows wait on disk; nothing is lost yet.' % [config.instanceLabel, alerts.place],
      'health',
      vars=['job', config.instanceLabel],
    ),
    alerts.new(
      'TabserveLogBacklog',
      'page',
      'fast',
      'sum by (%(by)s) (%(used)s) / sum by (%(by)s) (%(limit)s) > %(ratio)g' % {
        by: s.replica,
        used: s.service('tabserve_log_spool_bytes'),
        limit: s.service('tabserve_log_spool_capacity_bytes'),
        ratio: config.spoolRatio,
      },
      'The spool of the prediction log of {{ $labels.job }} fills up.',
      'Replica {{ $labels.%s }} of %shas used {{ $value | humanizePercentage }} of its spool; rows are dropped once it is full.' % [config.instanceLabel, alerts.place],
      'health',
      vars=['job', config.instanceLabel],
    ),
  ]
