// Shares of bad requests for each objective and each window of the burn rates, from one list.
local objectives = import '../lib/objectives.libsonnet';

function(config) [
  {
    name: 'tabserve-objective-' + objective.name,
    rules: [
      { record: objective.record(window), expr: objective.badRatio(window) }
      for window in objectives.windows(config)
    ],
  }
  for objective in objectives.list(config)
]
