"""Intervals hold the truth about as often as they say."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bentos.audit.quality import bootstrap
from bentos.audit.quality.measures import measure_binary


def test_interval_covers() -> None:
    """Of 200 intervals for a known ROC-AUC, about 95 % hold it."""
    random = np.random.default_rng(1)
    # Two normal distributions one apart: AUC is the normal distribution at 1 / sqrt(2).
    truth = 0.5 * (1.0 + math.erf(0.5))
    held = 0
    for _ in range(200):
        outcomes = (random.random(300) < 0.4).astype(np.float64)
        raw = random.normal(0.0, 1.0, 300) + outcomes
        order = np.argsort(raw)
        scores, mine = raw[order], outcomes[order]

        def measure(
            part: NDArray[np.int64],
            scores: NDArray[np.float64] = scores,
            mine: NDArray[np.float64] = mine,
        ) -> dict[str, float]:
            return measure_binary(scores[part], mine[part], mine[part])

        interval = bootstrap.find_intervals(measure, 300, 200)["roc_auc"]
        assert interval is not None
        held += interval[0] <= truth <= interval[1]
    # Three standard errors of a binomial share of 0.95 in 200 are 0.046.
    assert 0.90 <= held / 200 <= 1.0


def test_the_same_every_time() -> None:
    """The same rows give the same interval."""
    values = np.random.default_rng(2).normal(size=100)

    def mean(part: NDArray[np.int64]) -> dict[str, float]:
        return {"mean": float(values[part].mean())}

    first = bootstrap.find_intervals(mean, 100)
    assert first == bootstrap.find_intervals(mean, 100)
    interval = first["mean"]
    assert interval is not None
    # The textbook's interval of a mean: 1.96 standard errors to each side.
    width = 2 * 1.96 * values.std() / 10.0
    assert abs((interval[1] - interval[0]) / width - 1.0) < 0.1


def test_undefined() -> None:
    """A number that most resamples cannot give has no interval."""
    found = bootstrap.find_intervals(lambda _: {"nothing": float("nan")}, 10, 100)
    assert found == {"nothing": None}
