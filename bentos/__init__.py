"""tabserve: from an MLflow model to a typed, batched, observable BentoML service."""
