// Everything that can be tuned, each with the reason for its value. Nothing is hard-coded
// elsewhere: import mixin.libsonnet and override what is different at your place.
{
  _config+:: {
    // ---- Where the series are. An empty selector is allowed, and takes every job.

    // The scrape job of the service: the name that its Kubernetes Service has.
    serviceSelector: 'job="tabserve"',
    // The drift job pushes under its own name (TABSERVE_DRIFT_JOB_NAME); the Pushgateway is
    // scraped with honor_labels, so that this name stays.
    driftSelector: 'job="tabserve_drift"',
    pushgatewaySelector: 'job="pushgateway"',
    // kube-state-metrics, for restarts and the CronJob. Without it those panels say "no data".
    kubeStateMetricsSelector: 'job="kube-state-metrics"',
    // Names of the manifests in k8s/.
    podSelector: 'pod=~"tabserve-.*", container="tabserve"',
    cronJobSelector: 'cronjob="tabserve-drift"',

    // Labels that tell one service from another: rules aggregate by them, alerts carry them.
    // `namespace` is absent without Kubernetes, which PromQL reads as empty. Add `cluster`
    // where one Prometheus watches several.
    groupLabels: ['namespace', 'job'],
    // The label that tells one replica from another: Prometheus sets it on every target.
    instanceLabel: 'instance',

    // Routes whose failure fails no prediction: probes, scrapes, pages, the log's feedback. All
    // others count, so that a new protocol is watched without a change here.
    otherRoutes: [
      '/',
      '/docs[.]json',
      '/healthz',
      '/livez',
      '/metrics',
      '/readyz',
      '/schema[.]json',
      '/v1/feedback',
      '/v1/model',
      'other',
    ],
    // The latency objective is about one row at a time: a batch of 10,000 rows may take longer.
    singleRowRoutes: ['/v1/predict'],

    // ---- Objectives

    objectives: {
      // 99.9 % of scoring requests get an answer that is not the server's fault: 43 minutes a
      // month may fail. 503 for overload counts: the client got no score.
      availability: 0.999,
      // 99 % of single rows within 100 ms. One row takes 0.3 ms on an idle worker and 5 ms on a
      // full one, so this is broken only where something waits.
      latency: 0.99,
      // Must be one of the histogram's buckets, or no request could be counted against it.
      latencySeconds: 0.1,
    },
    // Windows and factors of the Google SRE workbook, chapter 5: 2 % of a month's budget in an
    // hour and 5 % in six wake a person; 10 % in a day or three are for office hours. The short
    // window ends the alert soon after the errors end.
    burnRates: [
      { long: '1h', short: '5m', factor: 14.4, severity: 'page', timing: 'fast' },
      { long: '6h', short: '30m', factor: 6, severity: 'page', timing: 'steady' },
      { long: '1d', short: '2h', factor: 3, severity: 'ticket', timing: 'slow' },
      { long: '3d', short: '6h', factor: 1, severity: 'ticket', timing: 'slow' },
    ],

    // ---- Thresholds

    // The simple alerts that people ask for first.
    errorRatio: 0.05,
    p95Seconds: 1,
    // Low-traffic guard: below so many scoring requests in the window, one failed request is
    // a large share of them.
    minRequests: 100,
    // As many rows as the drift job asks for (TABSERVE_DRIFT_MIN_ROWS) before it judges.
    minRows: 500,
    // A worker reports itself four times a second; ten seconds behind means that its event loop
    // hangs or that it is stopped. Scrapes of 15 s would show a pause of one only by luck.
    heartbeatSeconds: 10,
    // Shedding protects those that are served; more than 1 % of requests means too few workers.
    shedRatio: 0.01,
    // Above 80 % of a limit a burst of a quarter more reaches it.
    saturation: 0.8,
    // Ordinary clients send few mistakes; a fifth of all rows is a client that was changed.
    rejectedRatio: 0.2,
    // The log is behind where its oldest row is five minutes old: a write takes milliseconds.
    logAgeSeconds: 300,
    // Half of the spool leaves as much time again to mend the store.
    spoolRatio: 0.5,
    // Distance of the distribution functions of scores, this hour and the day before. Sampling
    // alone gives 0.06 at 500 rows (1.36 / sqrt(500)), a daily rhythm somewhat more.
    scoreShift: 0.15,
    // Points above the training's own rate of missing values.
    missingAboveTraining: 0.1,
    // Share of rows with a category that training never saw: one in a hundred is no typing error.
    unseenRatio: 0.01,
    // Share of rows outside the range of training, where trees can only repeat the last leaf.
    outOfRangeRatio: 0.05,
    // More restarts of one worker, or of one pod, in an hour than a rollout makes.
    restarts: 2,

    // ---- Windows

    // Long enough for four scrapes of 15 s and to smooth one bad second.
    shortWindow: '5m',
    // Of the input alerts: the rows of an hour are enough for most services.
    inputWindow: '1h',
    // What the scores of the last `inputWindow` are compared with.
    baselineWindow: '1d',
    // How often the drift job runs: the schedule of k8s/components/drift/cronjob.yaml.
    driftIntervalSeconds: 3600,
    // Runs that may be missing before the job counts as stale: one may be late, one may fail.
    driftMissedRuns: 3,
    // A new key has to reach its client, who has to put it in place: two weeks of office hours.
    keyExpiryDays: 14,
    // How long the job may be unable to tell: over a night there can be too few rows.
    cannotTellFor: '24h',

    // ---- How long a condition must hold, and how long an alert stays after it ended

    timings: {
      // What happened cannot be undone, waiting brings nothing. Stays until a person saw it.
      event: { 'for': '0m', keep_firing_for: '15m' },
      // People notice at once; two minutes pass over a restart. Stays over one flap.
      fast: { 'for': '2m', keep_firing_for: '5m' },
      // Load goes up and down within minutes: only what lasts needs somebody.
      steady: { 'for': '10m', keep_firing_for: '10m' },
      // For office hours: an hour more changes nothing, a rollout is over by then.
      slow: { 'for': '1h', keep_firing_for: '30m' },
      // Results of a job change once a run: they hold as long as the gauge does.
      run: { 'for': '0m', keep_firing_for: '10m' },
      // The heartbeat's own threshold is the wait; a minute more passes over a slow scrape.
      stalled: { 'for': '1m', keep_firing_for: '5m' },
    },

    // ---- Where people look. Set these two: `example` hosts resolve nowhere.

    grafanaUrl: 'https://grafana.example',
    // monitoring/runbook.md as your repository or wiki serves it; alerts add #their-name.
    runbookUrl: 'https://tabserve.example/monitoring/runbook.md',

    // ---- Dashboards

    dashboardTag: 'tabserve',
    // Which data source is chosen first: '' takes Grafana's default, no uid is assumed.
    datasource: 'default',
    datasourceRegex: '',
    // Six hours show a night's beginning; 30 s is twice a scrape.
    timeFrom: 'now-6h',
    refresh: '30s',
    // Most series of a panel by feature or by client: more lines than this nobody can tell apart.
    topSeries: 10,
    uids: {
      service: 'tabserve-service',
      model: 'tabserve-model',
      drift: 'tabserve-drift',
      health: 'tabserve-health',
    },

    // ---- Alertmanager

    alertmanager: {
      // Addresses to set; `example` hosts resolve nowhere. Secrets are read from files that the
      // deployment mounts, and are in no configuration.
      smtpSmarthost: 'smtp.example:587',
      smtpFrom: 'alertmanager@tabserve.example',
      smtpUsername: 'alertmanager',
      smtpPasswordFile: '/etc/alertmanager/secrets/smtp-password',
      slackUrlFile: '/etc/alertmanager/secrets/slack-url',
      emails: { page: 'on-call@tabserve.example', ticket: 'team@tabserve.example' },
      slackChannels: { page: '#tabserve-page', ticket: '#tabserve-ticket' },
      // URLs that get every notification as JSON, by severity: for a pager or a test.
      webhooks: { page: [], ticket: [] },
      // Alerts of one cause come within seconds of each other: one message for all of them.
      groupWait: '30s',
      groupInterval: '5m',
      // A page that nobody answered comes again within the hour, a ticket once a day.
      repeatIntervals: { page: '1h', ticket: '24h' },
      resolveTimeout: '5m',
    },
  },
}
