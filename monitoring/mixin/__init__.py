"""Dashboards, alerts and rules as jsonnet, and the program that renders them."""
