from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from bentos.model.intake.tracking import open_experiment
from bentos.training import registry
from bentos.training.data import Dataset
from bentos.training.registry import CHALLENGER, CHAMPION, IncomparableError
from bentos.training.settings import RegistrySettings
from tests.training.conftest import halve, make_dataset

OPEN = RegistrySettings(minimum_auc=None, margin=0.01, require=[])
TRAIN, TEST = halve(make_dataset())


def score(model: LGBMClassifier) -> NDArray[np.float64]:
    """What a model says of the test rows."""
    return np.asarray(model.predict_proba(TEST.features), dtype=np.float64)[:, 1]


@pytest.fixture(scope="module")
def model() -> LGBMClassifier:
    """A classifier on the mixed rows."""
    return LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=2, random_state=1).fit(
        TRAIN.features, TRAIN.labels
    )


@pytest.fixture(scope="module")
def auc(model: LGBMClassifier) -> float:
    """Its ROC-AUC on the test rows."""
    return float(roc_auc_score(TEST.outcomes, score(model)))


@pytest.fixture
def name(request: pytest.FixtureRequest, store: str) -> Iterator[str]:
    """A registered name of this test's own."""
    assert store.startswith("sqlite:")
    yield request.node.name.replace("[", "-").replace("]", "")


def log(model: LGBMClassifier | LGBMRegressor) -> str:
    """Log a model and return its URI."""
    with mlflow.start_run(experiment_id=open_experiment("registry")):
        logged = mlflow.lightgbm.log_model(model, name="model", pip_requirements=["lightgbm"])
    return str(logged.model_uri)


def test_first_model_is_champion_unless_under_the_bar(name: str) -> None:
    """Without a champion only the bar counts."""
    bar = RegistrySettings(minimum_auc=0.7, margin=0.01, require=[])
    assert registry.find_champion(name) is None
    assert registry.judge(name, 0.71, TEST, "a", bar).alias == CHAMPION
    under = registry.judge(name, 0.69, TEST, "a", bar)
    assert under.alias == CHALLENGER
    assert "under the bar of 0.7000" in under.reason


def test_champion_falls_only_to_a_better_one(name: str, model: LGBMClassifier, auc: float) -> None:
    """Better by the margin on the same rows replaces it; equal or hardly better does not."""
    registry.register(name, log(model), CHAMPION, {registry.DATA_TAG: "a"})
    assert registry.judge(name, auc + 0.02, TEST, "a", OPEN).alias == CHAMPION
    same = registry.judge(name, auc, TEST, "a", OPEN)
    assert same.alias == CHALLENGER
    assert "not better by the margin" in same.reason
    assert f"{auc:.4f} of the champion (version 1)" in same.reason
    assert "flatter" not in same.reason
    assert registry.judge(name, auc + 0.005, TEST, "a", OPEN).alias == CHALLENGER


def test_champion_of_other_data_is_remarked(name: str, model: LGBMClassifier, auc: float) -> None:
    """It may have trained on these very rows: the reason says that the comparison is unfair."""
    registry.register(name, log(model), CHAMPION, {registry.DATA_TAG: "a"})
    assert "flatter" in registry.judge(name, auc, TEST, "b", OPEN).reason


def test_versions_and_aliases_move(name: str, model: LGBMClassifier) -> None:
    """A second version leaves the champion where it is, until it is registered as one."""
    uri = log(model)
    first = registry.register(name, uri, CHAMPION, {"note": "x"})
    second = registry.register(name, uri, CHALLENGER, {})
    champion = registry.find_champion(name)
    assert champion is not None
    versions = [str(version.version) for version in (first, second, champion)]
    assert versions == ["1", "2", "1"]
    assert champion.tags["note"] == "x"
    registry.register(name, uri, CHAMPION, {})
    moved = registry.find_champion(name)
    assert moved is not None
    assert str(moved.version) == "3"


def test_champion_scores_as_logged(name: str, model: LGBMClassifier) -> None:
    """The registry gives the model back bit for bit, whatever the order of the columns."""
    version = registry.register(name, log(model), CHAMPION, {})
    turned = replace(TEST, features=TEST.features[TEST.features.columns[::-1]])
    assert registry.score(version, turned).tobytes() == score(model).tobytes()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (replace(TEST, features=TEST.features.drop(columns="first")), "no column 'first'"),
        (replace(TEST, classes=("a", "b")), "other classes"),
        (
            replace(TEST, features=TEST.features.assign(colour=np.arange(300.0))),
            "columns of other types",
        ),
    ],
)
def test_other_interface_cannot_be_compared(
    name: str, model: LGBMClassifier, rows: Dataset, words: str
) -> None:
    """A champion that takes other features keeps its place, and the reason says why."""
    version = registry.register(name, log(model), CHAMPION, {})
    with pytest.raises(IncomparableError, match=words):
        registry.score(version, rows)
    verdict = registry.judge(name, 0.99, rows, "a", OPEN)
    assert verdict.alias == CHALLENGER
    assert words in verdict.reason


def test_other_kinds_of_model_cannot_be_compared(name: str) -> None:
    """A regressor has no probabilities to compare."""
    regressor = LGBMRegressor(n_estimators=2, verbose=-1, n_jobs=2)
    regressor.fit(TRAIN.features, TRAIN.outcomes)
    registry.register(name, log(regressor), CHAMPION, {})
    assert "no LightGBM classifier" in registry.judge(name, 0.9, TEST, "a", OPEN).reason


def test_lost_champion_cannot_be_compared(name: str, model: LGBMClassifier) -> None:
    """A champion whose files are gone keeps its alias until somebody looks after it."""
    uri = log(model)
    registry.register(name, uri, CHAMPION, {})
    logged = mlflow.get_logged_model(uri.rpartition("/")[2])
    shutil.rmtree(url2pathname(urlsplit(logged.artifact_location).path))
    verdict = registry.judge(name, 0.99, TEST, "a", OPEN)
    assert verdict.alias == CHALLENGER
    assert "cannot be loaded" in verdict.reason


def test_same_means_data_and_settings(name: str, model: LGBMClassifier) -> None:
    """Only where both digests agree is a training the same."""
    tags = {registry.DATA_TAG: "d", registry.SETTINGS_TAG: "s"}
    registry.register(name, log(model), CHAMPION, tags)
    champion = registry.find_champion(name)
    assert champion is not None
    assert registry.is_same(champion, "d", "s")
    assert not registry.is_same(champion, "d", "t")
    assert not registry.is_same(champion, "e", "s")
