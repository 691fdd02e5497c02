"""Confidence-based estimation is right where scores are calibrated, and only there."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from bentos.audit.quality import estimate, measures

Floats = NDArray[np.float64]


def calibrated(rows: int = 50_000, seed: int = 1) -> tuple[Floats, Floats]:
    """Scores, and outcomes that come as often as the scores say."""
    random = np.random.default_rng(seed)
    scores = random.beta(1.5, 4.0, rows)
    return scores, (random.random(rows) < scores).astype(np.float64)


def test_close_to_the_truth() -> None:
    """On calibrated scores each estimate is within sampling error of what is measured."""
    scores, outcomes = calibrated()
    decided = (scores >= 0.35).astype(np.float64)
    found = estimate.estimate_binary(scores, decided)
    truth = measures.measure_binary(scores, outcomes, decided)
    assert found == pytest.approx({name: truth[name] for name in found}, abs=0.01)


def test_wrong_when_miscalibrated() -> None:
    """Scores twice too bold promise far more than they keep, and the check says so."""
    scores, outcomes = calibrated()
    odds = np.log(scores / (1.0 - scores))
    bold = 1.0 / (1.0 + np.exp(-3.0 * odds))
    decided = (bold >= 0.35).astype(np.float64)
    found = estimate.estimate_binary(bold, decided)
    truth = measures.measure_binary(bold, outcomes, decided)
    assert found["roc_auc"] > truth["roc_auc"] + 0.1
    assert found["brier"] < truth["brier"] - 0.05
    assert min(estimate.check_calibration(bold, outcomes).values()) < 1e-6


def test_calibration_check_is_honest() -> None:
    """Of 200 calibrated samples, about one in a hundred is called miscalibrated at 0.01."""
    alarms = 0
    for seed in range(200):
        scores, outcomes = calibrated(500, seed)
        alarms += estimate.check_calibration(scores, outcomes)["spread"] < 0.01
    # Of 200, 2 are expected; 8 or more come up once in a thousand times.
    assert alarms < 8


def test_sure_scores() -> None:
    """Scores of 0 and 1 hold if every outcome agrees, and fail with the first that does not."""
    scores = np.array([0.0, 1.0])
    assert estimate.check_calibration(scores, scores)["gap"] == 1.0
    assert estimate.check_calibration(scores, np.ones(2))["gap"] == 0.0


def test_area_is_that_of_pairs() -> None:
    """The expected AUC is the ratio of expected numbers of pairs, over pairs of different rows."""
    scores = np.array([0.1, 0.4, 0.4, 0.7, 0.95])
    right = pairs = 0.0
    for one, other in itertools.permutations(range(5), 2):
        chance = scores[one] * (1.0 - scores[other])
        pairs += chance
        right += chance * ((scores[one] > scores[other]) + 0.5 * (scores[one] == scores[other]))
    found = estimate.estimate_binary(scores, np.ones(5))["roc_auc"]
    assert found == pytest.approx(right / pairs, abs=1e-12)


def test_no_chance_of_either_class() -> None:
    """Where only one outcome is possible there is no AUC, nor recall of what cannot be."""
    found = estimate.estimate_binary(np.zeros(3), np.zeros(3))
    assert [name for name, value in found.items() if np.isnan(value)] == [
        "roc_auc",
        "precision",
        "recall",
    ]


def test_multiclass() -> None:
    """On calibrated scores of several classes the estimates are close to what is measured."""
    random = np.random.default_rng(4)
    scores = random.dirichlet([1.0, 2.0, 1.0], 20_000)
    outcomes = (random.random((20_000, 1)) > scores.cumsum(axis=1)).sum(axis=1)
    decided = scores.argmax(axis=1)
    found = estimate.estimate_multiclass(scores, decided)
    assert found == pytest.approx(measures.measure_multiclass(scores, outcomes, decided), abs=0.015)
