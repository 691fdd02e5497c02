// How requests fare: the simple alerts that people ask for, and what leads up to them.
local lib = import '../lib/alerts.libsonnet';
local scope = import '../lib/scope.libsonnet';

function(config)
  local alerts = lib(config);
  local s = scope(config);
  local window = config.shortWindow;
  local increase(series) = 'sum by (%s) (increase(%s[%s]))' % [s.group, series, window];
  local scoringRequests = increase(s.service('tabserve_requests_total', [s.scoring]));
  [
    alerts.new(
      'TabserveErrorRatio',
      'page',
      'fast',
      alerts.guarded(
        '%s / %s > %g' % [
          increase(s.service('tabserve_requests_total', [s.scoring, s.serverErrors])),
          scoringRequests,
          config.errorRatio,
        ],
        scoringRequests,
        config.minRequests
      ),
      'More than %g %% of the scoring requests of {{ $labels.job }} fail.' % (100 * config.errorRatio),
      '{{ $value | humanizePercentage }} of the scoring requests of %sin the last %s got a status of 5xx.' % [alerts.place, window],
      'service',
    ),
    alerts.new(
      'TabserveLatencyP95',
      'page',
      'fast',
      alerts.guarded(
        'tabserve:request_duration_seconds:p95 > %g' % config.p95Seconds,
        scoringRequests,
        config.minRequests
      ),
      'The slowest 5 %% of the scoring requests of {{ $labels.job }} take longer than %g s.' % config.p95Seconds,
      'The 95th percentile of the scoring requests of %sin the last %s is {{ $value | humanizeDuration }}.' % [alerts.place, window],
      'service',
    ),
    alerts.new(
      'TabserveShedding',
      'ticket',
      'fast',
      alerts.guarded(
        'tabserve:requests_shed:ratio > %g' % config.shedRatio,
        increase(s.service('tabserve_requests_total')),
        config.minRequests
      ),
      '{{ $labels.job }} refuses requests to protect itself.',
      '{{ $value | humanizePercentage }} of the requests of %sin the last %s were shed.' % [alerts.place, window],
      'service',
    ),
    alerts.new(
      'TabserveExplanationViolation',
      'ticket',
      'event',
      'sum by (%s) (increase(%s[%s])) > 0' % [
        s.groupAnd(['check']),
        s.service('tabserve_explanation_violations_total'),
        window,
      ],
      'Explanations of {{ $labels.job }} are wrong and held back.',
      '{{ $value | printf "%%.0f" }} explanations of %sin the last %s were no explanation of the score that was answered ({{ $labels.check }}): whoever asked got a 500 and no reasons.' % [alerts.place, window],
      'model',
    ),
    alerts.new(
      'TabserveSaturated',
      'ticket',
      'steady',
      'tabserve:saturation:ratio > %g' % config.saturation,
      'A worker of {{ $labels.job }} is near a limit.',
      'Worker {{ $labels.worker }} of replica {{ $labels.%s }} of %suses {{ $value | humanizePercentage }} of its {{ $labels.resource }}.' % [config.instanceLabel, alerts.place],
      'service',
      vars=['job', config.instanceLabel],
    ),
    alerts.new(
      'TabserveRowsRejected',
      'ticket',
      'steady',
      alerts.guarded(
        'tabserve:rows_rejected:ratio > %g' % config.rejectedRatio,
        increase(s.service('tabserve_rows_total')),
        config.minRows
      ),
      'Clients of {{ $labels.job }} send rows that the model does not take.',
      '{{ $value | humanizePercentage }} of the rows of %sin the last %s were refused.' % [alerts.place, window],
      'model',
    ),
  ]
