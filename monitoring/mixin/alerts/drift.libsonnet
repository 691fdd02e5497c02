// What the drift job found, and whether it still runs. Its results lie on a Pushgateway, which
// never forgets: everything on a version asks when that version was last compared.
local lib = import '../lib/alerts.libsonnet';
local scope = import '../lib/scope.libsonnet';
local selectors = import '../lib/selectors.libsonnet';

function(config)
  local alerts = lib(config);
  local s = scope(config);
  local vars = ['job', 'model'];
  local stale = config.driftMissedRuns * config.driftIntervalSeconds;
  // A version that was compared by a run that is not stale.
  local fresh = |||
    and on (%s)
    time() - %s < %g
  ||| % [s.groupAnd(['model', 'version']), s.drift('tabserve_drift_compared_timestamp_seconds'), stale];
  // Somewhat more than one interval: a gauge that was 1 all this time, and was written within
  // it, was 1 in the run before too. One run alone, however late the next one is, is not.
  local twoRuns = '%ds' % std.floor(1.1 * config.driftIntervalSeconds);
  local performance = ['roc_auc', 'brier', 'accuracy', 'log_loss', 'mae', 'rmse'];
  [
    alerts.new(
      'TabserveDrift',
      'ticket',
      'run',
      |||
        min_over_time(%(outcome)s[%(window)s]) == 1
        and on (%(by)s)
        changes(%(compared)s[%(window)s]) >= 1
        %(fresh)s
      ||| % {
        outcome: s.drift('tabserve_drift_outcome', ['outcome="drift"']),
        compared: s.drift('tabserve_drift_compared_timestamp_seconds'),
        by: s.groupAnd(['model', 'version']),
        window: twoRuns,
        fresh: std.rstripChars(fresh, '\n'),
      },
      'The inputs or scores of {{ $labels.model }} drifted, in two runs.',
      'Two runs of {{ $labels.job }} found that what {{ $labels.model }} {{ $labels.version }} is asked, or says, is no longer what it was trained on.',
      'drift',
      vars=vars,
    ),
    alerts.new(
      'TabservePerformanceBelowTraining',
      'ticket',
      'run',
      '%s == 1\n%s' % [
        s.drift('tabserve_drift_check_drifted', [selectors.any('check', performance)]),
        std.rstripChars(fresh, '\n'),
      ],
      '{{ $labels.model }} does worse than in training.',
      'By its outcomes, {{ $labels.check }} of {{ $labels.model }} {{ $labels.version }} is worse than in training by more than chance explains.',
      'model',
      vars=[],
    ),
    alerts.new(
      'TabserveRetrainingNeeded',
      'ticket',
      'run',
      '%s == 1\n%s' % [s.drift('tabserve_drift_retraining_needed'), std.rstripChars(fresh, '\n')],
      '{{ $labels.model }} should be trained anew.',
      'The scores of {{ $labels.model }} {{ $labels.version }}, or features with much of its importance, drifted in several windows in a row.',
      'drift',
      vars=vars,
    ),
    alerts.new(
      'TabserveDriftCannotTell',
      'ticket',
      'run',
      |||
        min_over_time(%s[%s]) == 1
        and
        %s offset %s == 1
      ||| % [
        s.drift('tabserve_drift_outcome', ['outcome="insufficient_data"']),
        config.cannotTellFor,
        s.drift('tabserve_drift_outcome', ['outcome="insufficient_data"']),
        config.cannotTellFor,
      ],
      'Nobody can tell whether {{ $labels.model }} drifted.',
      'For %s {{ $labels.job }} had too few predictions of {{ $labels.model }} {{ $labels.version }} to compare.' % config.cannotTellFor,
      'drift',
      vars=vars,
    ),
    alerts.new(
      'TabserveDriftJobFailed',
      'ticket',
      'run',
      '%s == 1' % s.drift('tabserve_drift_run_outcome', ['outcome="failed"']),
      'The last run of {{ $labels.job }} failed.',
      'The last run of {{ $labels.job }} could not compare at least one version: its log says why.',
      'drift',
      vars=['job'],
    ),
    alerts.new(
      'TabserveDriftJobStale',
      'ticket',
      'run',
      'time() - %s > %g' % [s.drift('tabserve_drift_run_timestamp_seconds'), stale],
      '{{ $labels.job }} does not run any more.',
      'The last run of {{ $labels.job }} ended {{ $value | humanizeDuration }} ago; it should run every %s.' % (
        if config.driftIntervalSeconds % 60 == 0 then '%d minutes' % (config.driftIntervalSeconds / 60) else '%d seconds' % config.driftIntervalSeconds
      ),
      'drift',
      vars=['job'],
    ),
    alerts.new(
      'TabserveDriftJobAbsent',
      'ticket',
      'slow',
      'absent(%s)' % s.drift('tabserve_drift_run_timestamp_seconds'),
      'Prometheus has no result of a drift job.',
      'No series of the drift job matches {%s}: it never pushed, or the Pushgateway lost what it had.' % config.driftSelector,
      'drift',
      vars=[],
    ),
    alerts.new(
      'TabservePushgatewayDown',
      'ticket',
      'steady',
      '%s == 0' % selectors.of('up', [config.pushgatewaySelector]),
      'The Pushgateway cannot be scraped.',
      'Pushgateway {{ $labels.%s }} does not answer scrapes: results of the drift job do not arrive.' % config.instanceLabel,
      'health',
      vars=[],
    ),
  ]
