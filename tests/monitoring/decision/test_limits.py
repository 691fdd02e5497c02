"""Limits of a run, shared out."""

from __future__ import annotations

import pytest

from monitoring.drift.decision.limits import SHARES, Limits


def test_the_level_of_a_version_is_its_part() -> None:
    """One version, or none, has all of it; other limits are the same for each."""
    assert Limits().share_out(0) == Limits().share_out(1) == Limits()
    assert Limits(min_ks=0.2).share_out(4) == Limits(alpha=0.0125, min_ks=0.2)


@pytest.mark.parametrize("versions", [1, 2, 3, 10, 11, 40])
def test_the_joint_test_can_report_drift_at_each_part(versions: int) -> None:
    """Its least p-value is within the level, however many versions there are."""
    part = Limits(permutations=199).share_out(versions)
    assert 1.0 / (part.permutations + 1) < part.alpha * SHARES["joint"]
