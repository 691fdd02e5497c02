"""Fixtures that several test modules share: a store of real models, and the service on it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

# Before BentoML and MLflow are imported: a store of its own, and no usage statistics.
_HOME = tempfile.TemporaryDirectory(prefix="tabserve-tests-")
os.environ["BENTOML_HOME"] = str(Path(_HOME.name) / "bentoml")
os.environ["BENTOML_DO_NOT_TRACK"] = "True"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{_HOME.name}/mlflow.db"
for _name in [name for name in os.environ if name.startswith("TABSERVE_")]:
    del os.environ[_name]

import bentoml  # noqa: E402 - after the environment is set

from bentos.model import bundle, store  # noqa: E402 - the same
from bentos.model.intake import importing  # noqa: E402 - the same
from bentos.model.store import StoredModel  # noqa: E402 - the same
from tests import models  # noqa: E402 - the same
from tests.records.postgresql import Server  # noqa: E402 - the same

if TYPE_CHECKING:
    from loadtests.zoo import Animal

# The same examples in every run: a failure is never a matter of luck, nor a pass.
settings.register_profile(
    "tabserve",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tabserve")


class ZooModel(NamedTuple):
    """A small model of one kind of the zoo: as it was trained, and as it is served."""

    animal: Animal
    stored: StoredModel

    def rows(self, count: int) -> list[dict[str, Any]]:
        """The first rows of training as clients send them: a missing value is null."""
        return [
            {str(key): None if value != value else value for key, value in row.items()}  # noqa: PLR0124 - NaN
            for row in self.animal.frame.head(count).to_dict("records")
        ]


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    """The training frame of all test models."""
    return models.training_frame()


@pytest.fixture(scope="session")
def trained(frame: pd.DataFrame) -> dict[str, Any]:
    """A LightGBM model of each kind, by kind."""
    return {
        "binary": models.binary(frame),
        "multiclass": models.multiclass(frame),
        "regression": models.regression(frame),
        "booster": models.booster(frame),
    }


@pytest.fixture(scope="session")
def folders(
    trained: dict[str, Any], frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The MLflow folder of each model of `trained`, by kind."""
    folder = tmp_path_factory.mktemp("models")
    classes = {"multiclass": ["high", "low", "middle"]}
    thresholds = {"binary": 0.4}
    return {
        kind: models.log(
            model,
            frame,
            folder / kind,
            classes=classes.get(kind),
            threshold=thresholds.get(kind),
        )
        for kind, model in trained.items()
    }


@pytest.fixture(scope="session")
def pipeline_folder(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The MLflow folder of a scikit-learn classifier."""
    return models.log_pipeline(
        models.pipeline(frame), frame, tmp_path_factory.mktemp("models") / "pipeline"
    )


@pytest.fixture(scope="session")
def imported(folders: dict[str, Path]) -> dict[str, str]:
    """Bento tags of an imported model of each kind, by kind."""
    return {
        kind: importing.import_model(str(path), name=f"test-{kind}").tag
        for kind, path in folders.items()
    }


@pytest.fixture(scope="session")
def stored(imported: dict[str, str]) -> dict[str, StoredModel]:
    """The models of `imported`, opened."""
    return {kind: store.open_model(bentoml.models.get(tag)) for kind, tag in imported.items()}


@pytest.fixture(scope="session")
def zoo_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ZooModel]:
    """Gives a model of the zoo by its name, trained and imported once."""
    # Here, as it loads CatBoost and XGBoost.
    from loadtests import zoo

    folder = tmp_path_factory.mktemp("zoo")

    @cache
    def make(name: str) -> ZooModel:
        # Enough trees for the kind; the sizes are for the load tests.
        animal = zoo.train(name, 0.1)
        logged = zoo.log(animal, folder / name)
        # Without golden rows of training a worker is ready without MLflow.
        (logged / bundle.FOLDER / bundle.GOLDEN).unlink()
        # Some of the zoo are pickles, of our own making.
        found = importing.import_model(str(logged), name=f"zoo-{name}", trusts_code=True)
        return ZooModel(animal, store.open_model(bentoml.models.get(found.tag)))

    return make


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL that runs as long as the tests do; each test makes its own databases."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def database(server: Server) -> str:
    """URL of an empty database, as its superuser."""
    return server.make_database()


@pytest.fixture(scope="session", autouse=True)
def _clean_up() -> Iterator[None]:
    """Remove the store when all tests are done."""
    yield
    _HOME.cleanup()
