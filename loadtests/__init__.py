"""Load tests and benchmarks. Nothing here imports the service: it is measured from outside."""
