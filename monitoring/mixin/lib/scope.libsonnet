// The series of one service in rules and alerts: its matchers and the labels to aggregate by.
local selectors = import 'selectors.libsonnet';

function(config) {
  // Labels of one service, and of one replica of it.
  group:: std.join(', ', config.groupLabels),
  replica:: std.join(', ', config.groupLabels + [config.instanceLabel]),
  // Labels of one service and some more.
  groupAnd(labels):: std.join(', ', config.groupLabels + labels),

  // A metric of the service.
  service(name, matchers=[]):: selectors.of(name, [config.serviceSelector] + matchers),
  drift(name, matchers=[]):: selectors.of(name, [config.driftSelector] + matchers),

  // Routes that score.
  scoring:: selectors.none('route', config.otherRoutes),
  singleRow:: selectors.any('route', config.singleRowRoutes),
  serverErrors:: 'status=~"5.."',
}
