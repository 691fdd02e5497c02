"""Scores: PSI is calibrated, decisions are compared as the service makes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from monitoring.drift.decision.limits import Limits
from monitoring.drift.decision.scores import compare, compare_bins

LIMITS = Limits()


def test_psi_is_the_sum_over_the_bins() -> None:
    """Two bins of known shares: the index is (q - p) * ln(q / p), added up."""
    reference = np.repeat([0.2, 0.8], 5_000)
    window = np.repeat([0.2, 0.8], [3_000, 7_000])
    check = compare_bins(reference, window, Limits(psi_bins=2))
    expected = (0.3 - 0.5) * np.log(0.3 / 0.5) + (0.7 - 0.5) * np.log(0.7 / 0.5)
    assert check.statistic == pytest.approx(expected, rel=1e-3)


def test_psi_has_the_level_that_its_formula_says() -> None:
    """Without drift, at 200 rows: its mean is that of the formula, its p-values are uniform."""
    random = np.random.default_rng(1)
    found = [compare_bins(random.random(2_000), random.random(200), LIMITS) for _ in range(400)]
    mean = np.mean([check.statistic for check in found if check.statistic is not None])
    # (1/200 + 1/2000) * (10 - 1): already half of the 0.1 that is commonly called a shift.
    assert mean == pytest.approx(0.0495, rel=0.1)
    low = np.mean([check.p_value <= 0.05 for check in found if check.p_value is not None])
    # Three standard errors of 5 % in 400 trials.
    assert low <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert low >= 0.02


def test_the_threshold_is_the_index_of_that_p_value() -> None:
    """Below the threshold the p-value is above the scores' level, and the other way round."""
    random = np.random.default_rng(2)
    for shift in (0.0, 0.5):
        check = compare_bins(random.normal(size=2_000), random.normal(shift, 1, 500), LIMITS)
        assert check.threshold is not None
        assert check.statistic is not None
        assert check.p_value is not None
        assert (check.statistic > check.threshold) == (check.p_value < 0.05 * 0.2)


def test_constant_scores_are_no_drift() -> None:
    """One bin cannot change."""
    check = compare_bins(np.ones(500), np.ones(500), LIMITS)
    assert (check.statistic, check.p_value) == (0.0, 1.0)


@pytest.mark.parametrize(("before", "after"), [(0.01, 0.25), (0.25, 0.01), (0.3, 0.6)])
def test_psi_sees_tied_scores_move(before: float, after: float) -> None:
    """Scores of two values: the share of the rarer one changed, whatever the quantiles are."""
    reference, window = (
        (np.arange(4_000) < share * 4_000).astype(np.float64) for share in (before, after)
    )
    check = compare_bins(reference, window, LIMITS)
    expected = (after - before) * np.log(after * (1 - before) / (before * (1 - after)))
    assert check.statistic == pytest.approx(expected, rel=0.05)


def test_psi_sees_a_constant_become_another() -> None:
    """The window lies beyond the reference's only value, on either side."""
    for other in (0.0, 2.0):
        check = compare_bins(np.ones(1_000), np.full(1_000, other), LIMITS)
        assert check.effect is not None
        assert check.effect > 1.0
        assert check.p_value == pytest.approx(0.0, abs=1e-30)


def test_psi_of_tied_scores_has_its_level() -> None:
    """A fifth zeros, a tenth ones, rare values between: p-values are as often low as they say."""
    random = np.random.default_rng(3)

    def draw(rows: int) -> NDArray[np.float64]:
        kinds = random.choice(4, rows, p=[0.2, 0.1, 0.699, 0.001])
        return np.choose(kinds, [0.0, 1.0, random.random(rows), 0.5])

    found = [compare_bins(draw(2_000), draw(500), LIMITS).p_value for _ in range(400)]
    low = np.mean([p_value <= 0.05 for p_value in found if p_value is not None])
    # Three standard errors of 5 % in 400 trials.
    assert low <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert low >= 0.02


def test_an_empty_bin_is_finite() -> None:
    """A window that left half of the bins has a large index, and no infinite one."""
    check = compare_bins(np.linspace(0, 1, 1_000), np.linspace(0, 0.3, 1_000), LIMITS)
    assert check.statistic is not None
    assert 1.0 < check.statistic < 20.0


def test_a_score_equal_to_the_threshold_gets_the_second_class() -> None:
    """The decision rate counts as the service decides: >=, not >."""
    reference = pd.DataFrame({"": [0.5] * 300 + [0.1] * 300})
    window = pd.DataFrame({"": [0.4999] * 300 + [0.1] * 300})
    rate = next(
        check for check in compare(reference, window, 0.5, LIMITS) if check.name == "decision_rate"
    )
    assert rate.statistic == -0.5


def test_a_regression_has_no_decisions() -> None:
    """Only the scores are compared."""
    frame = pd.DataFrame({"": np.linspace(0, 1, 600)})
    assert [check.name for check in compare(frame, frame, None, LIMITS)] == [
        "score_ks", "score_psi",
    ]  # fmt: skip


def test_several_classes_are_compared_each_and_by_decision() -> None:
    """A check for each class, and the classes decided for as categories."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame(random.dirichlet([1, 1, 1], 900), columns=["a", "b", "c"])
    checks = compare(frame, frame, None, LIMITS)
    assert [(check.name, check.of) for check in checks] == [
        ("score_ks", "a"), ("score_psi", "a"), ("score_ks", "b"), ("score_psi", "b"),
        ("score_ks", "c"), ("score_psi", "c"), ("decision_chi_square", ""),
    ]  # fmt: skip
