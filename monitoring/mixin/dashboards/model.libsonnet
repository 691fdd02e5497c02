// What the model is fed, what it says, and how good that is.
local boards = import '../lib/board.libsonnet';
local dashboards = import '../lib/dashboards.libsonnet';
local panels = import '../lib/panels.libsonnet';
local queries = import '../lib/queries.libsonnet';

function(config)
  local b = boards(config);
  local top = config.topSeries;
  local quantile(q) = 'histogram_quantile(%g, sum by (version, le) (%s))' % [q, b.rate('tabserve_score_bucket')];
  local rows = 'scalar(sum(%s))' % b.rate('tabserve_rows_total', ['outcome="scored"']);
  local share(metric) = 'topk(%d, sum by (feature) (%s) / %s > 0)' % [top, b.rate(metric), rows];
  dashboards.new(
    config,
    config.uids.model,
    'tabserve / model',
    'What the model is fed and what it says, now and against training, and how good it is by its outcomes.',
    [
      dashboards.row(4, [
        panels.stat(
          'How many rows are scored a second?',
          'Scored rows. Good: what you know of this hour. Zero while requests come means that every row is refused.',
          'rps',
          [queries.range(b.orZero('sum(%s)' % b.rate('tabserve_rows_total', ['outcome="scored"'])))]
        ),
        panels.stat(
          'What share of rows is refused?',
          'Rows that do not meet the contract. Good: below 1 %. Otherwise see which faults they have, and on the service dashboard which client sends them.',
          'percentunit',
          [queries.range(b.orZero('sum(%s) / sum(%s)' % [b.rate('tabserve_rows_total', ['outcome="rejected"']), b.rate('tabserve_rows_total')]))],
          panels.rising(0.01, config.rejectedRatio),
          decimals=2
        ),
        panels.stat(
          'How high is the mean score?',
          'Mean of the scores; for several classes, of the highest probability. Good: steady. Compare with the model card; a jump is a change of inputs or of the model.',
          'none',
          [queries.range('sum(%s) / sum(%s)' % [b.rate('tabserve_score_sum'), b.rate('tabserve_score_count')])],
          none='no rows',
          decimals=3
        ),
        panels.stat(
          'How far did scores move?',
          'KS distance between the scores of the last %s and of the %s before. Good: below %g. Otherwise compare the features below and run the drift job.' % [config.inputWindow, config.baselineWindow, config.scoreShift],
          'none',
          [queries.range('max(%s)' % b.rule('tabserve:score:shift'))],
          panels.rising(0.66 * config.scoreShift, config.scoreShift),
          none='too early',
          decimals=3
        ),
        panels.stat(
          'How many outcomes come in?',
          'Outcomes recorded a second. Good: as many as there are decisions whose truth is known. Zero means that performance cannot be measured.',
          'ops',
          [queries.range(b.orZero('sum(%s)' % b.rate('tabserve_outcomes_total', ['result="recorded"'])))]
        ),
        panels.stat(
          'Is it worse than in training?',
          'Measures of performance that the drift job found worse than in training. Good: 0. Otherwise see the measures below; the runbook on TabservePerformanceBelowTraining says when to roll back.',
          'none',
          [queries.range('sum(%s)' % b.anyDrift('tabserve_drift_check_drifted', ['check=~"roc_auc|brier|accuracy|log_loss|mae|rmse"']))],
          panels.rising(1, 1),
          none='no outcomes compared',
          decimals=0
        ),
      ]),
      dashboards.row(6, [
        panels.heatmap(
          'How are scores spread over time?',
          'Scored rows by score. Good: the same bands all day. A band that moves or vanishes is a change of inputs or of the model.',
          'none',
          [queries.buckets('sum by (le) (%s)' % b.rate('tabserve_score_bucket'))],
          none='no rows',
          decimals=2
        ),
        panels.timeseries(
          'How does each version score?',
          'Tenth, middle and ninetieth percentile of the scores of each version. Good: versions close together. Otherwise compare what is asked of each; a new version that scores differently on purpose says so in its model card.',
          'none',
          [
            queries.range(quantile(0.1), '{{version}} lowest tenth'),
            queries.range(quantile(0.5), '{{version}} half'),
            queries.range(quantile(0.9), '{{version}} highest tenth'),
          ],
          none='no rows',
          min=null
        ),
        panels.timeseries(
          'How often is each decision made?',
          'Share of rows by the label decided for, by version. Good: steady. Where it moves with steady scores, the threshold was changed.',
          'percentunit',
          [queries.range(
            'topk(%d, sum by (version, label) (%s) / on (version) group_left () sum by (version) (%s))' % [
              2 * top,
              b.rate('tabserve_labels_total'),
              b.rate('tabserve_labels_total'),
            ],
            '{{version}} {{label}}'
          )],
          none='no decisions',
          max=1
        ),
      ]),
      dashboards.row(6, [
        panels.timeseries(
          'Which features are missing more than in training?',
          'Share of rows without a value, less the share in training, over %s. Good: below the line. Otherwise a source of that feature broke: ask its owner.' % config.inputWindow,
          'percentunit',
          [queries.range('topk(%d, %s)' % [top, b.rule('tabserve:feature_missing:above_training')], '{{feature}}')],
          none='too early',
          limit=config.missingAboveTraining,
          min=null
        ),
        panels.timeseries(
          'Which features leave the range of training?',
          'Share of rows with a value outside the training range. Good: below the line. Otherwise a unit changed, or the world did.',
          'percentunit',
          [queries.range(share('tabserve_feature_out_of_range_total'), '{{feature}}')],
          none='all inside',
          limit=config.outOfRangeRatio
        ),
        panels.timeseries(
          'Which features have unseen categories?',
          'Share of rows with a category that training never saw, scored as missing. Good: none. Otherwise a code list changed: train anew, or map it.',
          'percentunit',
          [queries.range(share('tabserve_feature_unknown_category_total'), '{{feature}}')],
          none='none unseen',
          limit=config.unseenRatio
        ),
      ]),
      dashboards.row(6, [
        panels.timeseries(
          'Which faults do rows and bodies have?',
          'Faults a second by code. Good: few. `missing` and `unknown_feature` together are a renamed field; `wrong_type` is a number sent as text; `unknown_category` is a new code.',
          'ops',
          [queries.range('sum by (code) (%s) > 0' % b.rate('tabserve_faults_total'), '{{code}}')],
          none='no faults'
        ),
        panels.timeseries(
          'What becomes of the outcomes sent?',
          'Outcomes a second by result. Good: `recorded`. `unknown` are ids that the log does not have, `not_yet` come before their prediction is stored, `refused` are no outcome of this model.',
          'ops',
          [queries.range('sum by (result) (%s)' % b.rate('tabserve_outcomes_total'), '{{result}}')],
          none='no outcomes',
          stack=true
        ),
        panels.timeseries(
          'How good is it by its outcomes, and in training?',
          'Measures of the last drift runs: `measured` from outcomes, `training` for comparison. Good: both close. Otherwise see TabservePerformanceBelowTraining; `uv run tabserve performance` also estimates without outcomes.',
          'none',
          [queries.range('topk(%d, %s)' % [2 * top, b.anyDrift('tabserve_drift_performance')], '{{version}} {{measure}} {{basis}}')],
          none='no drift run yet',
          min=null
        ),
      ]),
      dashboards.folded('Explanations and reasons', [
        dashboards.row(6, [
          panels.timeseries(
            'Are explanations made, and are they right?',
            'Explained rows a second, and explanations that were held back, by what is wrong with them. Good: none held back. Otherwise see TabserveExplanationViolation.',
            'ops',
            [
              queries.range('sum(%s)' % b.rate('tabserve_explained_rows_total'), 'explained'),
              queries.range('sum by (check) (%s)' % b.rate('tabserve_explanation_violations_total'), 'held back: {{check}}'),
            ],
            none='none asked for'
          ),
          panels.timeseries(
            'Which reasons are given?',
            'Reasons given with explained rows, a second, by code. Good: what you know of this model. A reason that names a protected feature says that the model decides by it: tell the person in charge.',
            'ops',
            [queries.range('topk(%d, sum by (code) (%s) > 0)' % [top, b.rate('tabserve_reasons_total')], '{{code}}')],
            none='no reasons given'
          ),
        ]),
      ]),
    ],
    b.serviceVariables,
    b.deploys + [b.driftMark(b.anyDrift('tabserve_drift_outcome', ['outcome="drift"']))]
  )
