// What the dashboards of one configuration share: series of the chosen service and of the
// chosen drift job, their variables, and the marks of deploys and of drift.
local dashboards = import 'dashboards.libsonnet';
local selectors = import 'selectors.libsonnet';
local variables = import 'variables.libsonnet';

function(config) {
  local optional(label) = label != 'job',
  local labels = [{ name: label, optional: optional(label) } for label in config.groupLabels],
  local replica = labels + [{ name: config.instanceLabel, optional: false }],
  local chosen(entries) = [variables.chosen(entry.name) for entry in entries],

  // A metric of the chosen replicas, and one that only the whole service has (a rule).
  of(name, matchers=[]):: selectors.of(name, [config.serviceSelector] + chosen(replica) + matchers),
  rule(name, matchers=[]):: selectors.of(name, [config.serviceSelector] + chosen(labels) + matchers),
  rate(name, matchers=[]):: 'rate(%s[$__rate_interval])' % self.of(name, matchers),
  increase(name, matchers=[]):: 'increase(%s[$__range])' % self.of(name, matchers),

  // A metric that the drift job pushed, for the chosen models and versions.
  drift(name, matchers=[])::
    selectors.of(name, [config.driftSelector] + chosen(labels) + chosen([{ name: 'model' }, { name: 'version' }]) + matchers),
  run(name, matchers=[]):: selectors.of(name, [config.driftSelector] + chosen(labels) + matchers),
  // The same for the whole of a drift job, where a dashboard's own `job` is the service's.
  anyDrift(name, matchers=[]):: selectors.of(name, [config.driftSelector] + matchers),

  // Of nothing at all, a counter says nothing: there, zero is the truth.
  orZero(expr):: '(%s) or vector(0)' % expr,

  serviceVariables::
    [variables.datasource(config)] +
    variables.chain('tabserve_ready', [config.serviceSelector], replica),
  driftVariables::
    [variables.datasource(config)] +
    variables.chain(
      'tabserve_drift_outcome',
      [config.driftSelector],
      labels + [{ name: 'model', optional: false }, { name: 'version', optional: false }]
    ),

  // Five minutes from the first sight of a version, of a package or of settings.
  local appeared(series, by) = 'sum by (%(by)s) (%(series)s) unless sum by (%(by)s) (%(series)s offset 5m)' % { series: series, by: by },
  deploys:: [
    dashboards.annotation(
      'Models',
      appeared(self.of('tabserve_model_info'), 'model, version'),
      'a model is served for the first time',
      '{{model}} {{version}}',
      'blue'
    ),
    dashboards.annotation(
      'Deploys',
      appeared(self.of('tabserve_settings_info'), 'fingerprint'),
      'other settings',
      'settings {{fingerprint}}',
      'purple'
    ),
  ],
  local drifted(series) = '(%(series)s == 1) unless (%(series)s offset 5m == 1)' % { series: series },
  driftMark(series):: dashboards.annotation(
    'Drift',
    drifted(series),
    'drift found',
    '{{model}} {{version}}',
    'red'
  ),
}
