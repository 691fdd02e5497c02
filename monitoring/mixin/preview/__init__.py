"""Draws the dashboards from a live Prometheus into one HTML page: `make dashboards-preview`."""
