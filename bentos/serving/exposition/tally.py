"""Counts and observations kept in memory, and handed over to Prometheus' series now and then.

A series in a file that workers share costs some microseconds an event: too much for each
request, nothing for one write every quarter of a second.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter, Histogram

Values = Sequence[float] | NDArray[np.float64]

# From so many values on, numpy sorts them into buckets faster than a loop.
_MANY = 16


class Tally:
    """Adds to one counter series in memory; `flush` hands the sum over."""

    __slots__ = ("_child", "_pending")

    def __init__(self, child: Counter) -> None:
        self._child = child
        self._pending = 0

    def add(self, count: int = 1) -> None:
        self._pending += count

    def flush(self) -> None:
        if self._pending:
            self._child.inc(self._pending)
            self._pending = 0


class Distribution:
    """Sorts observations of one histogram series into its buckets in memory.

    `flush` hands the counts over, through the two attributes in which prometheus_client
    keeps a histogram: it has no public way to add many observations at once. A test
    holds it to what `Histogram.observe` would have written.
    """

    __slots__ = ("_bounds", "_child", "_counts", "_sum")

    def __init__(self, child: Histogram, bounds: Sequence[float]) -> None:
        self._child = child
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def observe_all(self, values: Values) -> None:
        """Observe values, none of them NaN."""
        if len(values) < _MANY:
            for value in values:
                self.observe(value)
            return
        places = np.searchsorted(self._bounds, values)
        counts = np.bincount(places, minlength=len(self._counts)).tolist()
        self._counts = [have + new for have, new in zip(self._counts, counts, strict=True)]
        self._sum += float(np.sum(values))

    def flush(self) -> None:
        if any(self._counts):
            for bucket, count in zip(self._child._buckets, self._counts, strict=True):
                if count:
                    bucket.inc(count)
            self._child._sum.inc(self._sum)
            self._counts = [0] * len(self._counts)
            self._sum = 0.0
