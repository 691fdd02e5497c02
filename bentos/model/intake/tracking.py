"""Where MLflow keeps runs and models.

Owns the default: one SQLite file and one artifact folder under the data directory, so
that nothing needs a server. `MLFLOW_TRACKING_URI` names a server instead.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

DATA_DIR_VARIABLE = "TABSERVE_DATA_DIR"
URI_VARIABLE = "MLFLOW_TRACKING_URI"

# MLflow copies the URI that it is given into its own variable. Remembering ours tells that
# copy from a choice of the user's.
_configured: set[str] = set()


def data_dir() -> Path:
    """The folder for everything written by default, absolute; it need not exist."""
    return Path(os.environ.get(DATA_DIR_VARIABLE) or ".tabserve").resolve()


def configure() -> str:
    """Point MLflow at its store and return the tracking URI.

    Also turns MLflow's usage statistics off, before MLflow is imported.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    # Its bars are drawn one above the other where several files are copied.
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    import mlflow  # noqa: PLC0415 - a worker never loads it

    for name in ("mlflow", "alembic"):  # both narrate the creation of the database
        logging.getLogger(name).setLevel(logging.WARNING)
    chosen = os.environ.get(URI_VARIABLE)
    if chosen and chosen not in _configured:
        mlflow.set_tracking_uri(chosen)
        return chosen
    folder = data_dir()
    folder.mkdir(parents=True, exist_ok=True)
    uri = f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
    _configured.add(uri)
    mlflow.set_tracking_uri(uri)
    return uri


def open_experiment(name: str) -> str:
    """Find or create an experiment and return its id. Call `configure` first.

    In the default store its artifacts go to the data directory; a server decides for itself.
    """
    import mlflow  # noqa: PLC0415 - a worker never loads it

    found = mlflow.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if mlflow.get_tracking_uri() in _configured:
        location = (data_dir() / "mlartifacts").as_uri()
    return str(mlflow.create_experiment(name, artifact_location=location))
