"""Counts and observations kept in memory, and handed over to Prometheus' series now and then.

A series in a file that workers share costs some microseconds an event: too much for each
request, nothing for one write every quarter of a second.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter, Histogram

Values = Sequence[float] | NDArray[np.float64]

# From so many values on, numpy sorts them into buckets faster than a loop.
_MANY = 16


class Tally:
    """Adds to one counter series in memory; `flush` hands the sum, `pending`, over."""

    __slots__ = ("_child", "pending")

    def __init__(self, child: Counter) -> None:
        self._child = child
        self.pending = 0

    def add(self, count: int = 1) -> None:
        self.pending += count

    def flush(self) -> None:
        if self.pending:
            self._child.inc(self.pending)
            self.pending = 0


class Distribution:
    """Keeps the observations of one histogram series in memory.

    `observe` is a list's own append: on the way of every answer nothing is cheaper. `flush`
    sorts them into buckets and hands the counts over, through the two attributes in which
    prometheus_client keeps a histogram: it has no public way to add many observations at
    once. A test holds it to what `Histogram.observe` would have written.
    """

    __slots__ = ("_bounds", "_child", "_counts", "_sum", "_waiting", "observe")

    def __init__(self, child: Histogram, bounds: Sequence[float]) -> None:
        self._child = child
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._waiting: list[float] = []
        self.observe: Callable[[float], None] = self._waiting.append

    def observe_all(self, values: Values) -> None:
        """Observe values, none of them NaN."""
        if len(values) < _MANY:
            self._waiting.extend(values)
        else:
            self._sort(values)

    def _sort(self, values: Values) -> None:
        if len(values) < _MANY:
            for value in values:
                self._counts[bisect_left(self._bounds, value)] += 1
                self._sum += float(value)
            return
        # Once, not in each of the calls: a list takes longer to read than to sort.
        values = np.asarray(values, dtype=np.float64)
        places = np.searchsorted(self._bounds, values)
        counts = np.bincount(places, minlength=len(self._counts)).tolist()
        self._counts = [have + new for have, new in zip(self._counts, counts, strict=True)]
        self._sum += float(np.sum(values))

    def flush(self) -> None:
        if self._waiting:
            self._sort(self._waiting)
            self._waiting.clear()
        if any(self._counts):
            for bucket, count in zip(self._child._buckets, self._counts, strict=True):
                if count:
                    bucket.inc(count)
            self._child._sum.inc(self._sum)
            self._counts = [0] * len(self._counts)
            self._sum = 0.0


class Answers:
    """Counts the answers of one route and status, each with the seconds that it took."""

    __slots__ = ("_durations", "_requests", "_seconds", "_worker_requests", "observe")

    def __init__(self, requests: Tally, worker_requests: Tally, durations: Distribution) -> None:
        self._requests = requests
        self._worker_requests = worker_requests
        self._durations = durations
        self._seconds: list[float] = []
        self.observe: Callable[[float], None] = self._seconds.append

    def flush(self) -> None:
        """Hand over to the tallies and the distribution."""
        count = len(self._seconds)
        self._requests.add(count)
        self._worker_requests.add(count)
        self._durations.observe_all(self._seconds)
        self._seconds.clear()
