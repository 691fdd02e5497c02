// The two objectives: what counts as bad, and how much of it the budget allows.
local scope = import 'scope.libsonnet';

{
  // Every window of the burn rates once, short ones first.
  windows(config)::
    local seconds(text) =
      local units = { s: 1, m: 60, h: 3600, d: 86400 };
      std.parseInt(text[:std.length(text) - 1]) * units[text[std.length(text) - 1]];
    std.sort(std.set([rate.short for rate in config.burnRates] + [rate.long for rate in config.burnRates]), seconds),

  list(config)::
    local s = scope(config);
    // The client library writes a bucket of one second as 1.0.
    local seconds = config.objectives.latencySeconds;
    local limit = '%g' % seconds + (if seconds == std.floor(seconds) then '.0' else '');
    local sum(series, window) = 'sum by (%s) (rate(%s[%s]))' % [s.group, series, window];
    [
      {
        name: 'availability',
        alert: 'TabserveAvailabilityBudgetBurn',
        objective: config.objectives.availability,
        what: 'of the scoring requests fail',
        goal: '%g %% of scoring requests are answered' % (100 * config.objectives.availability),
        record(window):: 'tabserve:availability_errors:ratio_rate' + window,
        total(window):: 'sum by (%s) (increase(%s[%s]))' % [s.group, s.service('tabserve_requests_total', [s.scoring]), window],
        // Without an error there is no series with a status of 5xx: that is a ratio of 0.
        badRatio(window)::
          |||
            (
              %(errors)s
              or
              0 * %(all)s
            ) / %(all)s
          ||| % {
            errors: sum(s.service('tabserve_requests_total', [s.scoring, s.serverErrors]), window),
            all: sum(s.service('tabserve_requests_total', [s.scoring]), window),
          },
      },
      {
        name: 'latency',
        alert: 'TabserveLatencyBudgetBurn',
        objective: config.objectives.latency,
        what: 'of the single rows take longer than %g s' % seconds,
        goal: '%g %% of single rows are answered within %g s' % [100 * config.objectives.latency, seconds],
        record(window):: 'tabserve:latency_slow:ratio_rate' + window,
        total(window):: 'sum by (%s) (increase(%s[%s]))' % [s.group, s.service('tabserve_request_duration_seconds_count', [s.singleRow]), window],
        badRatio(window)::
          '1 - %s / %s' % [
            sum(s.service('tabserve_request_duration_seconds_bucket', [s.singleRow, 'le="%s"' % limit]), window),
            sum(s.service('tabserve_request_duration_seconds_count', [s.singleRow]), window),
          ],
      },
    ],
}
