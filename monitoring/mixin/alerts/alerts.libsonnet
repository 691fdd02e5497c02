// Alerting rules, by what they watch. Each has a section in the runbook.
{
  prometheusAlerts+:: {
    groups+: [
      { name: 'tabserve-availability', rules: (import 'availability.libsonnet')($._config) },
      { name: 'tabserve-requests', rules: (import 'requests.libsonnet')($._config) },
      { name: 'tabserve-access', rules: (import 'access.libsonnet')($._config) },
      { name: 'tabserve-objectives', rules: (import 'objectives.libsonnet')($._config) },
      { name: 'tabserve-log', rules: (import 'log.libsonnet')($._config) },
      { name: 'tabserve-model', rules: (import 'model.libsonnet')($._config) },
      { name: 'tabserve-drift', rules: (import 'drift.libsonnet')($._config) },
    ],
  },
}
