// Recording rules: what alerts ask for, and what is too dear to be computed in a panel.
{
  prometheusRules+:: {
    groups+:
      (import 'traffic.libsonnet')($._config) +
      (import 'inputs.libsonnet')($._config) +
      (import 'objectives.libsonnet')($._config),
  },
}
