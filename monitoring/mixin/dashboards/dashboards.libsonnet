// The dashboards, by file name.
{
  grafanaDashboards+:: {
    'tabserve-service.json': (import 'service.libsonnet')($._config),
    'tabserve-model.json': (import 'model.libsonnet')($._config),
    'tabserve-drift.json': (import 'drift.libsonnet')($._config),
    'tabserve-health.json': (import 'health.libsonnet')($._config),
  },
}
