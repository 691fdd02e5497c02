"""MLflow's scoring protocol, as `mlflow models serve` speaks it since MLflow 2.0."""
