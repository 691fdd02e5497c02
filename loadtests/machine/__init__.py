"""The machine of a measurement: its facts, its cores, the servers started on it."""
