"""One numeric column against its reference: distribution, missing rate, values out of range.

Distributions are compared on the values present. A NaN would make KS give NaN, which compares
as "no drift"; so missing values are a test of their own.
"""

from __future__ import annotations

import numpy as np
from alibi_detect.cd import KSDrift
from numpy.typing import NDArray
from scipy.stats import betabinom

from monitoring.drift.decision.decide import StatisticError
from monitoring.drift.decision.findings import Check, CheckName
from monitoring.drift.decision.limits import MIN_PRESENT, Limits
from monitoring.drift.decision.rates import TOO_FEW, compare_missing


def compare_numbers(
    reference: NDArray[np.float64], window: NDArray[np.float64], limits: Limits
) -> list[Check]:
    """Compare one numeric column: `ks`, `missing_rate`, `out_of_range`.

    `reference`, `window`: float64, shapes (m,) and (n,), NaN for missing.
    """
    known, seen = reference[~np.isnan(reference)], window[~np.isnan(window)]
    return [
        compare_distributions("ks", known, seen, limits.min_ks),
        compare_missing(np.isnan(reference), np.isnan(window), limits),
        _count_out_of_range(known, seen, limits),
    ]


def compare_distributions(
    name: CheckName, reference: NDArray[np.float64], window: NDArray[np.float64], least: float
) -> Check:
    """Two-sample Kolmogorov-Smirnov: statistic and effect are the largest distance of the
    distribution functions, in [0, 1]. Conservative where values are tied."""
    if min(len(reference), len(window)) < MIN_PRESENT:
        return Check(name, min_effect=least, note=TOO_FEW)
    if not (np.isfinite(reference).all() and np.isfinite(window).all()):
        # They would be sorted to the end and counted as large values.
        raise StatisticError(f"{name}: values that are not finite cannot be compared")
    sides = reference.reshape(-1, 1), window.reshape(-1, 1)
    p_value, distance = KSDrift(sides[0]).feature_score(*sides)
    return Check(name, float(distance[0]), float(p_value[0]), float(distance[0]), least)


def _count_out_of_range(
    reference: NDArray[np.float64], window: NDArray[np.float64], limits: Limits
) -> Check:
    """Share of values outside the reference's least and largest value.

    Without drift the values outside the range of m others are beta-binomial, `(n, 2, m - 1)`
    (Wilks 1942, `Ann. Math. Stat.` 13:400): exact for continuous values, conservative else.
    """
    if min(len(reference), len(window)) < MIN_PRESENT:
        return Check("out_of_range", min_effect=limits.min_outside_share, note=TOO_FEW)
    outside = int(np.sum((window < reference.min()) | (window > reference.max())))
    p_value = 1.0
    if outside:
        chance = betabinom.sf(outside - 1, len(window), 2, len(reference) - 1)
        p_value = float(np.clip(chance, 0.0, 1.0))
    share = outside / len(window)
    return Check("out_of_range", share, p_value, share, limits.min_outside_share)
