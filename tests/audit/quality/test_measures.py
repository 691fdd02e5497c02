"""The formulas of `performance` are scikit-learn's."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp
from sklearn import metrics

from bentos.audit.quality import measures

Floats = NDArray[np.float64]


def sample(rows: int, seed: int, *, ties: bool) -> tuple[Floats, Floats]:
    """Scores and outcomes that have to do with each other; with ties, few different scores."""
    random = np.random.default_rng(seed)
    scores = random.random(rows)
    if ties:
        scores = np.round(scores, 1)
    return scores, (random.random(rows) < scores).astype(np.float64)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rows", [20, 1000])
def test_binary(rows: int, ties: bool) -> None:
    """Each number of a binary model equals scikit-learn's, with and without ties."""
    scores, outcomes = sample(rows, 3, ties=ties)
    decided = (scores >= 0.4).astype(np.float64)
    found = measures.measure_binary(scores, outcomes, decided)
    assert found == pytest.approx(
        {
            "roc_auc": metrics.roc_auc_score(outcomes, scores),
            "ks": ks_2samp(scores[outcomes == 1], scores[outcomes == 0]).statistic,
            "brier": metrics.brier_score_loss(outcomes, scores),
            "calibration_gap": scores.mean() - outcomes.mean(),
            "accuracy": metrics.accuracy_score(outcomes, decided),
            "precision": metrics.precision_score(outcomes, decided),
            "recall": metrics.recall_score(outcomes, decided),
        },
        abs=1e-12,
    )


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.2])
@pytest.mark.parametrize("rows", [60, 1000])
def test_ks_interval_covers(rows: int, distance: float) -> None:
    """Of 400 intervals for a known KS distance, 95 % hold it or more: small or large samples."""
    random = np.random.default_rng(6)
    # Two normal distributions so far apart differ most in the middle between them.
    truth = math.erf(distance / (2.0 * math.sqrt(2.0)))
    held = 0
    for _ in range(400):
        outcomes = (random.random(rows) < 0.3).astype(np.float64)
        scores = random.normal(size=rows) + distance * outcomes
        low, high = measures.kolmogorov_smirnov_interval(scores, outcomes)
        held += low <= truth <= high
    # Three standard errors of a binomial share of 0.95 in 400 are 0.033.
    assert held / 400 >= 0.917


def test_calibration_groups_have_equal_size() -> None:
    """Ten groups by score; their rows add up, their means ascend, their rates are those of rows."""
    scores, outcomes = sample(1005, 1, ties=False)
    expected, observed, rows = measures.group_calibration(scores, outcomes)
    assert (rows.min(), rows.max(), rows.sum()) == (100, 101, 1005)
    assert (np.diff(expected) > 0).all()
    assert np.abs(expected - observed).max() < 0.2
    assert float(observed @ rows) == pytest.approx(outcomes.sum())


def test_few_rows_make_few_groups() -> None:
    """Fewer rows than groups leave no empty group behind."""
    scores, outcomes = sample(8, 1, ties=False)
    assert measures.group_calibration(scores, outcomes)[2].tolist() == [1] * 8


@pytest.mark.parametrize("ties", [False, True])
def test_calibration_error(ties: bool) -> None:
    """The error is the mean distance over pandas' quantile bins, weighted by rows."""
    scores, outcomes = sample(1000, 4, ties=ties)
    place = np.empty(1000, dtype=np.int64)
    place[np.argsort(scores, kind="stable")] = np.arange(1000) // 100
    groups = pd.DataFrame({"score": scores, "outcome": outcomes}).groupby(place).mean()
    expected = (groups["score"] - groups["outcome"]).abs().mean()
    assert measures.calibration_error(scores, outcomes) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("sizes", [(1, 1), (30, 500), (400, 400)])
def test_ks_between_samples(sizes: tuple[int, int]) -> None:
    """The distance between two samples is scipy's, with ties and without."""
    random = np.random.default_rng(7)
    one, other = random.random(sizes[0]), random.random(sizes[1]) ** 2
    for left, right in ((one, other), (np.round(one, 1), np.round(other, 1)), (one, one)):
        found = measures.kolmogorov_smirnov_between(left, right)
        assert found == pytest.approx(ks_2samp(left, right).statistic, abs=1e-12)


def test_what_cannot_be_said() -> None:
    """With one class there is no AUC, and no precision where nothing was decided positive."""
    scores, zeros = np.array([0.1, 0.2]), np.zeros(2)
    found = measures.measure_binary(scores, zeros, zeros)
    assert [name for name, value in found.items() if np.isnan(value)] == [
        "roc_auc",
        "ks",
        "precision",
        "recall",
    ]


def test_multiclass() -> None:
    """Each number of a multiclass model equals scikit-learn's."""
    random = np.random.default_rng(5)
    scores = random.dirichlet([1.0, 2.0, 1.0], 500)
    outcomes = np.array([random.choice(3, p=row) for row in scores])
    # A class that was held impossible and came all the same.
    scores[0] = [0.0, 0.5, 0.5]
    outcomes[0] = 0
    decided = scores.argmax(axis=1)
    assert measures.measure_multiclass(scores, outcomes, decided) == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(outcomes, decided),
            "roc_auc": metrics.roc_auc_score(outcomes, scores, multi_class="ovr"),
            "log_loss": metrics.log_loss(outcomes, scores),
        },
        abs=1e-12,
    )


def test_regression() -> None:
    """Each number of a regression equals scikit-learn's."""
    random = np.random.default_rng(6)
    truth = random.normal(10.0, 3.0, 300)
    values = truth + random.normal(0.0, 1.0, 300)
    assert measures.measure_regression(values, truth) == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(truth, values),
            "rmse": metrics.root_mean_squared_error(truth, values),
            "r2": metrics.r2_score(truth, values),
        },
        abs=1e-12,
    )


def test_a_constant_has_no_r2() -> None:
    """Where all true values are one, there is no variance to explain."""
    assert np.isnan(measures.measure_regression(np.ones(3), np.zeros(3))["r2"])
