"""One numeric column at a time, against real Alibi Detect."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from monitoring.drift.decision.findings import Check
from monitoring.drift.decision.limits import Limits
from monitoring.drift.decision.numbers import compare_numbers

LIMITS = Limits()


def numbers(rows: int, seed: int, shift: float = 0.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(shift, 1.0, rows)


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


def test_a_constant_column_is_equal_to_itself() -> None:
    """A constant gives p-values of 1, and no NaN."""
    for check in compare_numbers(np.ones(500), np.ones(500), LIMITS):
        assert (check.p_value, check.effect) == (1.0, 0.0)


def test_a_constant_that_becomes_another_drifts() -> None:
    """Another constant is as far away as can be."""
    assert by_name(compare_numbers(np.zeros(500), np.ones(500), LIMITS))["ks"].effect == 1.0


def test_numbers_as_large_as_there_are_can_be_compared() -> None:
    """Their sums are beyond float64, their order is not: every result is a finite number."""
    random = np.random.default_rng(1)
    large = random.choice([-1.7e308, -1.0, 5e-324, 1.7e308], 600)
    for check in compare_numbers(large, np.roll(large, 1), LIMITS):
        assert check.p_value is not None
        assert check.p_value > 0.5
