// What the service runs on: workers, the prediction log, the Pushgateway, the CronJob.
local boards = import '../lib/board.libsonnet';
local dashboards = import '../lib/dashboards.libsonnet';
local panels = import '../lib/panels.libsonnet';
local queries = import '../lib/queries.libsonnet';
local selectors = import '../lib/selectors.libsonnet';

function(config)
  local b = boards(config);
  local top = config.topSeries;
  local kube(name, matchers) = selectors.of(name, [config.kubeStateMetricsSelector] + matchers);
  local worker = '{{%s}} worker {{worker}}' % config.instanceLabel;
  local byWorker = '%s, worker' % config.instanceLabel;
  local starts = b.of('process_start_time_seconds');
  local pushAge = 'time() - %s' % selectors.of('push_time_seconds', [config.driftSelector]);
  dashboards.new(
    config,
    config.uids.health,
    'tabserve / system health',
    'CPU, memory and restarts of the workers; the way of answers into the prediction log; the Pushgateway and the CronJob.',
    [
      dashboards.row(4, [
        panels.stat(
          'How busy is the busiest worker?',
          'CPU of one worker; 100 % is one core, and a worker scores on one. Good: below 80 %. Otherwise add workers or replicas.',
          'percentunit',
          [queries.range('max(sum by (%s) (%s))' % [byWorker, b.rate('process_cpu_seconds_total')])],
          panels.rising(config.saturation, 0.95),
          none='no worker',
          decimals=0
        ),
        panels.stat(
          'How much memory do workers take?',
          'Resident memory of all workers. Good: flat. A slope over hours is a leak: note the version, restart, report it.',
          'bytes',
          [queries.range('sum(%s)' % b.of('process_resident_memory_bytes'))],
          none='no worker'
        ),
        panels.stat(
          'How often did workers restart?',
          'Starts of workers within the time shown, the first not counted. Good: 0, or one for each rollout. Otherwise kubectl logs --previous says what ended them.',
          'none',
          [queries.instant(b.orZero('sum(changes(%s[$__range]))' % starts))],
          panels.rising(1, 1 + config.restarts),
          decimals=0
        ),
        panels.stat(
          'How many rows were lost?',
          'Rows dropped from the prediction log within the time shown. Good: 0. Otherwise these answers cannot be explained later: see the runbook on TabserveLogDropping.',
          'short',
          [queries.instant(b.orZero('sum(%s)' % b.increase('tabserve_log_rows_dropped_total')))],
          panels.rising(1, 1),
          decimals=0
        ),
        panels.stat(
          'How far behind is the log?',
          'Age of the oldest row that is not in the store. Good: below a second. Otherwise the store is slow or away; rows wait on disk.',
          's',
          [queries.range('max(%s)' % b.of('tabserve_log_oldest_age_seconds'))],
          panels.rising(10, config.logAgeSeconds),
          none='no log'
        ),
        panels.stat(
          'How long ago did the drift job push?',
          'Time since the Pushgateway got something from the drift job. Good: below its interval. Otherwise see the CronJob and the drift dashboard.',
          's',
          [queries.range('min(%s)' % pushAge)],
          panels.rising(2 * config.driftIntervalSeconds, config.driftMissedRuns * config.driftIntervalSeconds),
          none='never',
          decimals=0
        ),
      ]),
      dashboards.row(6, [
        panels.timeseries(
          'How busy is each worker?',
          'CPU seconds a second. Good: even, below 0.8. One worker alone at 1 has more than its share of connections.',
          'percentunit',
          [queries.range('topk(%d, sum by (%s) (%s))' % [2 * top, byWorker, b.rate('process_cpu_seconds_total')], worker)],
          none='no worker',
          limit=config.saturation
        ),
        panels.timeseries(
          'How much memory has each worker?',
          'Resident memory. Good: flat after the first minutes. Saw teeth are restarts; a slope is a leak.',
          'bytes',
          [queries.range('topk(%d, max by (%s) (%s))' % [2 * top, byWorker, b.of('process_resident_memory_bytes')], worker)],
          none='no worker'
        ),
        panels.timeseries(
          'When did workers and containers restart?',
          'Starts of workers, and restarts of containers as Kubernetes counts them, in each step. Good: none outside rollouts. Otherwise see what ended them: kubectl logs --previous.',
          'short',
          [
            queries.range('sum by (%s) (changes(%s[$__rate_interval]))' % [config.instanceLabel, starts], '{{%s}} workers' % config.instanceLabel),
            queries.range('sum by (pod) (increase(%s[$__rate_interval])) > 0' % kube('kube_pod_container_status_restarts_total', [config.podSelector]), '{{pod}} container'),
          ],
          none='no worker'
        ),
        panels.timeseries(
          'How many descriptors are open?',
          'Open descriptors of the fullest worker and their limit. Good: far below the limit. A slope means that connections or files are not closed.',
          'short',
          [
            queries.range('max(%s)' % b.of('process_open_fds'), 'open'),
            queries.range('min(%s)' % b.of('process_max_fds'), 'limit'),
          ],
          none='no worker',
          log=true,
          min=1
        ),
      ]),
      dashboards.row(6, [
        panels.timeseries(
          'Does the log keep up?',
          'Rows taken for the log and rows written to its store, a second. Good: both lines together. Written below taken: the store is slow or away.',
          'rps',
          [
            queries.range('sum(%s)' % b.rate('tabserve_log_rows_enqueued_total'), 'taken'),
            queries.range('sum(%s)' % b.rate('tabserve_log_rows_written_total'), 'written'),
          ],
          none='no log'
        ),
        panels.timeseries(
          'How many rows wait?',
          'Rows not in the store yet, in memory and on disk, and how many fit into memory. Good: some hundred. Above the buffers rows are on disk alone.',
          'short',
          [
            queries.range('sum(%s)' % b.of('tabserve_log_queue_rows'), 'waiting'),
            queries.range('sum(%s)' % b.of('tabserve_log_queue_capacity_rows'), 'buffers hold'),
          ],
          none='no log',
          log=true,
          min=null
        ),
        panels.timeseries(
          'How old is the oldest row?',
          'Age of the oldest row that is not in the store. Good: below a second. A line that climbs as the clock does: nothing is written.',
          's',
          [queries.range('max by (%s) (%s)' % [config.instanceLabel, b.of('tabserve_log_oldest_age_seconds')], '{{%s}}' % config.instanceLabel)],
          none='no log',
          limit=config.logAgeSeconds
        ),
        panels.timeseries(
          'How long does a write take?',
          'Time of one write to the store. Good: milliseconds. Seconds are a store in trouble: look at its own dashboards.',
          's',
          [
            queries.range('histogram_quantile(0.5, sum by (le) (%s))' % b.rate('tabserve_log_write_duration_seconds_bucket'), 'half are faster'),
            queries.range('histogram_quantile(0.95, sum by (le) (%s))' % b.rate('tabserve_log_write_duration_seconds_bucket'), '95 % are faster'),
          ],
          none='no writes'
        ),
      ]),
      dashboards.row(6, [
        panels.timeseries(
          'Which rows are lost, and why?',
          'Rows dropped from the log by reason. Good: none. `spool_full` and `buffer_full`: the store was away too long; other reasons: the store refuses the rows.',
          'rps',
          [queries.range('sum by (reason) (%s)' % b.rate('tabserve_log_rows_dropped_total'), '{{reason}}')],
          none='no log'
        ),
        panels.timeseries(
          'How full is the spool?',
          'Bytes on disk that are not in the store, and how many may be. Good: near 0. At the limit rows are dropped.',
          'bytes',
          [
            queries.range('sum(%s)' % b.of('tabserve_log_spool_bytes'), 'used'),
            queries.range('sum(%s)' % b.of('tabserve_log_spool_capacity_bytes'), 'limit'),
          ],
          none='no log',
          log=true,
          min=null
        ),
        panels.timeseries(
          'How fresh is each group of the Pushgateway?',
          'Time since each group was pushed. Good: saw teeth as high as the interval. A group that only climbs is a job or a model that is gone: delete it.',
          's',
          [queries.range('topk(%d, %s)' % [2 * top, pushAge], '{{job}} {{model}}')],
          none='never pushed'
        ),
        panels.timeseries(
          'Does the CronJob run?',
          'Time since Kubernetes last scheduled the drift job and since it last succeeded. Good: below the interval. Without kube-state-metrics there is nothing here.',
          's',
          [
            queries.range('time() - max by (cronjob) (%s)' % kube('kube_cronjob_status_last_schedule_time', [config.cronJobSelector]), '{{cronjob}} scheduled'),
            queries.range('time() - max by (cronjob) (%s)' % kube('kube_cronjob_status_last_successful_time', [config.cronJobSelector]), '{{cronjob}} succeeded'),
          ],
          none='no kube-state-metrics'
        ),
      ]),
    ],
    b.serviceVariables,
    b.deploys
  )
