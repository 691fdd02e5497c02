// What the drift job found: of each version, of each feature, and whether it still runs.
local boards = import '../lib/board.libsonnet';
local dashboards = import '../lib/dashboards.libsonnet';
local panels = import '../lib/panels.libsonnet';
local queries = import '../lib/queries.libsonnet';

function(config)
  local b = boards(config);
  local top = config.topSeries;
  local stale = config.driftMissedRuns * config.driftIntervalSeconds;
  local outcomes = [
    { value: 1, text: 'no drift', color: 'green', outcome: 'no_drift' },
    { value: 2, text: 'could not tell', color: 'blue', outcome: 'insufficient_data' },
    { value: 3, text: 'drift', color: 'orange', outcome: 'drift' },
    { value: 4, text: 'failed', color: 'red', outcome: 'failed' },
  ];
  local yes = [
    { value: 0, text: 'no', color: 'green' },
    { value: 1, text: 'yes', color: 'orange' },
  ];
  local state = 'sum by (model, version) (%s)' % std.join(' or ', [
    '%s * %d' % [b.drift('tabserve_drift_outcome', ['outcome="%s"' % entry.outcome]), entry.value]
    for entry in outcomes
  ]);
  local important = 'sum by (model, version) (%s * %s)' % [
    b.drift('tabserve_drift_feature_importance_ratio'),
    b.drift('tabserve_drift_feature_drifted'),
  ];
  dashboards.new(
    config,
    config.uids.drift,
    'tabserve / drift',
    'What the drift job says of each model version and feature. "Could not tell" is a state of its own, and so is a job that does not run.',
    [
      dashboards.row(4, [
        panels.stat(
          'How many versions drift?',
          'Versions that the last run saw drift. Good: 0. Otherwise see below which features, and the runbook on TabserveDrift.',
          'none',
          [queries.range('sum(%s)' % b.drift('tabserve_drift_outcome', ['outcome="drift"']))],
          panels.rising(1, 1000),
          none='no run yet',
          decimals=0
        ),
        panels.stat(
          'How many could not be told?',
          'Versions with too few predictions in the window. Good: 0 for a version with traffic. Otherwise lengthen the window (TABSERVE_DRIFT_WINDOW).',
          'none',
          [queries.range('sum(%s)' % b.drift('tabserve_drift_outcome', ['outcome="insufficient_data"']))],
          panels.rising(1, 1000),
          none='no run yet',
          decimals=0
        ),
        panels.stat(
          'How many failed?',
          'Versions that could not be compared. Good: 0. Otherwise the log of the job says why: no reference, another contract, no log.',
          'none',
          [queries.range('sum(%s)' % b.drift('tabserve_drift_outcome', ['outcome="failed"']))],
          panels.rising(1, 1),
          none='no run yet',
          decimals=0
        ),
        panels.stat(
          'How old is the last run?',
          'Time since the job last ended, however it went. Good: below its interval. Otherwise look at the CronJob: kubectl get cronjob tabserve-drift.',
          's',
          [queries.range('time() - max(%s)' % b.run('tabserve_drift_run_timestamp_seconds'))],
          panels.rising(2 * config.driftIntervalSeconds, stale),
          none='no run yet',
          decimals=0
        ),
        panels.stat(
          'How old is the last success?',
          'Time since a run compared every version that made predictions. Good: below the interval. Older than the last run: that one failed, or could not tell.',
          's',
          [queries.range('time() - max(%s)' % b.run('tabserve_drift_run_last_success_timestamp_seconds'))],
          panels.rising(2 * config.driftIntervalSeconds, stale),
          none='no success yet',
          decimals=0
        ),
        panels.stat(
          'Is retraining asked for?',
          'Versions for which the rule for retraining holds. Good: 0. Otherwise the table says what asks for it: drifted scores, or important features.',
          'none',
          [queries.range('sum(%s)' % b.drift('tabserve_drift_retraining_needed'))],
          panels.rising(1, 1000),
          none='no run yet',
          decimals=0
        ),
      ]),
      dashboards.row(7, [
        panels.timeline(
          'What did each run say of each version?',
          'One line a version. Good: green. Blue: too few rows to tell. A line that stops is a version that nobody asks any more.',
          [queries.range(state, '{{model}} {{version}}')],
          outcomes,
          none='no run yet'
        ),
        panels.table(
          'What asks for retraining, and since which run?',
          'A version a line: whether retraining is needed, how much of the importance drifted, how many checks of scores and performance did, and how old the comparison is. Good: no, 0 %, 0. Otherwise read the report of that run before anything is trained.',
          [
            queries.table('max by (model, version) (%s)' % b.drift('tabserve_drift_retraining_needed')),
            queries.table(important),
            queries.table('sum by (model, version) (%s)' % b.drift('tabserve_drift_check_drifted')),
            queries.table('time() - max by (model, version) (%s)' % b.drift('tabserve_drift_compared_timestamp_seconds')),
          ],
          [
            { name: 'Retrain', unit: 'none', states: yes },
            { name: 'Importance drifted', unit: 'percentunit', decimals: 0 },
            { name: 'Checks drifted', unit: 'none' },
            { name: 'Compared', unit: 's', decimals: 0 },
          ],
          [{ label: 'model', name: 'Model' }, { label: 'version', name: 'Version' }],
          'Importance drifted',
          none='no run yet'
        ),
      ]),
      dashboards.row(7, [
        panels.table(
          'Which features changed most?',
          'By effect: the distance from training, 0 to 1. Good: none drifted. An important feature that drifted matters more than a large effect of one that the model hardly uses.',
          [
            queries.table('topk(50, max by (model, version, feature) (%s))' % b.drift('tabserve_drift_feature_effect')),
            queries.table('max by (model, version, feature) (%s)' % b.drift('tabserve_drift_feature_drifted')),
            queries.table('max by (model, version, feature) (%s)' % b.drift('tabserve_drift_feature_p_value')),
            queries.table('max by (model, version, feature) (%s)' % b.drift('tabserve_drift_feature_missing_ratio')),
            queries.table('max by (model, version, feature) (%s)' % b.drift('tabserve_drift_feature_outside_ratio')),
            queries.table('max by (model, version, feature) (%s)' % b.drift('tabserve_drift_feature_importance_ratio')),
          ],
          [
            { name: 'Effect', unit: 'none', decimals: 3 },
            { name: 'Drifted', unit: 'none', states: yes },
            { name: 'p-value', unit: 'sci' },
            { name: 'Missing', unit: 'percentunit', decimals: 1 },
            { name: 'Outside', unit: 'percentunit', decimals: 1 },
            { name: 'Importance', unit: 'percentunit', decimals: 0 },
          ],
          [
            { label: 'feature', name: 'Feature' },
            { label: 'model', name: 'Model' },
            { label: 'version', name: 'Version' },
          ],
          'Effect',
          none='no run yet'
        ) { width: 14 },
        panels.timeseries(
          'How did the largest effects develop?',
          'Effects of the features that changed most, run by run. Good: flat and small. A jump is an event (a release, a broken source); a slope is the world.',
          'none',
          [queries.range('topk(%d, %s)' % [top, b.drift('tabserve_drift_feature_effect')], '{{version}} {{feature}}')],
          none='no run yet'
        ),
      ]),
      dashboards.row(6, [
        panels.timeseries(
          'Did scores, performance or all features together drift?',
          'Effect of each check. Good: small and flat. `mmd` alone means that features changed in how they go together.',
          'none',
          [queries.range('topk(%d, %s)' % [2 * top, b.drift('tabserve_drift_check_effect')], '{{version}} {{check}} {{class}}')],
          none='no run yet'
        ),
        panels.timeseries(
          'How unlikely are the differences?',
          'The smallest p-values of features. Good: most above 0.05. Small ones without an effect are many rows, not drift.',
          'sci',
          [queries.range('bottomk(%d, %s)' % [top, b.drift('tabserve_drift_feature_p_value')], '{{version}} {{feature}}')],
          none='no run yet',
          max=1
        ),
        panels.timeseries(
          'Which features are missing most?',
          'Share of rows in the window without a value. Good: as in training. A jump is a broken source.',
          'percentunit',
          [queries.range('topk(%d, %s)' % [top, b.drift('tabserve_drift_feature_missing_ratio')], '{{version}} {{feature}}')],
          none='no run yet',
          max=1
        ),
        panels.timeseries(
          'How many rows were compared?',
          'Predictions in the window, and how many of them were compared. Good: well above 500. Below, the job cannot tell.',
          'short',
          [
            queries.range(b.drift('tabserve_drift_rows'), '{{version}} in the window'),
            queries.range(b.drift('tabserve_drift_sampled_rows'), '{{version}} compared'),
          ],
          none='no run yet'
        ),
      ]),
    ],
    b.driftVariables,
    [b.driftMark(b.drift('tabserve_drift_outcome', ['outcome="drift"']))]
  )
