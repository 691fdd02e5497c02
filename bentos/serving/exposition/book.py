"""The series that are tallied in memory, each made at its first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import Counter, Histogram

from bentos.serving.exposition.tally import Distribution, Tally


class Book:
    """Tallies of counters and distributions of histograms, by name and label values.

    `histograms` and `bounds` may be changed for a name that has no series yet.
    """

    def __init__(
        self,
        counters: Mapping[str, Counter],
        histograms: Mapping[str, Histogram],
        bounds: Mapping[str, Sequence[float]],
    ) -> None:
        self._counters = counters
        self._histograms = histograms
        self._bounds = bounds
        self._tallies: dict[tuple[str, ...], Tally] = {}
        self._distributions: dict[tuple[str, ...], Distribution] = {}

    def tally(self, *key: str) -> Tally:
        """The tally of a counter's series: the name and the label values."""
        tally = self._tallies.get(key)
        if tally is None:
            counter = self._counters[key[0]]
            tally = Tally(counter.labels(*key[1:]) if len(key) > 1 else counter)
            self._tallies[key] = tally
        return tally

    def distribution(self, *key: str) -> Distribution:
        """The distribution of a histogram's series: the name and the label values."""
        distribution = self._distributions.get(key)
        if distribution is None:
            histogram = self._histograms[key[0]]
            child = histogram.labels(*key[1:]) if len(key) > 1 else histogram
            distribution = Distribution(child, self._bounds[key[0]])
            self._distributions[key] = distribution
        return distribution

    def parts(self) -> Iterator[Callable[[], None]]:
        """What hands over the series that have something to hand over, one by one."""
        for tally in tuple(self._tallies.values()):
            if tally.pending:
                yield tally.flush
        for distribution in tuple(self._distributions.values()):
            yield distribution.flush
