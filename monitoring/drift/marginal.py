"""One column against its reference: distribution, missing rate, what training never saw.

Distributions are compared on the values present. A NaN would make KS give NaN, which compares
as "no drift"; so missing values are a test of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from alibi_detect.cd import ChiSquareDrift, FETDrift, KSDrift
from numpy.typing import NDArray
from scipy.stats import betabinom

from monitoring.drift.decide import StatisticError
from monitoring.drift.findings import Check, CheckName
from monitoring.drift.limits import MIN_EXPECTED, MIN_PRESENT, Limits

_TOO_FEW = f"fewer than {MIN_PRESENT} values present on one side"


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


def compare_categories(
    reference: NDArray[np.object_],
    window: NDArray[np.object_],
    categories: Sequence[str] | None,
    limits: Limits,
) -> list[Check]:
    """Compare one categorical column: `chi_square`, `missing_rate`, `unseen_categories`.

    `reference`, `window`: object, shapes (m,) and (n,), text or None for missing.
    `categories`: all that training knew; None where only the reference tells.
    """
    no_reference, nothing = _is_none(reference), _is_none(window)
    known, seen = reference[~no_reference].tolist(), window[~nothing].tolist()
    return [
        compare_counts("chi_square", known, seen, limits.min_cramers_v),
        compare_missing(no_reference, nothing, limits),
        _count_unseen(known, seen, categories, limits),
    ]


def compare_distributions(
    name: CheckName, reference: NDArray[np.float64], window: NDArray[np.float64], least: float
) -> Check:
    """Two-sample Kolmogorov-Smirnov: statistic and effect are the largest distance of the
    distribution functions, in [0, 1]. Conservative where values are tied."""
    if min(len(reference), len(window)) < MIN_PRESENT:
        return Check(name, min_effect=least, note=_TOO_FEW)
    if not (np.isfinite(reference).all() and np.isfinite(window).all()):
        # They would be sorted to the end and counted as large values.
        raise StatisticError(f"{name}: values that are not finite cannot be compared")
    sides = reference.reshape(-1, 1), window.reshape(-1, 1)
    p_value, distance = KSDrift(sides[0]).feature_score(*sides)
    return Check(name, float(distance[0]), float(p_value[0]), float(distance[0]), least)


def compare_counts(
    name: CheckName, reference: Sequence[str], window: Sequence[str], least: float
) -> Check:
    """Chi-square test of homogeneity; the effect is Cramér's V, in [0, 1].

    V is that of the two distributions in samples of equal size,
    `sqrt(sum((p - q)**2 / (p + q)) / 2)`: the textbook's shrinks as the sizes differ.
    Categories too rare for the test are counted together; one that neither side has cannot
    come up, which would make the test raise.
    """
    if min(len(reference), len(window)) < MIN_PRESENT:
        return Check(name, min_effect=least, note=_TOO_FEW)
    before, after = Counter(reference), Counter(window)
    total, smaller = len(reference) + len(window), min(len(reference), len(window))
    code: dict[str, int] = {}
    for category in sorted(before.keys() | after.keys()):
        expected = (before[category] + after[category]) * smaller / total
        code[category] = len(code) + 1 if expected >= MIN_EXPECTED else 0
    sides = [
        np.fromiter((code[value] for value in values), dtype=np.int64, count=len(values))
        for values in (reference, window)
    ]
    shares = [np.bincount(codes, minlength=len(code) + 1) / len(codes) for codes in sides]
    both = shares[0] + shares[1]
    used = both > 0
    effect = float(np.sqrt(np.sum((shares[0] - shares[1])[used] ** 2 / both[used]) / 2.0))
    if used.sum() < 2:
        # A constant is equal to itself.
        return Check(name, 0.0, 1.0, 0.0, least)
    columns = sides[0].reshape(-1, 1), sides[1].reshape(-1, 1)
    p_value, statistic = ChiSquareDrift(columns[0]).feature_score(*columns)
    return Check(name, float(statistic[0]), float(p_value[0]), effect, least)


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


def _count_out_of_range(
    reference: NDArray[np.float64], window: NDArray[np.float64], limits: Limits
) -> Check:
    """Share of values outside the reference's least and largest value.

    Without drift the values outside the range of m others are beta-binomial, `(n, 2, m - 1)`
    (Wilks 1942, `Ann. Math. Stat.` 13:400): exact for continuous values, conservative else.
    """
    if min(len(reference), len(window)) < MIN_PRESENT:
        return Check("out_of_range", min_effect=limits.min_outside_share, note=_TOO_FEW)
    outside = int(np.sum((window < reference.min()) | (window > reference.max())))
    p_value = 1.0
    if outside:
        chance = betabinom.sf(outside - 1, len(window), 2, len(reference) - 1)
        p_value = float(np.clip(chance, 0.0, 1.0))
    share = outside / len(window)
    return Check("out_of_range", share, p_value, share, limits.min_outside_share)


def _count_unseen(
    reference: Sequence[str],
    window: Sequence[str],
    categories: Sequence[str] | None,
    limits: Limits,
) -> Check:
    """Share of values that training never saw.

    Where training's categories are known, chance brings none. Where the reference alone
    tells, it brings the share of values that occur once in it (Good 1953, `Biometrika`
    40:237).
    """
    if min(len(reference), len(window)) < MIN_PRESENT:
        return Check("unseen_categories", min_effect=limits.min_outside_share, note=_TOO_FEW)
    counts = Counter(reference)
    known = set(counts).union(categories or ())
    by_chance = np.array([categories is None and counts[value] == 1 for value in reference])
    unseen = np.array([value not in known for value in window])
    check = compare_rates(
        "unseen_categories", by_chance, unseen, limits.min_outside_share, "greater"
    )
    share = float(unseen.mean())
    return Check(check.name, share, check.p_value, share, check.min_effect)


def _is_none(values: NDArray[np.object_]) -> NDArray[np.bool_]:
    return np.array([value is None for value in values], dtype=bool)
