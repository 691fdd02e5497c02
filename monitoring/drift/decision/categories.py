"""One categorical column against its reference: distribution, single levels, unseen values.

Distributions are compared on the values present: missing values have a test of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from alibi_detect.cd import ChiSquareDrift
from numpy.typing import NDArray

from monitoring.drift.decision.findings import Check, CheckName, Level
from monitoring.drift.decision.limits import MIN_EXPECTED, MIN_PRESENT, Limits
from monitoring.drift.decision.rates import TOO_FEW, compare_missing, compare_rates

# Levels whose exact p-value is looked at, and levels that are named.
_CANDIDATES = 3
_NAMED = 5

# A residual is about standard normal for a level that did not move: beyond this one, one level
# in 16,000 is.
_FAR_RESIDUAL = 4.0


def compare_categories(
    reference: NDArray[np.object_],
    window: NDArray[np.object_],
    categories: Sequence[str] | None,
    limits: Limits,
) -> list[Check]:
    """Compare one column: `chi_square`, `level_share`, `missing_rate`, `unseen_categories`.

    `reference`, `window`: object, shapes (m,) and (n,), text or None for missing.
    `categories`: all that training knew; None where only the reference shows them.
    """
    no_reference, nothing = _is_none(reference), _is_none(window)
    known, seen = reference[~no_reference].tolist(), window[~nothing].tolist()
    return [
        compare_counts("chi_square", known, seen, limits.min_cramers_v),
        *_compare_levels(known, seen, limits.min_cramers_v),
        compare_missing(no_reference, nothing, limits),
        _count_unseen(known, seen, categories, limits),
    ]


def compare_counts(
    name: CheckName, reference: Sequence[str], window: Sequence[str], least: float
) -> Check:
    """Chi-square test of homogeneity; the effect is Cramér's V, in [0, 1], without its bias.

    V is that of the two distributions in samples of equal size,
    `sqrt(sum((p - q)**2 / (p + q)) / 2)`: the textbook's shrinks as the sizes differ. Without
    drift the mean of its square is `(k - 1) / 4 * (1 / m + 1 / n)` for k levels; that is taken
    off, as Bergsma does for samples of equal size (2013, `J. Korean Stat. Soc.` 42:323): with
    500 levels and 20,000 rows V is 0.1 by chance alone.
    Categories too rare for the test are counted together; one that neither side has cannot
    come up, which would make the test raise.
    """
    if min(len(reference), len(window)) < MIN_PRESENT:
        return Check(name, min_effect=least, note=TOO_FEW)
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
    if (shares[0] + shares[1] > 0).sum() < 2:
        # A constant is equal to itself.
        return Check(name, 0.0, 1.0, 0.0, least)
    columns = sides[0].reshape(-1, 1), sides[1].reshape(-1, 1)
    p_value, statistic = ChiSquareDrift(columns[0]).feature_score(*columns)
    effect = _measure_v(shares[0], shares[1], len(reference), len(window))
    return Check(name, float(statistic[0]), float(p_value[0]), effect, least)


def list_moves(reference: NDArray[np.object_], window: NDArray[np.object_]) -> list[Level]:
    """The levels whose share changed beyond chance, by their residuals, the largest first."""
    counted = _count(*(side[~_is_none(side)].tolist() for side in (reference, window)))
    if counted is None:
        return []
    order = np.argsort(-np.abs(counted.residuals), kind="stable")[:_NAMED]
    return [
        Level(
            counted.names[place],
            float(counted.before[place]),
            float(counted.after[place]),
            float(counted.residuals[place]),
        )
        for place in order
        if abs(counted.residuals[place]) >= _FAR_RESIDUAL
    ]


@dataclass(frozen=True)
class _Counted:
    """Levels, their shares of both sides, and the standardized residual of each."""

    names: list[str]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    residuals: NDArray[np.float64]


def _count(reference: Sequence[str], window: Sequence[str]) -> _Counted | None:
    """Standardized (adjusted) residuals (Haberman 1973, `Biometrics` 29:205); None if one level."""
    counts = Counter(reference), Counter(window)
    names = sorted(counts[0].keys() | counts[1].keys())
    if len(names) < 2 or not (reference and window):
        return None
    sizes = len(reference), len(window)
    before, after = (
        np.array([side[name] for name in names]) / size
        for side, size in zip(counts, sizes, strict=True)
    )
    pooled = (before * sizes[0] + after * sizes[1]) / sum(sizes)
    errors = np.sqrt(pooled * (1.0 - pooled) * (1.0 / sizes[0] + 1.0 / sizes[1]))
    return _Counted(names, before, after, (after - before) / errors)


def _compare_levels(reference: list[str], window: list[str], least: float) -> list[Check]:
    """The level that moved the most, against all others: what many quiet levels would hide.

    The p-value is Fisher's, times the number of levels (Bonferroni: whichever is picked); the
    statistic is the change of its share, the effect Cramér's V of that level and the rest.
    """
    if min(len(reference), len(window)) < MIN_PRESENT:
        return [Check("level_share", min_effect=least, note=TOO_FEW)]
    counted = _count(reference, window)
    if counted is None or len(counted.names) < 3:
        # Of two levels the one moves as the other does: chi-square tests just that.
        return []
    sides = np.array(reference, dtype=object), np.array(window, dtype=object)
    found = []
    for place in np.argsort(-np.abs(counted.residuals), kind="stable")[:_CANDIDATES]:
        name = counted.names[place]
        check = compare_rates("level_share", sides[0] == name, sides[1] == name, least)
        p_value = min(1.0, (check.p_value or 0.0) * len(counted.names))
        shares = [
            np.array([1.0 - side[place], side[place]]) for side in (counted.before, counted.after)
        ]
        effect = _measure_v(shares[0], shares[1], len(reference), len(window))
        found.append(Check("level_share", check.statistic, p_value, effect, least, of=name))
    return [min(found, key=lambda check: (check.p_value, -(check.effect or 0.0)))]


def _measure_v(
    before: NDArray[np.float64], after: NDArray[np.float64], rows: int, window_rows: int
) -> float:
    """Cramér's V of two distributions over the same levels, bias taken off; in [0, 1]."""
    both = before + after
    used = both > 0
    square = float(np.sum((before - after)[used] ** 2 / both[used]) / 2.0)
    chance = (int(used.sum()) - 1) / 4.0 * (1.0 / rows + 1.0 / window_rows)
    return float(np.sqrt(max(0.0, square - chance)))


def _count_unseen(
    reference: Sequence[str],
    window: Sequence[str],
    categories: Sequence[str] | None,
    limits: Limits,
) -> Check:
    """Share of values that training never saw.

    Where training's categories are known, chance brings none. Where only the reference shows
    them, it brings the share of values that occur once in it (Good 1953, `Biometrika`
    40:237).
    """
    if min(len(reference), len(window)) < MIN_PRESENT:
        return Check("unseen_categories", min_effect=limits.min_outside_share, note=TOO_FEW)
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
