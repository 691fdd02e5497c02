"""Metrics: names, values, closed label sets, and several workers as one."""

from __future__ import annotations

import math
import re
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

import bentos
from bentos.errors import PROBLEMS, Fault, FaultCode, ShedReason
from bentos.model.contract import Contract, Feature, Profile
from bentos.model.frame import Screen
from bentos.model.scoring import REFUSED, Scored, likeliest
from bentos.serving.exposition.metrics import Metrics
from bentos.settings import Settings, fingerprint

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


@pytest.fixture
def settings() -> Settings:
    """Settings as they come."""
    return Settings()  # type: ignore[call-arg]  # filled from the environment


def test_names(metrics: Metrics) -> None:
    """Every metric has the prefix, a help text and, where it has a unit, a base unit."""
    for metric in metrics.describe():
        # What is of any process has the names that every client library gives it.
        assert metric.name.startswith(("tabserve_", "process_"))
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
    metrics.announce("risk", "7", CONTRACT, "booster")
    for status in (200, 200, 422):
        metrics.observe_request("/v1/predict", status, 0.0004)
    metrics.observe_stages(0.1, 0.2, 0.3, 0.4)
    metrics.in_flight_now = 3
    metrics.flush()
    metrics.flush()
    value = registry.get_sample_value
    route = {"route": "/v1/predict", "version": "7"}
    assert value("tabserve_requests_total", {**route, "status": "200"}) == 2
    assert value("tabserve_requests_total", {**route, "status": "422"}) == 1
    # The lowest bucket is 0.5 ms: a lone row is answered in less.
    assert value("tabserve_request_duration_seconds_bucket", {**route, "le": "0.0005"}) == 3
    assert value("tabserve_stage_duration_seconds_sum", {"stage": "queue"}) == 0.2
    assert value("tabserve_requests_in_flight", {"worker": "1"}) == 3
    assert value("tabserve_worker_requests_total", {"worker": "1"}) == 3


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


def test_render(metrics: Metrics) -> None:
    """The exposition is Prometheus' text format and holds every metric."""
    metrics.announce("risk", "7", CONTRACT, "booster")
    metrics.flush()
    families = list(text_string_to_metric_families(metrics.render().decode()))
    assert {metric.name for metric in metrics.describe()} <= {family.name for family in families}


def test_begin(metrics: Metrics, registry: CollectorRegistry, settings: Settings) -> None:
    """A worker says what it may hold, and every series that can be is there before any event."""
    metrics.begin(settings, ["/v1/predict", "/metrics"], worker=2)
    metrics.announce("risk", "7", CONTRACT, "booster")
    metrics.flush()
    value = registry.get_sample_value
    worker = {"worker": "2"}
    assert value("tabserve_workers_expected") == settings.workers
    assert value("tabserve_ready", worker) == 0
    assert value("tabserve_requests_in_flight_limit", worker) == settings.max_concurrency
    assert value("tabserve_buffered_bytes_limit", worker) == settings.max_buffered_bytes
    assert value("tabserve_log_spool_capacity_bytes") == settings.spool_max_bytes
    for reason in get_args(ShedReason):
        assert value("tabserve_requests_shed_total", {"reason": reason}) == 0
    for outcome in ("scored", "rejected"):
        assert value("tabserve_rows_total", {"outcome": outcome}) == 0
    for code in get_args(FaultCode):
        assert value("tabserve_faults_total", {"code": code}) == 0
    for kind in PROBLEMS:
        assert value("tabserve_problems_total", {"kind": kind, "client": "anonymous"}) == 0
    for route in ("/v1/predict", "/metrics"):
        for status in ("500", "503", "504"):
            labels = {"route": route, "status": status, "version": "7"}
            assert value("tabserve_requests_total", labels) == 0
    metrics.set_ready(is_ready=True)
    assert value("tabserve_ready", worker) == 1


def test_process(metrics: Metrics, registry: CollectorRegistry, settings: Settings) -> None:
    """A worker shows its own CPU time, memory, descriptors, start and heartbeat."""
    metrics.begin(settings, [], worker=1)
    value = registry.get_sample_value
    worker = {"worker": "1"}
    now = time.time()
    assert value("tabserve_worker_heartbeat_timestamp_seconds", worker) == pytest.approx(now, abs=5)
    assert 0 < (value("process_start_time_seconds", worker) or 0) < now
    assert value("process_cpu_seconds_total", worker) == pytest.approx(time.process_time(), abs=5)
    assert (value("process_resident_memory_bytes", worker) or 0) > 10 * 2**20
    assert 0 < (value("process_open_fds", worker) or 0) < (value("process_max_fds", worker) or 0)


def test_problems(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Answers that are no success are counted by kind and client: one 503 is not another."""
    metrics.observe_problem("not-ready")
    metrics.observe_problem("overloaded", client="shop")
    metrics.flush()
    value = registry.get_sample_value
    anonymous = {"kind": "not-ready", "client": "anonymous"}
    assert value("tabserve_problems_total", anonymous) == 1
    assert value("tabserve_problems_total", {"kind": "overloaded", "client": "shop"}) == 1


@pytest.mark.parametrize("rows", [3, 300])
def test_scores(metrics: Metrics, registry: CollectorRegistry, rows: int) -> None:
    """Scores are counted in buckets, few or many at a time; what is no number is left out."""
    metrics.announce("risk", "7", CONTRACT, "booster")
    scores = np.linspace(0, 1, rows)
    rows_scored = [Scored(score) for score in [*scores.tolist(), math.nan]]
    metrics.observe_scores("risk", "7", likeliest([*rows_scored, REFUSED]))
    metrics.flush()
    value = registry.get_sample_value
    labels = {"model": "risk", "version": "7"}
    assert value("tabserve_score_count", labels) == rows
    assert value("tabserve_score_sum", labels) == pytest.approx(scores.sum())
    expected = (scores <= 0.5).sum()
    assert value("tabserve_score_bucket", {**labels, "le": "0.5"}) == expected


def test_scores_of_classes(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Of several classes the likeliest one's probability is counted."""
    metrics.observe_scores(
        "risk", "7", likeliest([Scored(scores=(0.2, 0.8)), Scored(scores=(0.6, 0.4))])
    )
    metrics.flush()
    labels = {"model": "risk", "version": "7"}
    assert registry.get_sample_value("tabserve_score_sum", labels) == pytest.approx(1.4)


@pytest.mark.parametrize(("golden", "least", "most"), [([], -1e9, 1e9), (range(200), 0, 199)])
def test_scores_of_a_regression(
    metrics: Metrics,
    registry: CollectorRegistry,
    golden: Sequence[float],
    least: float,
    most: float,
) -> None:
    """Values are counted between those of the golden rows, or of any size; buckets stay few."""
    contract = msgspec.structs.replace(CONTRACT, task="regression", classes=None, threshold=None)
    metrics.announce("price", "7", contract, "booster", [float(score) for score in golden])
    metrics.observe_scores("price", "7", likeliest([Scored(50.0), Scored(120.0), Scored(1e12)]))
    metrics.flush()
    families = {family.name: family for family in metrics.describe()}
    limits = [
        float(sample.labels["le"])
        for sample in families["tabserve_score"].samples
        if sample.name == "tabserve_score_bucket"
    ]
    assert len(limits) <= 30
    assert (limits[0], limits[-2]) == (least, most)
    labels = {"model": "price", "version": "7"}
    assert registry.get_sample_value("tabserve_score_count", labels) == 3


def test_outcomes(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Outcomes are counted by what became of them."""
    metrics.observe_outcome("recorded")
    metrics.observe_outcome("not_yet")
    metrics.flush()
    assert registry.get_sample_value("tabserve_outcomes_total", {"result": "recorded"}) == 1
    assert registry.get_sample_value("tabserve_outcomes_total", {"result": "not_yet"}) == 1


def test_fingerprint(settings: Settings) -> None:
    """Equal settings have equal digests, others another one; secrets do not show in it."""
    same = settings.model_copy()
    other = settings.model_copy(update={"max_rows": 5})
    secret = settings.model_copy(update={"store_url": SecretStr("postgresql://a:b@c/d")})
    assert fingerprint(settings) == fingerprint(same) == fingerprint(secret)
    assert fingerprint(settings) != fingerprint(other)
    assert re.fullmatch(r"[0-9a-f]{12}", fingerprint(settings))


def test_version() -> None:
    """The version that is exported is the project's."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert project["project"]["version"] == bentos.__version__
