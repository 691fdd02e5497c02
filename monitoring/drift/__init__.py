"""The drift job: compares what a model version was asked with what it was trained on.

    prediction log (a window) + reference of that version -> detect -> store, report, JSON,
    Pushgateway, Grafana

It runs in an environment of its own (`environment/`), as a CronJob or by hand:
`python -m monitoring.drift`.
"""
