"""Task, classes and booster of LightGBM models of every class and objective."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest

from bentos.errors import IntakeError
from bentos.model.intake.lightgbm_model import read_lightgbm
from tests import models


@pytest.mark.parametrize("dtype", [object, "str"])
def test_text_classes_of_pandas(frame: pd.DataFrame, dtype: Any) -> None:
    """Classes of a pandas column of text are read as plain text."""
    target = pd.Series(np.where(models.signal(frame) > 6, "yes", "no"), dtype=dtype)
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(frame, target)
    assert read_lightgbm(model)[:2] == ("binary", ("no", "yes"))


def _squares(scores: Any, data: lightgbm.Dataset) -> tuple[Any, Any]:
    return scores - data.get_label(), np.ones_like(scores)


def test_boosters_of_other_objectives(frame: pd.DataFrame) -> None:
    """A raw booster's objective tells its task; several scores a row are classes by number."""
    grades = (frame["grade"].astype(int) - 3) // 2
    data = lightgbm.Dataset(frame, label=grades.to_numpy())
    base = {"verbose": -1, "num_threads": 1}
    many = lightgbm.train({**base, "objective": "multiclass", "num_class": 3}, data, 2)
    assert read_lightgbm(many)[:2] == ("multiclass", (0, 1, 2))
    data = lightgbm.Dataset(frame, label=grades.to_numpy())
    counts = lightgbm.train({**base, "objective": "poisson"}, data, 2)
    assert read_lightgbm(counts)[:2] == ("regression", None)
    data = lightgbm.Dataset(frame, label=grades.to_numpy())
    own = lightgbm.train({**base, "objective": _squares}, data, 2)
    assert read_lightgbm(own)[:2] == ("regression", None)


def _objective(truth: Any, scores: Any) -> tuple[Any, Any]:
    return scores - truth, np.ones_like(scores)


def test_own_objective(frame: pd.DataFrame) -> None:
    """A classifier with an objective of its own is refused: its scores are no probabilities."""
    target = (models.signal(frame) > 6).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, objective=_objective)
    with pytest.raises(IntakeError, match="no probabilities"):
        read_lightgbm(model.fit(frame, target))


def test_odd_number_of_scores(frame: pd.DataFrame) -> None:
    """A classifier of two classes with two scores a row is refused, with what to do."""
    target = (models.signal(frame) > 6).astype(int)
    model = lightgbm.LGBMClassifier(
        n_estimators=2, verbose=-1, objective="multiclass", num_class=2
    ).fit(frame, target)
    with pytest.raises(IntakeError, match="2 classes and 2 scores a row"):
        read_lightgbm(model)


def test_no_lightgbm_model() -> None:
    """What is no LightGBM model is refused by type."""
    with pytest.raises(IntakeError, match="of type dict"):
        read_lightgbm({})


@pytest.mark.parametrize(
    ("objective", "task"),
    [
        ("binary", "binary"),
        ("cross_entropy", "binary"),
        ("cross_entropy_lambda", "regression"),
        ("tweedie", "regression"),
        ("gamma", "regression"),
        ("quantile", "regression"),
    ],
)
def test_objectives(frame: pd.DataFrame, objective: str, task: str) -> None:
    """Only objectives whose scores are probabilities make a booster a classifier."""
    target = (models.signal(frame) > 6).astype(int) + (objective in ("tweedie", "gamma"))
    parameters = {"objective": objective, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(frame, target), 2)
    assert read_lightgbm(booster)[0] == task


def test_classifier_without_probabilities(frame: pd.DataFrame) -> None:
    """A classifier with the objective of a regression is refused."""
    target = (models.signal(frame) > 6).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, objective="regression")
    with pytest.raises(IntakeError, match="objective regression, whose scores are no prob"):
        read_lightgbm(model.fit(frame, target))


def test_several_targets(frame: pd.DataFrame) -> None:
    """Several numbers a row of an objective of one's own are no classes."""
    data = lightgbm.Dataset(frame, (models.signal(frame) > 6).astype(int))
    parameters = {"objective": _two, "num_class": 2, "verbose": -1, "num_threads": 1}
    with pytest.raises(IntakeError, match="2 numbers a row"):
        read_lightgbm(lightgbm.train(parameters, data, 2))


def _two(scores: Any, data: lightgbm.Dataset) -> tuple[Any, Any]:
    return scores - np.asarray(data.get_label())[:, None], np.ones_like(scores)
