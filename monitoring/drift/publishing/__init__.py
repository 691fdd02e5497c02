"""Where results go: standard output, JSON, Pushgateway, Grafana, reports."""
