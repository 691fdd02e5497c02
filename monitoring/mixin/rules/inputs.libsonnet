// What the model is fed and what it says, over the input window, against training or yesterday.
local scope = import '../lib/scope.libsonnet';

function(config)
  local s = scope(config);
  local share(record, metric) = {
    record: record,
    expr: |||
      sum by (%(byFeature)s) (rate(%(metric)s[%(window)s]))
        / on (%(by)s) group_left ()
      sum by (%(by)s) (rate(%(rows)s[%(window)s]))
    ||| % {
      by: s.group,
      byFeature: s.groupAnd(['feature']),
      metric: s.service(metric),
      rows: s.service('tabserve_rows_total', ['outcome="scored"']),
      window: config.inputWindow,
    },
  };
  local distribution(range) =
    |||
      sum by (%(byBucket)s) (rate(%(bucket)s[%(range)s))
        / on (%(by)s) group_left ()
      sum by (%(by)s) (rate(%(count)s[%(range)s))
    ||| % {
      by: s.groupAnd(['model', 'version']),
      byBucket: s.groupAnd(['model', 'version', 'le']),
      bucket: s.service('tabserve_score_bucket'),
      count: s.service('tabserve_score_count'),
      range: range,
    };
  [
    {
      name: 'tabserve-inputs',
      rules: [
        share('tabserve:feature_missing:ratio', 'tabserve_feature_missing_total'),
        share('tabserve:feature_out_of_range:ratio', 'tabserve_feature_out_of_range_total'),
        share('tabserve:feature_unknown_category:ratio', 'tabserve_feature_unknown_category_total'),
        {
          // Points above the share of missing values that training had.
          record: 'tabserve:feature_missing:above_training',
          expr: |||
            tabserve:feature_missing:ratio
              - on (%(by)s)
            max by (%(by)s) (%(training)s)
          ||| % {
            by: s.groupAnd(['feature']),
            training: s.service('tabserve_feature_training_missing_ratio'),
          },
        },
        {
          // The distance of two distribution functions (Kolmogorov and Smirnov), at the
          // histogram's limits: the last hour's scores and those of the day before it.
          record: 'tabserve:score:shift',
          expr: |||
            max by (%(by)s) (abs(
              (
                %(now)s  )
              -
              (
                %(before)s  )
            ))
          ||| % {
            by: s.groupAnd(['model', 'version']),
            now: distribution(config.inputWindow + ']'),
            before: distribution('%s] offset %s' % [config.baselineWindow, config.inputWindow]),
          },
        },
      ],
    },
  ]
