// Is it up, how much is asked, how slow, what fails, who is refused, how near is each limit.
local boards = import '../lib/board.libsonnet';
local dashboards = import '../lib/dashboards.libsonnet';
local objectives = import '../lib/objectives.libsonnet';
local panels = import '../lib/panels.libsonnet';
local queries = import '../lib/queries.libsonnet';
local scope = import '../lib/scope.libsonnet';

function(config)
  local b = boards(config);
  local s = scope(config);
  local availability = objectives.list(config)[0];
  local longest = config.burnRates[std.length(config.burnRates) - 1].long;
  local quantile(q, by, series) = 'histogram_quantile(%g, sum by (%s) (%s))' % [q, std.join(', ', by + ['le']), series];
  local durations = b.rate('tabserve_request_duration_seconds_bucket', [s.scoring]);
  local errors = b.orZero(
    'sum(%s) / sum(%s)' % [
      b.rate('tabserve_requests_total', [s.scoring, s.serverErrors]),
      b.rate('tabserve_requests_total', [s.scoring]),
    ]
  );
  dashboards.new(
    config,
    config.uids.service,
    'tabserve / service',
    'Is the service up, how much is asked of it, how fast does it answer, what fails and who is refused.',
    [
      dashboards.row(4, [
        panels.stat(
          'Is it up?',
          'Share of replicas that answer scrapes. Good: 100 %. Otherwise look at the pods: kubectl get pods, then the runbook on TabserveDown.',
          'percentunit',
          [queries.range('avg(%s)' % b.of('up'))],
          panels.falling(0.5, 1),
          none='no replica',
          decimals=0
        ),
        panels.stat(
          'Are all workers ready?',
          'Workers that proved their model, of those that should run. Good: 100 %. Otherwise /readyz of the replica says why.',
          'percentunit',
          [queries.range('sum(%s) / sum(%s)' % [b.of('tabserve_ready'), b.of('tabserve_workers_expected')])],
          panels.falling(0.5, 1),
          none='no worker',
          decimals=0
        ),
        panels.stat(
          'How much traffic?',
          'Scoring requests. Good: what you know of this hour. A sudden zero means that clients do not reach the service.',
          'reqps',
          [queries.range(b.orZero('sum(%s)' % b.rate('tabserve_requests_total', [s.scoring])))]
        ),
        panels.stat(
          'What share fails?',
          'Scoring requests answered with 5xx. Good: below 0.1 %. Otherwise see the errors by route and status.',
          'percentunit',
          [queries.range(errors)],
          panels.rising(0.001, config.errorRatio),
          decimals=2
        ),
        panels.stat(
          'How slow is p95?',
          '95th percentile of scoring requests, all replicas together. Good: a few milliseconds. Otherwise see which stage takes the time.',
          's',
          [queries.range(quantile(0.95, [], durations))],
          panels.rising(config.objectives.latencySeconds, config.p95Seconds),
          none='no requests'
        ),
        panels.stat(
          'What budget is left?',
          'Of the failures that the availability objective allows over %s, the share not used yet. Good: above 0. Below 0 the objective is missed: ship nothing risky.' % longest,
          'percentunit',
          [queries.range('1 - max(%s) / %g' % [
            b.rule(availability.record(longest)),
            std.round((1 - availability.objective) * 1e9) / 1e9,
          ])],
          panels.falling(0, 0.5),
          none='no requests',
          decimals=0
        ),
        panels.stat(
          'How near a limit?',
          'The fullest of requests, bodies, descriptors and CPU of any worker. Good: below 80 %. Otherwise add replicas or workers, or raise the limit.',
          'percentunit',
          [queries.range('max(%s)' % b.of('tabserve:saturation:ratio'))],
          panels.rising(config.saturation, 0.95),
          decimals=0
        ),
        panels.stat(
          'How many versions?',
          'Model versions served at this moment. Good: 1, or 2 while a rollout or canary runs. Otherwise a rollout hangs.',
          'none',
          [queries.range('count(count by (model, version) (%s))' % b.of('tabserve_model_info'))],
          panels.rising(2, 3),
          none='no model',
          decimals=0
        ),
      ]),
      dashboards.row(6, [
        panels.timeseries(
          'How much is asked, by route?',
          'Requests a second by route. Good: the usual rhythm of the day. A route that vanishes is a client that broke; a jump of `other` is a scanner.',
          'reqps',
          [queries.range('sum by (route) (%s)' % b.rate('tabserve_requests_total'), '{{route}}')],
          stack=true
        ),
        panels.timeseries(
          'How slow is it, by percentile?',
          'Time of scoring requests, all replicas together. Good: the 99th percentile below the line, which is the objective. Where only that one rises, something stalls now and then; where all rise, the workers are full.',
          's',
          [
            queries.range(quantile(0.5, [], durations), 'half are faster'),
            queries.range(quantile(0.95, [], durations), '95 % are faster'),
            queries.range(quantile(0.99, [], durations), '99 % are faster'),
          ],
          none='no requests',
          limit=config.objectives.latencySeconds
        ),
        panels.timeseries(
          'Which errors are there, by route and status?',
          'Answers of 5xx a second. Good: none. 500 is a mistake of the service (its log has the stack), 503 is overload or not ready, 504 a timeout.',
          'reqps',
          [queries.range('sum by (route, status) (%s) > 0' % b.rate('tabserve_requests_total', [s.serverErrors]), '{{route}} {{status}}')],
          none='no errors'
        ),
      ]),
      dashboards.row(6, [
        panels.timeseries(
          'Which stage takes the time?',
          '95th percentile of each stage. Good: predict has most of it. A long queue means full workers; a long decode, large or slow bodies; a long encode, large answers.',
          's',
          [queries.range(quantile(0.95, ['stage'], b.rate('tabserve_stage_duration_seconds_bucket')), '{{stage}}')],
          none='no requests'
        ),
        panels.heatmap(
          'How are durations spread?',
          'Scoring requests by how long they took. Good: one narrow band. Two bands are two kinds of requests, or one slow replica.',
          's',
          [queries.buckets('sum by (le) (%s)' % b.rate('tabserve_request_duration_seconds_bucket', [s.scoring]))],
          none='no requests'
        ),
        panels.timeseries(
          'Who is refused, and why?',
          'Answers a second that are no success, by client and kind. Good: few. A client with many `invalid-features` or `malformed` was changed: tell its owner. `not-ready` is a start, `overloaded` too much load.',
          'reqps',
          [queries.range('topk(%d, sum by (client, kind) (%s) > 0)' % [config.topSeries, b.rate('tabserve_problems_total')], '{{client}} {{kind}}')],
          none='nobody is refused'
        ),
        panels.timeseries(
          'What is shed, and for which reason?',
          'Requests refused to protect the rest. Good: none. `concurrency`: too many at once; `wait`: workers too slow; `large`: too many large bodies; `memory`: bodies take too much.',
          'reqps',
          [queries.range('sum by (reason) (%s)' % b.rate('tabserve_requests_shed_total'), '{{reason}}')],
          none='nothing is shed'
        ),
      ]),
      dashboards.row(6, [
        panels.timeseries(
          'How full is each limit?',
          'The fullest worker for each resource. Good: below the line. Full CPU: add workers or replicas; full requests or bodies: clients wait for something; full descriptors: connections pile up.',
          'percentunit',
          [queries.range('max by (resource) (%s)' % b.of('tabserve:saturation:ratio'), '{{resource}}')],
          limit=config.saturation,
          max=1
        ),
        panels.timeseries(
          'Does one worker hang?',
          'Time from the last sign of life of each worker to the scrape. Good: below a second. A line that climbs is a worker that hangs: requests that reach it wait. Restart its pod.',
          's',
          [queries.range('topk(%d, min by (%s, worker) (timestamp(%s) - %s))' % [config.topSeries, config.instanceLabel, b.of('tabserve_worker_heartbeat_timestamp_seconds'), b.of('tabserve_worker_heartbeat_timestamp_seconds')], '{{%s}} worker {{worker}}' % config.instanceLabel)],
          none='no worker',
          limit=config.heartbeatSeconds
        ),
        panels.timeseries(
          'Does each worker get its share?',
          'Requests a second by worker. Good: lines close together. One at zero hangs or is not ready; one far above the rest has the long connections.',
          'reqps',
          [queries.range('topk(%d, sum by (%s, worker) (%s))' % [2 * config.topSeries, config.instanceLabel, b.rate('tabserve_worker_requests_total')], '{{%s}} worker {{worker}}' % config.instanceLabel)],
          none='no worker'
        ),
        panels.timeseries(
          'Is one version slower?',
          '95th percentile by model version. Good: a new version as fast as the old one. Otherwise look at its engine and number of trees before it gets more traffic.',
          's',
          [queries.range(quantile(0.95, ['version'], durations), '{{version}}')],
          none='no requests'
        ),
      ]),
      dashboards.folded('Batching', [
        dashboards.row(6, [
          panels.heatmap(
            'How many rows has a batch?',
            'Rows scored by one call of the model. Good: few at low load, many at high load. Always one under load means that rows do not arrive together: see the wait.',
            'short',
            [queries.buckets('sum by (le) (%s)' % b.rate('tabserve_batch_rows_bucket'))],
            none='no batches',
            decimals=0
          ),
          panels.timeseries(
            'How long does a row wait for its batch?',
            'Wait of the oldest row of a batch. Good: far below the time of one prediction, unless TABSERVE_BATCH_WAIT_MS is set. Otherwise the worker is full.',
            's',
            [
              queries.range(quantile(0.5, [], b.rate('tabserve_batch_wait_seconds_bucket')), 'half wait less'),
              queries.range(quantile(0.99, [], b.rate('tabserve_batch_wait_seconds_bucket')), '99 % wait less'),
            ],
            none='no batches'
          ),
          panels.timeseries(
            'How full are batches?',
            'Rows of a batch as a share of TABSERVE_BATCH_MAX_ROWS. Good: below 50 %. Near 100 % a larger maximum scores more rows a second.',
            'percentunit',
            [
              queries.range(quantile(0.5, [], b.rate('tabserve_batch_fill_ratio_bucket')), 'half are emptier'),
              queries.range(quantile(0.95, [], b.rate('tabserve_batch_fill_ratio_bucket')), '95 % are emptier'),
            ],
            none='no batches',
            max=1
          ),
          panels.timeseries(
            'What sends batches off?',
            'Batches a second by reason. Good: `turn`, so no row waits. `full`: more load than one call takes; `wait`: TABSERVE_BATCH_WAIT_MS ran out.',
            'ops',
            [queries.range('sum by (reason) (%s)' % b.rate('tabserve_batches_total'), '{{reason}}')],
            none='no batches',
            stack=true
          ),
        ]),
      ]),
    ],
    b.serviceVariables,
    b.deploys + [b.driftMark(b.anyDrift('tabserve_drift_outcome', ['outcome="drift"']))]
  )
