"""Fixtures that several test modules share: a store of real models, and the service on it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

# Before BentoML and MLflow are imported: a store of its own, and no usage statistics.
_HOME = tempfile.TemporaryDirectory(prefix="tabserve-tests-")
os.environ["BENTOML_HOME"] = str(Path(_HOME.name) / "bentoml")
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{_HOME.name}/mlflow.db"
for _name in [name for name in os.environ if name.startswith("TABSERVE_")]:
    del os.environ[_name]

from bentos import intake  # noqa: E402 - after the environment is set
from tests import models  # noqa: E402 - the same


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    """The training frame of all test models."""
    return models.training_frame()


@pytest.fixture(scope="session")
def imported(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Bento tags of an imported model of each kind, by kind."""
    folder = tmp_path_factory.mktemp("models")
    made = {
        "binary": models.log(models.binary(frame), frame, folder / "binary", threshold=0.4),
        "multiclass": models.log(
            models.multiclass(frame),
            frame,
            folder / "multiclass",
            classes=["high", "low", "middle"],
        ),
        "regression": models.log(models.regression(frame), frame, folder / "regression"),
        "booster": models.log(models.booster(frame), frame, folder / "booster"),
    }
    return {
        kind: intake.import_model(str(path), name=f"test-{kind}").tag for kind, path in made.items()
    }


@pytest.fixture(scope="session", autouse=True)
def _clean_up() -> Iterator[None]:
    """Remove the store when all tests are done."""
    yield
    _HOME.cleanup()
