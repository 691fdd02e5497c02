// Variables of dashboards: the data source, and labels that depend on the ones before them.
local queries = import 'queries.libsonnet';
local selectors = import 'selectors.libsonnet';

{
  datasource(config):: {
    type: 'datasource',
    name: 'datasource',
    label: 'Data source',
    query: 'prometheus',
    regex: config.datasourceRegex,
    current: { text: config.datasource, value: config.datasource },
    hide: 0,
    includeAll: false,
    multi: false,
    options: [],
    refresh: 1,
    skipUrlSync: false,
  },

  // The values of a label, any number of which may be chosen. `optional`: series without the
  // label count too.
  label(name, metric, matchers, optional=false):: {
    type: 'query',
    name: name,
    label: name,
    datasource: queries.datasource,
    query: 'label_values(%s, %s)' % [selectors.of(metric, matchers), name],
    regex: '',
    // On every change of the time range.
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: if optional then '.*' else '.+',
    current: { selected: true, text: ['All'], value: ['$__all'] },
    hide: 0,
    options: [],
    skipUrlSync: false,
  },

  // Several labels, each limited by what was chosen of those before it.
  chain(metric, matchers, labels)::
    std.foldl(
      function(made, entry)
        made + [
          $.label(entry.name, metric, matchers + [$.chosen(one.name) for one in made], entry.optional),
        ],
      labels,
      []
    ),

  // The matcher of a variable.
  chosen(name):: '%s=~"$%s"' % [name, name],
}
