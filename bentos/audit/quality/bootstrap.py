"""How far a number could be off by chance: percentile bootstrap intervals. Pure.

Efron and Tibshirani 1993, chapter 13: rows are drawn again with replacement, as many as
there are, and the number is measured anew each time. Rows are taken as independent.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

# The 2.5 and 97.5 % points of 500 resamples are good to about half a point of coverage.
RESAMPLES = 500
# The same log gives the same intervals.
SEED = 20_261_121
# Resamples in which a number may be undefined before its interval is none.
_UNDEFINED_SHARE = 0.05

Rows = NDArray[np.int64]
Measure = Callable[[Rows], dict[str, float]]


def find_intervals(
    measure: Measure, rows: int, resamples: int = RESAMPLES
) -> dict[str, tuple[float, float] | None]:
    """The 95 % interval of each number that `measure` gives for row numbers, ascending.

    None where the number is undefined in more than a twentieth of the resamples.
    """
    random = np.random.default_rng(SEED)
    every = np.arange(rows)
    drawn: dict[str, list[float]] = {}
    for _ in range(resamples):
        counts = np.bincount(random.integers(0, rows, rows), minlength=rows)
        for name, value in measure(np.repeat(every, counts)).items():
            drawn.setdefault(name, []).append(value)
    return {name: _interval(np.array(values)) for name, values in drawn.items()}


def _interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    defined = values[~np.isnan(values)]
    if len(defined) < (1.0 - _UNDEFINED_SHARE) * len(values):
        return None
    low, high = np.quantile(defined, [0.025, 0.975]).tolist()
    return low, high
