"""Ids follow the clock."""

from __future__ import annotations

import logging
import time

import pytest

from bentos.ids import (
    MAX_AHEAD_SECONDS,
    IdSource,
    milliseconds,
    new_id,
    time_of,
)

DAY_NS = 86_400 * 10**9


def millisecond(made: str) -> int:
    """The time in an id."""
    return milliseconds(time_of(made))


def test_ids_are_of_this_moment_and_ascend() -> None:
    """The time in an id is the clock's, and each id is above the one before."""
    before = time.time_ns() // 10**6
    made = [new_id() for _ in range(1000)]
    after = time.time_ns() // 10**6
    assert made == sorted(set(made))
    assert before <= millisecond(made[0])
    assert millisecond(made[-1]) <= after


def test_ids_follow_a_clock_that_is_set_back(caplog: pytest.LogCaptureFixture) -> None:
    """After the clock was a day ahead ids are of the corrected time, unique, and one line says so.

    The generator behind the source reads the system's clock; the source's own clock is a day
    behind it, as the system's is after the correction.
    """
    behind_ns = DAY_NS
    source = IdSource(lambda: time.time_ns() - behind_ns)
    with caplog.at_level(logging.WARNING):
        before = (time.time_ns() - DAY_NS) // 10**6
        made = [source.new_id() for _ in range(1000)]
        after = (time.time_ns() - DAY_NS) // 10**6
        assert len(set(made)) == 1000
        assert all(before <= millisecond(one) <= after for one in made)
        assert caplog.text.count("clock was set back") == 1
        # Caught up: ids ascend again, and the next correction is reported again.
        behind_ns = 0
        caught_up = [source.new_id() for _ in range(10)]
        assert caught_up == sorted(caught_up)
        behind_ns = DAY_NS
        source.new_id()
        assert caplog.text.count("clock was set back") == 2


def test_a_small_correction_keeps_the_order_of_ids(caplog: pytest.LogCaptureFixture) -> None:
    """A clock set back by less than the bound makes no id that is below an earlier one."""
    first = new_id()
    source = IdSource(lambda: time.time_ns() - int(MAX_AHEAD_SECONDS * 1e9 / 2))
    assert first < source.new_id()
    assert not caplog.records


@pytest.mark.parametrize("behind_ns", [0, DAY_NS])
def test_many_ids_are_made_like_one(behind_ns: int) -> None:
    """The ids of a batch are unique, ascend, and follow a clock that was set back too."""
    source = IdSource(lambda: time.time_ns() - behind_ns)
    before = (time.time_ns() - behind_ns) // 10**6
    made = source.new_ids(500)
    after = (time.time_ns() - behind_ns) // 10**6
    assert len(set(made)) == 500
    assert made == sorted(made)
    assert all(before <= millisecond(one) <= after for one in made)
    assert source.new_ids(0) == []
