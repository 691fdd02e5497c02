"""The machine of a measurement: its processes."""
