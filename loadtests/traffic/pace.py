"""When requests leave: at once (closed loop), or at the times of a schedule that all share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Lock
from time import perf_counter

# Timers are a millisecond coarse: the last stretch is spent looking at the clock.
_SPIN_SECONDS = 0.001


class Pace:
    """One pace for all users of a process.

    With a schedule, one user at a time waits for the next arrival, and the others behind
    it: so one process looks at the clock, not all of them. `late`: how long after its time
    each request left though a user was waiting for it, in seconds: the generator's fault.
    """

    def __init__(self) -> None:
        self._turn = Lock()
        self._arrivals: Iterator[float] | None = None
        self._started = 0.0
        self.late: list[float] = []

    def start(self, arrivals: Iterator[float] | None) -> None:
        """Begin anew, now: with arrival times in seconds from here, or without any."""
        self._arrivals, self._started, self.late = arrivals, perf_counter(), []

    def stop(self) -> int:
        """End the schedule; give the number of arrivals that were due and that nobody sent."""
        arrivals, self._arrivals = self._arrivals, iter(())
        elapsed = perf_counter() - self._started
        behind = 0
        for due in arrivals or ():
            if due > elapsed:
                break
            behind += 1
        return behind

    def wait(self) -> float | None:
        """Wait for the next request's time and give it, as perf_counter counts.

        Gives the present without a schedule, and None where the schedule is at its end.
        """
        if self._arrivals is None:
            return perf_counter()
        with self._turn:
            # The schedule may have been changed while this user waited for its turn.
            arrivals, started, late = self._arrivals, self._started, self.late
            if arrivals is None:
                return perf_counter()
            arrival = next(arrivals, None)
            if arrival is None:
                return None
            due = started + arrival
            if (left := due - perf_counter()) > 0:
                while left > 0:
                    time.sleep(max(0.0, left - _SPIN_SECONDS))
                    left = due - perf_counter()
                late.append(-left)
            return due
