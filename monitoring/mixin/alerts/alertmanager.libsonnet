// Alertmanager's configuration: who hears of what, how often, and what keeps quiet meanwhile.
{
  local config = $._config,
  local settings = config.alertmanager,

  local receiver(severity) = {
    name: severity,
    email_configs: [{
      to: settings.emails[severity],
      send_resolved: true,
      headers: { subject: '[%s] {{ .CommonAnnotations.summary }}' % severity },
    }],
    slack_configs: [{
      api_url_file: settings.slackUrlFile,
      channel: settings.slackChannels[severity],
      send_resolved: true,
      title: '{{ .Status | toUpper }}: {{ .CommonAnnotations.summary }}',
      text: |||
        {{ range .Alerts }}{{ .Annotations.description }}
        <{{ .Annotations.runbook_url }}|runbook> <{{ .Annotations.dashboard_url }}|dashboard>
        {{ end }}
      |||,
    }],
    webhook_configs: [{ url: url, send_resolved: true } for url in settings.webhooks[severity]],
  },

  local equal = config.groupLabels,

  alertmanager:: {
    global: {
      resolve_timeout: settings.resolveTimeout,
      smtp_smarthost: settings.smtpSmarthost,
      smtp_from: settings.smtpFrom,
      smtp_auth_username: settings.smtpUsername,
      smtp_auth_password_file: settings.smtpPasswordFile,
    },
    route: {
      // What has no severity of ours is for office hours.
      receiver: 'ticket',
      // One message for an alert of a service, however many replicas and features it names.
      group_by: ['alertname'] + config.groupLabels,
      group_wait: settings.groupWait,
      group_interval: settings.groupInterval,
      repeat_interval: settings.repeatIntervals.ticket,
      routes: [
        {
          receiver: severity,
          matchers: ['severity="%s"' % severity],
          repeat_interval: settings.repeatIntervals[severity],
        }
        for severity in ['page', 'ticket']
      ],
    },
    inhibit_rules: [
      {
        // Where the whole service is down, the rest about it is a consequence.
        source_matchers: ['alertname="TabserveDown"'],
        target_matchers: ['alertname=~"Tabserve.+"', 'alertname!="TabserveDown"'],
        equal: equal,
      },
      {
        // Where no worker is ready, every request fails.
        source_matchers: ['alertname="TabserveNotReady"'],
        target_matchers: [
          'alertname=~"TabserveWorkersNotReady|TabserveErrorRatio|TabserveLatencyP95|TabserveAvailabilityBudgetBurn|TabserveLatencyBudgetBurn"',
        ],
        equal: equal,
      },
      {
        // The same budget burning faster says all that the slower one says.
        source_matchers: ['alertname=~"Tabserve.+BudgetBurn"', 'severity="page"'],
        target_matchers: ['alertname=~"Tabserve.+BudgetBurn"', 'severity="ticket"'],
        equal: equal + ['objective'],
      },
      {
        // Rows that are lost already are the end of the same trouble.
        source_matchers: ['alertname="TabserveLogDropping"'],
        target_matchers: ['alertname=~"TabserveLogStalled|TabserveLogBacklog"'],
        equal: equal,
      },
    ],
    receivers: [receiver('page'), receiver('ticket')],
  },
}
