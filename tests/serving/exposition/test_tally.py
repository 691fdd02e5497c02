"""Counts in memory: what reaches Prometheus' series is what was observed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram

from bentos.serving.exposition.tally import Distribution, Tally

BOUNDS = (0.0005, 0.001, 0.0025, 10.0)
VALUES = st.lists(
    st.floats(0, 20) | st.sampled_from([0.0005, 0.001, 0.0025, 10.0, 10.1]), max_size=60
)


def samples_of(registry: CollectorRegistry) -> dict[str, dict[tuple[str, str], float]]:
    """The samples of each metric, by their names without the metric's own and their labels."""
    return {
        metric.name: {
            (sample.name.removeprefix(metric.name), str(sample.labels)): sample.value
            for sample in metric.samples
            if not sample.name.endswith("_created")
        }
        for metric in registry.collect()
    }


@given(VALUES, st.booleans())
def test_distribution_is_a_histogram(values: list[float], is_at_once: bool) -> None:
    """A distribution, flushed, is what `Histogram.observe` would have written."""
    registry = CollectorRegistry()
    expected = Histogram("expected", "x", buckets=BOUNDS, registry=registry)
    got = Histogram("got", "x", buckets=BOUNDS, registry=registry)
    distribution = Distribution(got, BOUNDS)
    for number, value in enumerate(values):
        expected.observe(value)
        if not is_at_once:
            distribution.observe(value)
            if number % 3 == 0:
                distribution.flush()
    if is_at_once:
        distribution.observe_all(values)
    distribution.flush()
    samples = samples_of(registry)
    sums = [samples[name].pop(("_sum", "{}")) for name in ("expected", "got")]
    assert sums[0] == pytest.approx(sums[1])
    assert samples["expected"] == samples["got"]


def test_tally() -> None:
    """A tally adds up until it is flushed, and then starts again."""
    registry = CollectorRegistry()
    tally = Tally(Counter("x", "x", registry=registry))
    tally.add()
    tally.add(4)
    tally.flush()
    tally.flush()
    assert registry.get_sample_value("x_total") == 5
