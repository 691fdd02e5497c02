"""The pace that all users of a run share."""

from __future__ import annotations

from threading import Thread
from time import perf_counter

from loadtests.traffic.pace import Pace


def test_without_a_schedule_requests_leave_at_once() -> None:
    """In a closed loop a request's time is the present."""
    pace, before = Pace(), perf_counter()
    due = pace.wait()
    assert due is not None
    assert before <= due <= perf_counter()


def test_each_arrival_is_given_once_and_never_early() -> None:
    """Users that share a schedule get every time of it once, and not before it."""
    pace = Pace()
    times = [number / 200 for number in range(20)]
    pace.start(iter(times))
    given: list[float] = []
    early: list[float] = []

    def use() -> None:
        while (due := pace.wait()) is not None:
            given.append(due)
            if perf_counter() < due:
                early.append(due)

    users = [Thread(target=use) for _ in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join(timeout=10)
    assert len(given) == len(set(given)) == len(times)
    assert not early


def test_what_was_due_and_not_sent_is_behind() -> None:
    """Arrivals that nobody took in time are counted, those of the future are not."""
    pace = Pace()
    pace.start(iter([0.0, 0.0, 0.0, 3600.0]))
    assert pace.wait() is not None
    assert pace.stop() == 2
    assert pace.wait() is None
