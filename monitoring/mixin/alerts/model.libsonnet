// What the model is fed and what it says, from the service's own counts, within the hour.
local lib = import '../lib/alerts.libsonnet';
local scope = import '../lib/scope.libsonnet';

function(config)
  local alerts = lib(config);
  local s = scope(config);
  local scoredRows(range) = 'sum by (%s) (increase(%s[%s))' % [s.group, s.service('tabserve_rows_total', ['outcome="scored"']), range];
  local enoughRows = scoredRows(config.inputWindow + ']');
  [
    alerts.new(
      'TabserveScoreShift',
      'ticket',
      'steady',
      alerts.guarded(
        alerts.guarded('tabserve:score:shift > %g' % config.scoreShift, enoughRows, config.minRows),
        scoredRows('%s] offset %s' % [config.baselineWindow, config.inputWindow]),
        config.minRows
      ),
      'The scores of {{ $labels.model }} moved.',
      'The scores of {{ $labels.model }} {{ $labels.version }} in the last %s are {{ $value | printf "%%.2f" }} away (KS distance) from those of the %s before.' % [config.inputWindow, config.baselineWindow],
      'model',
    ),
    alerts.new(
      'TabserveFeatureMissing',
      'ticket',
      'steady',
      alerts.guarded('tabserve:feature_missing:above_training > %g' % config.missingAboveTraining, enoughRows, config.minRows),
      'A feature of {{ $labels.job }} is missing far more often than in training.',
      'Feature {{ $labels.feature }} is missing in {{ $value | humanizePercentage }} more of the rows of %sthan it was in training, over %s.' % [alerts.place, config.inputWindow],
      'model',
    ),
    alerts.new(
      'TabserveUnseenCategories',
      'ticket',
      'steady',
      alerts.guarded('tabserve:feature_unknown_category:ratio > %g' % config.unseenRatio, enoughRows, config.minRows),
      'A feature of {{ $labels.job }} has categories that training never saw.',
      'Feature {{ $labels.feature }} has an unseen category in {{ $value | humanizePercentage }} of the rows of %sover %s; it is scored as missing.' % [alerts.place, config.inputWindow],
      'model',
    ),
    alerts.new(
      'TabserveFeatureOutOfRange',
      'ticket',
      'steady',
      alerts.guarded('tabserve:feature_out_of_range:ratio > %g' % config.outOfRangeRatio, enoughRows, config.minRows),
      'A feature of {{ $labels.job }} is outside the range of training.',
      'Feature {{ $labels.feature }} is outside its training range in {{ $value | humanizePercentage }} of the rows of %sover %s.' % [alerts.place, config.inputWindow],
      'model',
    ),
  ]
