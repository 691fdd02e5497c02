"""The mixin: rendered, parsed, linted, and run against Prometheus."""
