"""Two shares of rows against each other: Fisher's exact test."""

from __future__ import annotations

import numpy as np
from alibi_detect.cd import FETDrift
from numpy.typing import NDArray

from monitoring.drift.decision.findings import Check, CheckName
from monitoring.drift.decision.limits import MIN_PRESENT, Limits

# Why a check of values has no statistic.
TOO_FEW = f"fewer than {MIN_PRESENT} values present on one side"


def compare_rates(
    name: CheckName,
    reference: NDArray[np.bool_],
    window: NDArray[np.bool_],
    least: float,
    alternative: str = "two-sided",
) -> Check:
    """Fisher's exact test of two shares; statistic: their difference; effect: its size."""
    sides = reference.reshape(-1, 1), window.reshape(-1, 1)
    p_value, _ = FETDrift(sides[0], alternative=alternative).feature_score(*sides)
    change = float(window.mean() - reference.mean())
    # The hypergeometric sums of Fisher's test may exceed 1 in the last digits.
    return Check(name, change, min(1.0, float(p_value[0])), abs(change), least)


def compare_missing(
    reference: NDArray[np.bool_], window: NDArray[np.bool_], limits: Limits
) -> Check:
    """Missing rates: a test of its own, whatever the values present do."""
    return compare_rates("missing_rate", reference, window, limits.min_rate_change)
