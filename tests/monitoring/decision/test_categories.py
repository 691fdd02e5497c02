"""One categorical column at a time: distribution, single levels, unseen values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from monitoring.drift.decision.categories import (
    compare_categories,
    compare_counts,
    list_moves,
)
from monitoring.drift.decision.findings import Check
from monitoring.drift.decision.limits import Limits

LIMITS = Limits()


def texts(values: Sequence[str | None]) -> NDArray[np.object_]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def draw_levels(rows: int, random: np.random.Generator, rare: float = 0.001) -> NDArray[np.object_]:
    """Five hundred levels, the first ones more frequent, and a rare one."""
    weights = 1.0 / np.arange(1, 501)
    names = texts([f"level {place}" for place in range(500)])
    levels = random.choice(names, rows, p=weights / weights.sum())
    levels[random.random(rows) < rare] = "rare"
    return levels


def test_chi_square_is_that_of_the_table() -> None:
    """The statistic and the p-value are those of the contingency table."""
    reference, window = (
        ["a"] * 500 + ["b"] * 300 + ["c"] * 200,
        ["a"] * 400 + ["b"] * 350 + ["c"] * 250,
    )
    check = compare_counts("chi_square", reference, window, 0.05)
    expected = chi2_contingency([[500, 300, 200], [400, 350, 250]])
    assert check.statistic == pytest.approx(expected.statistic, rel=1e-5)
    assert check.p_value == pytest.approx(expected.pvalue, rel=1e-4)
    # With samples of equal size the effect is the textbook's Cramér's V,
    # but for the bias, (k - 1) / N in samples of equal size.
    assert check.effect == pytest.approx(np.sqrt((expected.statistic - 2) / 2_000))


def test_the_effect_does_not_depend_on_the_sizes() -> None:
    """Ten times the reference leaves the distributions, and so the effect, what they are."""
    reference, window = ["a"] * 500 + ["b"] * 500, ["a"] * 400 + ["b"] * 600
    small = compare_counts("chi_square", reference, window, 0.05)
    large = compare_counts("chi_square", reference * 10, window, 0.05)
    assert small.effect == pytest.approx(large.effect, abs=0.005)


def test_a_category_that_neither_side_has_does_not_raise() -> None:
    """Training knew a category that no row has: Alibi's test alone would raise."""
    column = texts(["a", "b"] * 300)
    checks = by_name(compare_categories(column, column, ["a", "b", "never"], LIMITS))
    assert checks["chi_square"].p_value == pytest.approx(1.0)


def test_an_unseen_category_is_told() -> None:
    """What training never saw is counted, and what only the contract knows is not."""
    reference = texts(["a", "b"] * 500)
    window = texts(["a", "b"] * 440 + ["new"] * 60 + ["rare"] * 60)
    check = by_name(compare_categories(reference, window, ["a", "b", "rare"], LIMITS))[
        "unseen_categories"
    ]
    assert check.statistic == pytest.approx(0.06)
    assert check.p_value is not None
    assert check.p_value < 1e-10


def test_text_without_known_categories_has_unseen_values_by_chance() -> None:
    """Where most values occur once, new ones are what is expected."""
    random = np.random.default_rng(3)
    pool = [f"name-{place}" for place in range(5_000)]
    reference, window = (texts(random.choice(pool, 1_000).tolist()) for _ in range(2))
    check = by_name(compare_categories(reference, window, None, LIMITS))["unseen_categories"]
    assert check.statistic is not None
    assert check.statistic > 0.5
    assert check.p_value is not None
    assert check.p_value > 0.05


def test_a_constant_column_is_equal_to_itself() -> None:
    """A constant gives p-values of 1, and no NaN."""
    constant = texts(["a"] * 500)
    for check in compare_categories(constant, constant, ["a", "b"], LIMITS):
        assert (check.p_value, check.effect) == (1.0, 0.0)


def test_a_constant_that_becomes_another_drifts() -> None:
    """Another constant is as far away as can be."""
    checks = by_name(compare_categories(texts(["a"] * 500), texts(["b"] * 500), None, LIMITS))
    assert checks["chi_square"].effect == pytest.approx(1.0, abs=0.001)


@pytest.mark.parametrize("rows", [1_000, 5_000, 20_000])
def test_many_levels_have_no_effect_by_chance(rows: int) -> None:
    """500 levels without drift: V is large, and without its bias mostly below the least effect.

    What is left is chance, which the p-value judges: none of 20 samples is drift.
    """
    random = np.random.default_rng(rows)
    effects, biased = [], []
    for _ in range(20):
        reference, window = (
            random.choice(500, size).astype(str).tolist() for size in (15_000, rows)
        )
        check = compare_counts("chi_square", reference, window, 0.05)
        counts = np.array(
            [np.bincount(np.array(s, int), minlength=500) for s in (reference, window)]
        )
        shares = counts / counts.sum(axis=1, keepdims=True)
        biased.append(np.sqrt(np.sum(np.diff(shares, axis=0) ** 2 / shares.sum(axis=0)) / 2.0))
        effects.append(check.effect or 0.0)
        assert check.p_value is not None
        assert check.p_value > 0.001
    assert np.mean(np.array(effects) >= 0.05) <= 0.25
    assert min(biased) > 0.1


def test_a_rare_level_that_grows_is_found_and_named() -> None:
    """From 0.1 to 1 % among 500 levels: in at least 18 of 20 windows of 5,000 rows."""
    found = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        reference, window = draw_levels(15_000, random), draw_levels(5_000, random, rare=0.01)
        check = by_name(compare_categories(reference, window, None, LIMITS))["level_share"]
        assert check.p_value is not None
        assert check.effect is not None
        found += check.of == "rare" and check.p_value < 1e-6 and check.effect >= 0.05
        (move, *_) = list_moves(reference, window)
        assert move.name == "rare"
        assert move.window > 4 * move.reference
        assert move.residual > 4.0
    assert found >= 18


def test_single_levels_hold_their_level() -> None:
    """Without drift the level that moved the most is unlikely as seldom as its p-value says."""
    random = np.random.default_rng(7)
    low = 0
    for _ in range(200):
        sides = [draw_levels(rows, random) for rows in (3_000, 1_500)]
        check = by_name(compare_categories(*sides, None, LIMITS))["level_share"]
        low += check.p_value is not None and check.p_value <= 0.05
        assert check.effect is not None
    # 10 are expected at most, and 20 is the 99.9th percentile of that binomial.
    assert low <= 20


def test_two_levels_are_tested_once() -> None:
    """Of two levels one moves as the other does: chi-square tests that already."""
    sides = texts(["a", "b"] * 300), texts(["a", "a", "b"] * 200)
    assert "level_share" not in by_name(compare_categories(*sides, None, LIMITS))
    (first, second) = list_moves(*sides)
    assert {first.name: first.window, second.name: second.window} == {
        "a": pytest.approx(2 / 3), "b": pytest.approx(1 / 3),
    }  # fmt: skip


def test_residuals_are_those_of_the_table() -> None:
    """Standardized residuals: squared and weighted they are the chi-square of two levels."""
    reference, window = texts(["a"] * 500 + ["b"] * 500), texts(["a"] * 200 + ["b"] * 300)
    expected = chi2_contingency([[500, 500], [200, 300]], correction=False)
    (first, _) = list_moves(reference, texts(["a"] * 100 + ["b"] * 400))
    assert abs(first.residual) > 4.0
    # Of two levels each residual squared is the statistic; this one is too small to be named.
    assert list_moves(reference, window) == []
    assert 3.0 < np.sqrt(expected.statistic) < 4.0
