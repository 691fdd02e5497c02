"""Plans, and the way of a run through one."""

from __future__ import annotations

import pytest

from loadtests.traffic.plan import PLANS, Course, Stage


def _walk(stages: tuple[Stage, ...], peak: float = 1000.0) -> list[Stage]:
    course, now, passed = Course(stages), 0.0, []
    while (stage := course.move(now, peak)) is not None:
        passed.append(stage)
        assert course.move(now + stage.seconds - 0.01, peak) is stage
        now += stage.seconds
        assert course.is_over(now)
    return passed


@pytest.mark.parametrize("name", PLANS)
def test_every_plan_ends(name: str) -> None:
    """A plan warms up first, measures something, and comes to its end."""
    passed = _walk(PLANS[name], peak=1e9)
    assert not passed[0].is_measured
    assert any(stage.is_measured and stage.users for stage in passed)
    names = [stage.name for stage in PLANS[name]]
    assert len(names) == len(set(names))


def test_a_share_of_the_peak_becomes_a_rate() -> None:
    """An open stage given as a share takes the peak of the run itself."""
    (passed,) = _walk((Stage("open", 5, users=8, share=0.7),))
    assert passed.rate == pytest.approx(700)


def test_a_rate_beyond_the_peak_is_left_out() -> None:
    """A rate that cannot be served would show how long the stage lasted, and nothing else."""
    stages = (Stage("low", 5, users=8, rate=900), Stage("high", 5, users=8, rate=1100))
    assert [stage.name for stage in _walk(stages)] == ["low"]


def test_a_share_of_nothing_is_left_out() -> None:
    """Where nothing was answered so far, there is no share of it to offer."""
    assert _walk((Stage("open", 5, users=8, share=0.7),), peak=0.0) == []


def test_users_of_one_kind_leave_before_others_come() -> None:
    """Between stages of different kinds there is a pause without users."""
    stages = (Stage("rows", 5, users=8), Stage("batches", 5, users=8, kind="batch"))
    assert [stage.users for stage in _walk(stages)] == [8, 0, 8]
