from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.metrics import roc_auc_score

from bentos.training.candidates import Candidate, fit_forest, fit_lightgbm, fit_linear
from bentos.training.data import Dataset
from bentos.training.settings import Settings
from tests.training.conftest import halve, make_dataset


def fit(name: str, train: Dataset, validation: Dataset, chosen: Settings) -> Candidate:
    """Fit a candidate by its name."""
    if name == "logistic_regression":
        return fit_linear(train, chosen.linear)
    if name == "random_forest":
        return fit_forest(train, chosen.random_forest)
    return fit_lightgbm(train, validation, chosen.lightgbm, lambda line: None)


@pytest.mark.parametrize("name", ["logistic_regression", "random_forest", "lightgbm"])
def test_every_candidate_takes_every_kind_of_column(name: str, chosen: Settings) -> None:
    """Gaps in numbers, gaps in categories, booleans: each model scores them as probabilities."""
    train, validation = halve(make_dataset())
    candidate = fit(name, train, validation, chosen)
    scores = candidate.score(validation.features)
    assert candidate.name == name
    assert scores.dtype == np.float64
    assert scores.shape == validation.outcomes.shape
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("name", ["logistic_regression", "random_forest", "lightgbm"])
def test_same_rows_give_the_same_model(name: str, chosen: Settings) -> None:
    """Two fits score equal to the last bit."""
    train, validation = halve(make_dataset())
    scores = [
        fit(name, train, validation, chosen).score(validation.features).tobytes() for _ in range(2)
    ]
    assert scores[0] == scores[1]


def test_score_is_of_the_second_class(chosen: Settings) -> None:
    """With labels "no" and "yes" a high score means "yes"."""
    train, validation = halve(make_dataset(2000))
    candidate = fit("lightgbm", train, validation, chosen)
    assert roc_auc_score(validation.outcomes, candidate.score(validation.features)) > 0.7


def test_category_that_training_lacks_is_known(chosen: Settings) -> None:
    """A category that only later rows have is known to every candidate."""
    dataset = make_dataset()
    without = dataset.take(np.flatnonzero(dataset.features["colour"] != "green"))
    for name in ("logistic_regression", "random_forest", "lightgbm"):
        candidate = fit(name, without, dataset, chosen)
        assert np.isfinite(candidate.score(dataset.features)).all()


def test_search_reports_every_trial_and_keeps_the_best(chosen: Settings) -> None:
    """One line and one number a trial; the model is the best trial's, with its trees only."""
    train, validation = halve(make_dataset())
    lines: list[str] = []
    candidate = fit_lightgbm(train, validation, replace(chosen.lightgbm, trials=3), lines.append)
    assert len(lines) == len(candidate.history) == 3
    auc = roc_auc_score(validation.outcomes, candidate.score(validation.features))
    assert auc == max(candidate.history)
    assert isinstance(candidate.model, LGBMClassifier)
    assert candidate.model.booster_.num_trees() == candidate.parameters["n_estimators"]


def test_search_stays_in_its_ranges(chosen: Settings) -> None:
    """The settings bound what is tried."""
    train, validation = halve(make_dataset())
    narrow = replace(
        chosen.lightgbm,
        maximum_trees=7,
        search=replace(chosen.lightgbm.search, num_leaves=[5, 5], reg_lambda=[2.0, 2.0]),
    )
    candidate = fit_lightgbm(train, validation, narrow, lambda line: None)
    assert candidate.parameters["num_leaves"] == 5
    assert candidate.parameters["reg_lambda"] == 2.0
    assert candidate.parameters["n_estimators"] <= 7
