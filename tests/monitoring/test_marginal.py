"""One column at a time, against real Alibi Detect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, ks_2samp

from monitoring.drift.findings import Check
from monitoring.drift.limits import Limits
from monitoring.drift.marginal import compare_categories, compare_counts, compare_numbers

LIMITS = Limits()


def numbers(rows: int, seed: int, shift: float = 0.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(shift, 1.0, rows)


def texts(values: Sequence[str | None]) -> NDArray[np.object_]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_ks_is_that_of_the_values_present() -> None:
    """Missing values change neither the statistic nor the p-value of KS."""
    reference, window = numbers(1_000, 1), numbers(800, 2, 0.1)
    holed = np.concatenate([window, np.full(200, np.nan)])
    check = by_name(compare_numbers(reference, holed, LIMITS))["ks"]
    expected = ks_2samp(reference, window, mode="asymp")
    assert check.statistic == pytest.approx(expected.statistic, rel=1e-6)
    assert check.p_value == pytest.approx(expected.pvalue, rel=1e-5)
    assert check.effect == check.statistic


def test_missing_rate_is_a_test_of_its_own() -> None:
    """Values that go missing at random leave KS alone, and are seen as missing."""
    reference, window = numbers(2_000, 1), numbers(2_000, 2)
    window[:200] = np.nan
    checks = by_name(compare_numbers(reference, window, LIMITS))
    assert checks["missing_rate"].statistic == pytest.approx(0.1)
    assert checks["missing_rate"].p_value == pytest.approx(0.0, abs=1e-30)
    assert checks["ks"].p_value is not None
    assert checks["ks"].p_value > 0.05


def test_a_column_without_values_has_no_distribution() -> None:
    """All missing: KS and range are not made, and say so; the missing rate tells."""
    checks = by_name(compare_numbers(numbers(1_000, 1), np.full(1_000, np.nan), LIMITS))
    assert checks["ks"].note
    assert checks["out_of_range"].note
    assert checks["missing_rate"].effect == 1.0


def test_a_constant_column_is_equal_to_itself() -> None:
    """A constant gives p-values of 1, numeric and categorical, and no NaN."""
    for check in compare_numbers(np.ones(500), np.ones(500), LIMITS):
        assert (check.p_value, check.effect) == (1.0, 0.0)
    constant = texts(["a"] * 500)
    for check in compare_categories(constant, constant, ["a", "b"], LIMITS):
        assert (check.p_value, check.effect) == (1.0, 0.0)


def test_a_constant_that_becomes_another_drifts() -> None:
    """Another constant is as far away as can be, numeric and categorical."""
    ks = by_name(compare_numbers(np.zeros(500), np.ones(500), LIMITS))["ks"]
    assert ks.effect == 1.0
    chi = by_name(compare_categories(texts(["a"] * 500), texts(["b"] * 500), ["a", "b"], LIMITS))
    assert chi["chi_square"].effect == pytest.approx(1.0)


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
    # With samples of equal size the effect is the textbook's Cramér's V.
    assert check.effect == pytest.approx(np.sqrt(expected.statistic / 2_000))


def test_the_effect_does_not_depend_on_the_sizes() -> None:
    """Ten times the reference leaves the distributions, and so the effect, what they are."""
    reference, window = ["a"] * 500 + ["b"] * 500, ["a"] * 400 + ["b"] * 600
    small = compare_counts("chi_square", reference, window, 0.05)
    large = compare_counts("chi_square", reference * 10, window, 0.05)
    assert small.effect == pytest.approx(large.effect)


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


def test_values_out_of_range_are_told() -> None:
    """Three in a hundred values beyond the reference's largest are not chance."""
    reference, window = numbers(2_000, 1), numbers(1_000, 2)
    window[:30] = 50.0
    check = by_name(compare_numbers(reference, window, LIMITS))["out_of_range"]
    assert check.statistic == pytest.approx(0.03, abs=0.005)
    assert check.p_value is not None
    assert check.p_value < 1e-6


def test_the_range_test_holds_its_level() -> None:
    """Out of 400 samples of the same population at most about one in twenty has p <= 0.05."""
    random = np.random.default_rng(4)
    alarms = 0
    for _ in range(400):
        reference, window = random.normal(size=300), random.normal(size=600)
        p_value = by_name(compare_numbers(reference, window, LIMITS))["out_of_range"].p_value
        alarms += p_value is not None and p_value <= 0.05
    # 20 are expected at most, and 31 is the 99th percentile of that binomial.
    assert alarms <= 31
