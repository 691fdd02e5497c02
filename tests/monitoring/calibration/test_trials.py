"""Trials: nothing drifted is quiet, and what was done to a window is found."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
import pytest

from monitoring.drift.calibration import outcomes, trials
from monitoring.drift.calibration.__main__ import describe
from monitoring.drift.decision.sample import Sample
from monitoring.drift.reading import read_reference
from tests.monitoring.conftest import QUICK, make_frame, to_parquet

FRAME = make_frame(5_000, seed=1).astype({"region": "category"})
CONTRACT = describe(to_parquet(FRAME), 0.5)
ALL = [trial for trial in trials.list_trials(CONTRACT) if trial.rows <= 2_000]

# Not always found, and need not be: near the least effects, or of little power at that many rows.
NEAR = ("shifted by 0.1", "0.2 standard deviations", "becomes 55 %", "500 levels")


@pytest.fixture(scope="module")
def reference() -> Sample:
    """The rows that windows are made of."""
    return read_reference(to_parquet(FRAME), CONTRACT)


def test_a_reference_alone_tells_its_types() -> None:
    """As far as drift needs them: numbers, categories, booleans."""
    kinds = [feature.kind for feature in CONTRACT.features]
    assert kinds == ["float", "float", "category", "boolean"]


@pytest.mark.parametrize("trial", ALL, ids=lambda trial: f"{trial.name} {trial.rows}")
def test_a_trial_measures_what_it_says(trial: trials.Trial, reference: Sample) -> None:
    """One window of each kind."""
    training = outcomes.measure_training(CONTRACT, reference.scores)
    found = trials.run_trial(trial, 1, reference, CONTRACT, training, QUICK)
    never = "becomes 53 %" in trial.name or "KS in any" in trial.name
    if not any(word in trial.name for word in NEAR):
        assert found == (not trial.is_quiet and not never)


def test_outcomes_are_those_that_the_scores_promise() -> None:
    """Of a binary model the Brier score is the mean of p * (1 - p)."""
    scores = pd.DataFrame({"": np.random.default_rng(1).random(2_000)})
    measured = outcomes.measure_training(CONTRACT, scores)
    assert measured["brier"] == pytest.approx(np.mean(scores[""] * (1 - scores[""])))
    assert measured["roc_auc"] == pytest.approx(5 / 6, abs=0.01)


def test_outcomes_of_several_classes_follow_their_scores() -> None:
    """Accuracy and log loss of many draws are those that the scores promise."""
    random = np.random.default_rng(2)
    names = ("a", "b", "c")
    scores = pd.DataFrame(random.dirichlet([1, 2, 3], 20_000), columns=list(names))
    contract = msgspec.structs.replace(CONTRACT, task="multiclass", classes=names, threshold=None)
    truth = outcomes.draw_outcomes(contract, scores, random)
    places = np.array([names.index(name) for name in truth])
    measured = outcomes.measure_training(contract, scores)
    hits = (scores.to_numpy().argmax(axis=1) == places).mean()
    assert measured["accuracy"] == pytest.approx(hits, abs=0.01)
    loss = -np.log(scores.to_numpy()[np.arange(20_000), places]).mean()
    assert measured["log_loss"] == pytest.approx(loss, rel=0.02)


def test_outcomes_of_a_regression_have_the_error_that_training_measured() -> None:
    """Mean absolute and root mean squared error of many draws."""
    random = np.random.default_rng(3)
    scores = pd.DataFrame({"": random.exponential(10.0, 20_000)})
    contract = msgspec.structs.replace(CONTRACT, task="regression", classes=None, threshold=None)
    truth = np.array([float(text) for text in outcomes.draw_outcomes(contract, scores, random)])
    measured = outcomes.measure_training(contract, scores)
    errors = truth - scores[""].to_numpy()
    assert measured["mae"] == pytest.approx(np.abs(errors).mean(), rel=0.03)
    assert measured["rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.03)
