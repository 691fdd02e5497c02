// Whether the service is there, ready, and the same everywhere.
local lib = import '../lib/alerts.libsonnet';
local scope = import '../lib/scope.libsonnet';
local selectors = import '../lib/selectors.libsonnet';

function(config)
  local alerts = lib(config);
  local s = scope(config);
  local minutes = 'for more than %s' % config.timings.fast['for'];
  [
    alerts.new(
      'TabserveDown',
      'page',
      'fast',
      'sum by (%s) (%s) == 0' % [s.group, s.service('up')],
      'No replica of {{ $labels.job }} can be scraped.',
      '%(place)shas no replica that answers a scrape, %(minutes)s: nobody is scored.' % { place: alerts.place, minutes: minutes },
      'service',
    ),
    alerts.new(
      'TabserveAbsent',
      'page',
      'steady',
      'absent(%s)' % s.service('up'),
      'Prometheus has no target of tabserve at all.',
      'Prometheus knows no target that matches {%s}: the service is gone, or it is no longer found.' % config.serviceSelector,
      'service',
      vars=[],
    ),
    alerts.new(
      'TabserveReplicaDown',
      'ticket',
      'steady',
      |||
        %(up)s == 0
        and on (%(by)s)
        sum by (%(by)s) (%(up)s) > 0
      ||| % { up: s.service('up'), by: s.group },
      'One replica of {{ $labels.job }} cannot be scraped.',
      'Replica {{ $labels.%s }} of %sdoes not answer scrapes; others do and have its load.' % [config.instanceLabel, alerts.place],
      'service',
      vars=['job', config.instanceLabel],
    ),
    alerts.new(
      'TabserveNotReady',
      'page',
      'fast',
      'sum by (%s) (%s) == 0' % [s.group, s.service('tabserve_ready')],
      'No worker of {{ $labels.job }} is ready.',
      '%(place)sis up, but none of its workers serves, %(minutes)s: /readyz says why.' % { place: alerts.place, minutes: minutes },
      'service',
    ),
    alerts.new(
      'TabserveWorkersNotReady',
      'ticket',
      'steady',
      |||
        sum by (%(by)s) (%(ready)s) < sum by (%(by)s) (%(expected)s)
        and on (%(by)s)
        sum by (%(by)s) (%(ready)s) > 0
      ||| % { by: s.replica, ready: s.service('tabserve_ready'), expected: s.service('tabserve_workers_expected') },
      'A replica of {{ $labels.job }} has fewer workers ready than it should.',
      'Replica {{ $labels.%s }} of %shas only {{ $value }} workers ready.' % [config.instanceLabel, alerts.place],
      'service',
      vars=['job', config.instanceLabel],
    ),
    alerts.new(
      'TabserveWorkerStalled',
      'page',
      'stalled',
      // The age at the scrape, not now: seconds since the scrape are no sign of a worker that hangs.
      'min by (%s) (timestamp(%s) - %s) > %g' % [
        s.groupAnd([config.instanceLabel, 'worker']),
        s.service('tabserve_worker_heartbeat_timestamp_seconds'),
        s.service('tabserve_worker_heartbeat_timestamp_seconds'),
        config.heartbeatSeconds,
      ],
      'A worker of {{ $labels.job }} hangs.',
      'Worker {{ $labels.worker }} of replica {{ $labels.%s }} of %sshowed no sign of life for {{ $value | humanizeDuration }}: requests that reach it wait.' % [config.instanceLabel, alerts.place],
      'service',
      vars=['job', config.instanceLabel],
    ),
    alerts.new(
      'TabserveWorkerRestarts',
      'ticket',
      'event',
      'changes(max by (%s) (%s)[1h:1m]) > %g' % [
        s.groupAnd([config.instanceLabel, 'worker']),
        s.service('process_start_time_seconds'),
        config.restarts,
      ],
      'A worker of {{ $labels.job }} restarts again and again.',
      'Worker {{ $labels.worker }} of replica {{ $labels.%s }} of %sstarted {{ $value }} times anew within an hour.' % [config.instanceLabel, alerts.place],
      'health',
      vars=['job', config.instanceLabel],
    ),
    alerts.new(
      'TabservePodRestarts',
      'ticket',
      'event',
      'increase(%s[1h]) > %g' % [
        selectors.of('kube_pod_container_status_restarts_total', [config.kubeStateMetricsSelector, config.podSelector]),
        config.restarts,
      ],
      'A pod of tabserve restarts again and again.',
      'Container {{ $labels.container }} of pod {{ $labels.pod }} restarted {{ $value | printf "%.0f" }} times within an hour.',
      'health',
      vars=[],
    ),
    alerts.new(
      'TabserveVersionSkew',
      'ticket',
      'slow',
      'count by (%s) (count by (%s) (%s)) > 1' % [
        s.group,
        s.groupAnd(['model', 'version']),
        s.service('tabserve_model_info'),
      ],
      'Replicas of {{ $labels.job }} serve different models.',
      '%sserves {{ $value }} model versions at the same time for more than %s: a rollout hangs, or a canary was forgotten.' % [alerts.place, config.timings.slow['for']],
      'service',
    ),
    alerts.new(
      'TabserveSettingsSkew',
      'ticket',
      'slow',
      'count by (%s) (count by (%s) (%s)) > 1' % [
        s.group,
        s.groupAnd(['fingerprint']),
        s.service('tabserve_settings_info'),
      ],
      'Replicas of {{ $labels.job }} run with different settings.',
      '%sruns with {{ $value }} different sets of settings for more than %s.' % [alerts.place, config.timings.slow['for']],
      'service',
    ),
  ]
