// The whole mixin. Another stack imports this file with jsonnet-bundler and adds
// `{ _config+:: { ... } }` with what is different there.
(import 'config.libsonnet') +
(import 'rules/rules.libsonnet') +
(import 'alerts/alerts.libsonnet') +
(import 'alerts/alertmanager.libsonnet') +
(import 'dashboards/dashboards.libsonnet')
