// Requests, latency, rows and limits over the short window.
local scope = import '../lib/scope.libsonnet';

function(config)
  local s = scope(config);
  local window = config.shortWindow;
  // What fills a limit, and the limit: pairs of gauges with the same labels.
  local limits = [
    { resource: 'requests', used: 'tabserve_requests_in_flight', limit: 'tabserve_requests_in_flight_limit' },
    { resource: 'bodies', used: 'tabserve_buffered_bytes', limit: 'tabserve_buffered_bytes_limit' },
    { resource: 'descriptors', used: 'process_open_fds', limit: 'process_max_fds' },
  ];
  local ratio(entry) =
    'label_replace(%s / %s, "resource", "%s", "", "")'
    % [s.service(entry.used), s.service(entry.limit), entry.resource];
  // One worker computes on one core at most: its event loop is one thread.
  local cpu =
    'label_replace(rate(%s[%s]), "resource", "cpu", "", "")'
    % [s.service('process_cpu_seconds_total'), window];
  [
    {
      name: 'tabserve-traffic',
      rules: [
        {
          record: 'tabserve:request_duration_seconds:p95',
          expr: 'histogram_quantile(0.95, sum by (%s) (rate(%s[%s])))' % [
            s.groupAnd(['le']),
            s.service('tabserve_request_duration_seconds_bucket', [s.scoring]),
            window,
          ],
        },
        {
          // Requests that are shed get a status of their own, so they are part of the whole.
          record: 'tabserve:requests_shed:ratio',
          expr: 'sum by (%(by)s) (rate(%(shed)s[%(window)s])) / sum by (%(by)s) (rate(%(all)s[%(window)s]))' % {
            by: s.group,
            shed: s.service('tabserve_requests_shed_total'),
            all: s.service('tabserve_requests_total'),
            window: window,
          },
        },
        {
          record: 'tabserve:rows_rejected:ratio',
          expr: 'sum by (%(by)s) (rate(%(rejected)s[%(window)s])) / sum by (%(by)s) (rate(%(all)s[%(window)s]))' % {
            by: s.group,
            rejected: s.service('tabserve_rows_total', ['outcome="rejected"']),
            all: s.service('tabserve_rows_total'),
            window: window,
          },
        },
        {
          // By worker: the mean of a full and an idle one would hide the full one.
          record: 'tabserve:saturation:ratio',
          expr: 'max by (%s) (%s)' % [
            s.groupAnd([config.instanceLabel, 'worker', 'resource']),
            std.join(' or ', std.map(ratio, limits) + [cpu]),
          ],
        },
      ],
    },
  ]
