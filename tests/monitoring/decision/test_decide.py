"""Verdicts: false-discovery control, effect sizes, and what is no number."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitoring.drift.decision.decide import StatisticError, adjust, decide
from monitoring.drift.decision.findings import Check


def test_adjustment_is_benjamini_and_hochberg() -> None:
    """The adjusted p-values are those of the paper's example (1995, section 3.2)."""
    p_values = np.array(
        [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240,
         0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    )  # fmt: skip
    adjusted = adjust(p_values[::-1])[::-1]
    assert int(np.sum(adjusted <= 0.05)) == 4
    assert adjusted[0] == pytest.approx(0.0015)
    assert adjusted[3] == pytest.approx(0.035625)
    assert adjusted[-1] == 1.0


def test_the_share_of_a_group_makes_its_level_smaller() -> None:
    """A group with a fifth of the level needs a p-value five times smaller."""
    (alone,) = decide([Check("mmd", 1.0, 0.02, 1.0)], 0.05, 1.0)
    (shared,) = decide([Check("mmd", 1.0, 0.02, 1.0)], 0.05, 0.2)
    assert (alone.drifted, shared.drifted) == (True, False)
    assert shared.adjusted == pytest.approx(0.1)


def test_significant_and_small_is_no_drift() -> None:
    """An effect below the least one is not drift, however certain it is."""
    checks = [Check("ks", 0.04, 1e-30, 0.04, 0.05), Check("ks", 0.06, 1e-30, 0.06, 0.05)]
    assert [check.drifted for check in decide(checks, 0.05, 1.0)] == [False, True]


@pytest.mark.parametrize("field", ["statistic", "p_value", "effect"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_what_is_no_number_is_an_error(field: str, value: float | None) -> None:
    """A NaN compares as "no drift"; so it never gets as far as a comparison."""
    check = msgspec.structs.replace(Check("ks", 0.1, 0.5, 0.1), **{field: value})
    with pytest.raises(StatisticError, match="gave no number"):
        decide([check], 0.05, 1.0)


def test_a_check_that_was_not_made_is_no_verdict() -> None:
    """A check with a note stays without a p-value, and costs the others nothing."""
    skipped, made = decide([Check("ks", note="too few"), Check("ks", 1.0, 0.04, 1.0)], 0.05, 1.0)
    assert (skipped.adjusted, skipped.drifted) == (None, False)
    assert made.adjusted == pytest.approx(0.04)


def test_nothing_to_decide_is_fine() -> None:
    """A group without checks has no verdicts."""
    assert decide([], 0.05, 0.5) == []
