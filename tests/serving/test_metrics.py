"""Metrics: names, values, closed label sets, and several workers as one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.parser import text_string_to_metric_families

from bentos.errors import Fault
from bentos.model.contract import Contract, Feature, Profile
from bentos.model.frame import Screen
from bentos.serving import metrics as exposition
from bentos.serving.metrics import Distribution, Metrics, Tally

CONTRACT = Contract(
    features=(
        Feature("age", "float", "double", profile=Profile(0.0, 18.0, 90.0)),
        Feature("colour", "category", "string", categories=("a", "b"), profile=Profile(0.0)),
        Feature("new", "float", "double"),
    ),
    task="binary",
    engine="booster",
    classes=(0, 1),
    threshold=0.5,
)


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of its own for each test."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    """The service's metrics in that registry."""
    return Metrics(registry)


def test_names(metrics: Metrics) -> None:
    """Every metric has the prefix, a help text and, where it has a unit, a base unit."""
    for metric in metrics.describe():
        assert metric.name.startswith("tabserve_")
        assert metric.documentation.endswith(".")
        assert not metric.name.endswith(("_ms", "_milliseconds", "_kb"))


def test_announce(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Every series of a model starts at zero, so that its first event is a rise."""
    metrics.announce("risk", "7", CONTRACT, "booster")
    value = registry.get_sample_value
    labels = {"model": "risk", "version": "7"}
    about = {"contract": CONTRACT.hash[:12], "engine": "booster"}
    assert value("tabserve_model_info", {**labels, **about}) == 1
    for label in ("0", "1"):
        assert value("tabserve_labels_total", {**labels, "label": label}) == 0
    for feature in CONTRACT.names:
        assert value("tabserve_feature_missing_total", {"feature": feature}) == 0
    assert value("tabserve_feature_out_of_range_total", {"feature": "age"}) == 0
    assert value("tabserve_feature_out_of_range_total", {"feature": "colour"}) is None
    assert value("tabserve_feature_unknown_category_total", {"feature": "colour"}) == 0
    assert value("tabserve_feature_unknown_category_total", {"feature": "age"}) is None
    for outcome in ("scored", "rejected"):
        assert value("tabserve_rows_total", {"outcome": outcome}) == 0


def test_batches(metrics: Metrics, registry: CollectorRegistry) -> None:
    """A batch is counted with its rows, its wait and its reason, once it is flushed."""
    metrics.observe_batch(128, 128, 0.002, "full")
    metrics.observe_batch(128, 3, 0.0, "turn")
    assert registry.get_sample_value("tabserve_batch_rows_count") == 0
    metrics.flush()
    value = registry.get_sample_value
    assert value("tabserve_batch_rows_sum") == 131
    assert value("tabserve_batch_rows_bucket", {"le": "4.0"}) == 1
    assert value("tabserve_batch_rows_bucket", {"le": "128.0"}) == 2
    assert value("tabserve_batch_fill_ratio_bucket", {"le": "0.05"}) == 1
    assert value("tabserve_batch_fill_ratio_bucket", {"le": "1.0"}) == 2
    assert value("tabserve_batch_wait_seconds_count") == 2
    assert value("tabserve_batches_total", {"reason": "full"}) == 1
    assert value("tabserve_batches_total", {"reason": "turn"}) == 1


def test_requests(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Requests are counted by route template and status, with their durations and stages."""
    for status in (200, 200, 422):
        metrics.observe_request("/v1/predict", status, 0.0004)
    metrics.observe_stages(0.1, 0.2, 0.3, 0.4)
    metrics.in_flight_now = 3
    metrics.flush()
    metrics.flush()
    value = registry.get_sample_value
    route = {"route": "/v1/predict"}
    assert value("tabserve_requests_total", {**route, "status": "200"}) == 2
    assert value("tabserve_requests_total", {**route, "status": "422"}) == 1
    # The lowest bucket is 0.5 ms: a lone row is answered in less.
    assert value("tabserve_request_duration_seconds_bucket", {**route, "le": "0.0005"}) == 3
    assert value("tabserve_stage_duration_seconds_sum", {"stage": "queue"}) == 0.2
    assert value("tabserve_requests_in_flight") == 3


def test_rows_and_labels(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Rows are counted by outcome, labels by model version."""
    metrics.observe_rows("scored", 5)
    metrics.observe_rows("rejected", 2)
    metrics.observe_labels("risk", "7", {"0": 4, "1": 1})
    metrics.flush()
    value = registry.get_sample_value
    assert value("tabserve_rows_total", {"outcome": "scored"}) == 5
    assert value("tabserve_rows_total", {"outcome": "rejected"}) == 2
    labels = {"model": "risk", "version": "7", "label": "0"}
    assert value("tabserve_labels_total", labels) == 4


def test_screening(metrics: Metrics, registry: CollectorRegistry) -> None:
    """What a screen found is counted by feature."""
    rows = np.array([[1.0, 0.0, 0.0], [np.nan, 0.0, np.nan], [95.0, 0.0, 0.0]])
    metrics.observe_screening(Screen(CONTRACT).look(rows))
    metrics.flush()
    value = registry.get_sample_value
    assert value("tabserve_feature_out_of_range_total", {"feature": "age"}) == 2
    assert value("tabserve_feature_missing_total", {"feature": "age"}) == 1
    assert value("tabserve_feature_missing_total", {"feature": "new"}) == 1


def test_faults(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Faults are counted by code, tolerated categories by feature."""
    metrics.observe_faults([Fault("/a", "missing", ""), Fault("/b", "missing", "")])
    metrics.observe_unknown_category("colour")
    metrics.flush()
    value = registry.get_sample_value
    assert value("tabserve_faults_total", {"code": "missing"}) == 2
    assert value("tabserve_feature_unknown_category_total", {"feature": "colour"}) == 1


@given(
    st.lists(st.floats(0, 20) | st.sampled_from([0.0005, 0.001, 0.0025, 10.0, 10.1]), max_size=20)
)
def test_distribution_is_a_histogram(values: list[float]) -> None:
    """A distribution, flushed, is what `Histogram.observe` would have written."""
    bounds = (0.0005, 0.001, 0.0025, 10.0)
    registry = CollectorRegistry()
    expected = Histogram("expected", "x", buckets=bounds, registry=registry)
    got = Histogram("got", "x", buckets=bounds, registry=registry)
    distribution = Distribution(got, bounds)
    for number, value in enumerate(values):
        expected.observe(value)
        distribution.observe(value)
        if number % 3 == 0:
            distribution.flush()
    distribution.flush()
    samples = {
        metric.name: {
            (sample.name.removeprefix(metric.name), str(sample.labels)): sample.value
            for sample in metric.samples
            if not sample.name.endswith("_created")
        }
        for metric in registry.collect()
    }
    sums = [samples[name].pop(("_sum", "{}")) for name in ("expected", "got")]
    assert sums[0] == pytest.approx(sums[1])
    assert samples["expected"] == samples["got"]


def test_tally(registry: CollectorRegistry) -> None:
    """A tally adds up until it is flushed, and then starts again."""
    counter = Counter("x", "x", registry=registry)
    tally = Tally(counter)
    tally.add()
    tally.add(4)
    tally.flush()
    tally.flush()
    assert registry.get_sample_value("x_total") == 5


def test_render(metrics: Metrics) -> None:
    """The exposition is Prometheus' text format and holds every metric."""
    metrics.announce("risk", "7", CONTRACT, "booster")
    metrics.flush()
    families = list(text_string_to_metric_families(metrics.render().decode()))
    assert {metric.name for metric in metrics.describe()} <= {family.name for family in families}


# ---- several workers


@pytest.fixture
def _own_environment() -> Iterator[None]:
    """Put the environment back: the directory's functions change it."""
    kept = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(kept)


# One worker: counts what it is told to, and stays or leaves.
_WORKER = """
import sys
from bentos.serving import metrics
metrics.join_directory()
made = metrics.Metrics()
made.observe_rows("scored", int(sys.argv[1]))
made.ready.set(1)
made.flush()
if sys.argv[2] == "leave":
    metrics.leave_directory()
elif sys.argv[2] == "show":
    print(made.render().decode())
"""


def run_worker(rows: int, then: str) -> dict[str, float]:
    """Run a worker to its end and read what it showed."""
    # A program of this file's own.
    shown = subprocess.run(
        [sys.executable, "-c", _WORKER, str(rows), then],
        capture_output=True,
        check=True,
        text=True,
        cwd=Path(exposition.__file__).parent.parent,
        # BentoML sets it for its workers: prometheus_client looks when it is imported.
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": "."},
    ).stdout
    return {
        sample.name + str(sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(shown)
        for sample in family.samples
    }


@pytest.mark.usefixtures("_own_environment")
def test_workers_are_one() -> None:
    """Any worker answers for all; gauges of workers that stopped or were killed are left out."""
    exposition.start_directory()
    run_worker(3, "leave")
    run_worker(4, "die")
    shown = run_worker(5, "show")
    assert shown["tabserve_rows_total['scored']"] == 12
    assert shown["tabserve_ready[]"] == 1


@pytest.mark.usefixtures("_own_environment")
def test_directory_of_workers(metrics: Metrics) -> None:
    """A worker takes the gauges of the dead out, and its own when it leaves; counters stay."""
    exposition.start_directory()
    run_worker(3, "die")
    exposition.join_directory()
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    assert [path.name for path in folder.glob("gauge_live*")] == []
    assert b'tabserve_rows_total{outcome="scored"} 3.0' in metrics.render()
    ours = folder / f"gauge_livesum_{os.getpid()}.db"
    foreign = folder / "gauge_livesum_1.db"
    for path in (ours, foreign):
        path.touch()
    # Process 1 lives, whoever it belongs to.
    exposition.join_directory()
    assert foreign.exists()
    exposition.leave_directory()
    assert not ours.exists()


@pytest.mark.usefixtures("_own_environment")
def test_without_directory() -> None:
    """A process that no supervisor started has its numbers to itself."""
    exposition.join_directory()
    exposition.leave_directory()
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ
