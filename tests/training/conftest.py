"""One store for the whole session, and trainings small enough to run many times."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from bentos.model.intake import tracking
from bentos.training import data, settings, split
from bentos.training.command import train
from bentos.training.data import Dataset
from bentos.training.description import describe_unknown
from bentos.training.settings import Settings

# A tenth of the rows and two trials: seconds, and still better than the baseline.
SMALL = (
    "data.rows=3000",
    "lightgbm.trials=2",
    "random_forest.trees=10",
    "evidence.reference_rows=500",
    "evidence.contribution_rows=100",
    "data.explore=false",
    "registry.minimum_auc=null",
)


@dataclass(frozen=True)
class Outcome:
    """What a command said and how it ended."""

    exit_code: int
    output: str

    def run_of(self, candidate: str) -> str:
        """The run id in a candidate's row of the table."""
        found = re.search(rf"^{candidate} .* (\w+)$", self.output, flags=re.MULTILINE)
        assert found is not None, self.output
        return found.group(1)


def run(*arguments: str) -> Outcome:
    """Run `tabserve train` in this process; an exception that is no exit fails the test."""
    result = CliRunner().invoke(train, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.output)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's data directory. MLflow takes seconds to create a database: once is enough."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """MLflow on SQLite, shared by the session; returns the tracking URI."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("TABSERVE_DATA_DIR", str(folder))
    return tracking.configure()


@pytest.fixture(scope="session")
def first(folder: Path) -> Outcome:
    """The first small training of the reference model: `credit-default` version 1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("TABSERVE_DATA_DIR", str(folder))
        return run(*SMALL)


@pytest.fixture(scope="session")
def reference() -> Dataset:
    """The packaged data, whole."""
    return data.load_reference()


@pytest.fixture(scope="session")
def chosen() -> Settings:
    """The packaged settings, without what belongs to the reference data."""
    return settings.load({}, None, SMALL)


def make_rows(count: int = 600, seed: int = 5) -> pd.DataFrame:
    """Rows of every kind: numbers with gaps, integers, text with gaps, booleans, a target.

    The outcome hangs on a product of two columns, which no linear model can see.
    """
    generator = np.random.default_rng(seed)
    first_number, second_number = generator.normal(size=(2, count))
    colour = generator.choice(["red", "green", "blue"], count).astype(object)
    logit = 3 * first_number * second_number + (colour == "red")
    outcome = generator.random(count) < 1 / (1 + np.exp(-logit))
    rows = pd.DataFrame(
        {
            "first": first_number,
            "second": second_number,
            "count": generator.integers(0, 9, count),
            "colour": colour,
            "is_new": generator.random(count) < 0.5,
            "outcome": np.where(outcome, "yes", "no"),
        }
    )
    rows.loc[rows.index % 10 == 0, "first"] = np.nan
    rows.loc[rows.index % 15 == 0, "colour"] = None
    return rows


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of mixed columns with the target `outcome`."""
    path = tmp_path_factory.mktemp("data") / "mixed.csv"
    make_rows(1500).to_csv(path, index=False)
    return path


def make_dataset(count: int = 600, seed: int = 5) -> Dataset:
    """The mixed rows as they are trained on."""
    rows = make_rows(count, seed)
    features = rows.drop(columns="outcome").astype(
        {"count": "float64", "colour": pd.CategoricalDtype(["blue", "green", "red"])}
    )
    labels = np.array(rows["outcome"].tolist())
    return Dataset(features, labels, ("no", "yes"), describe_unknown("mixed", "outcome"), "mixed")


def halve(dataset: Dataset) -> tuple[Dataset, Dataset]:
    """Two halves: to learn from and to look at."""
    parts = split.divide(dataset.outcomes, seed=1, validation=0.0, test=0.5)
    return dataset.take(parts.train), dataset.take(parts.test)
