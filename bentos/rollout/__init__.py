"""A new version in a cluster, step by step, judged against the version that serves.

`judge` and `plan` decide and are pure; `prometheus` and `cluster` read and act; `steering` puts
them together.
"""
