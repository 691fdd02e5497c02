"""Every metric that the service exports, and how several workers export them as one.

All label sets are closed: routes are templates, features and classes come from the
contract, reasons from the code.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from bentos.errors import Fault, ShedReason
from bentos.model.contract import Contract
from bentos.model.frame import Screening
from bentos.records.writer.recorder import State
from bentos.serving.batching import Reason

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"
# Set by the supervisor for its workers; no setting of the user.
_WORKERS_DIR = "_TABSERVE_METRICS_DIR"

# From 0.5 ms, where a lone row is answered, to the default timeout of 10 s.
_SECONDS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0),
)
# From a few rows into a local file, to the time limit of a statement.
_WRITE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WAIT_SECONDS = (0.0001, 0.00025, *_SECONDS)
# Powers of two up to the default `batch_max_rows`, and beyond for larger settings.
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

STAGES = ("decode", "queue", "predict", "encode")


class Tally:
    """Adds to one counter series in memory; `flush` hands the sum over.

    A series in a file that workers share costs some microseconds an event: too much for
    each request, nothing for one write every quarter of a second.
    """

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

    def flush(self) -> None:
        if any(self._counts):
            for bucket, count in zip(self._child._buckets, self._counts, strict=True):
                if count:
                    bucket.inc(count)
            self._child._sum.inc(self._sum)
            self._counts = [0] * len(self._counts)
            self._sum = 0.0


class Metrics:
    """The service's metrics in one registry.

    In a worker of `bentoml serve` their values live in files that all workers share
    (Prometheus' multiprocess mode), so any worker can answer for all. What happens on
    every request is tallied in memory first: `flush` makes it visible. Observing and
    flushing belong to the event loop's thread alone.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._registry = registry = registry or CollectorRegistry()
        self.requests = Counter(
            "tabserve_requests",
            "Requests answered, by route template and status code.",
            ["route", "status"],
            registry=registry,
        )
        self.duration = Histogram(
            "tabserve_request_duration_seconds",
            "Time from a request's first byte seen to its answer handed over.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.stage = Histogram(
            "tabserve_stage_duration_seconds",
            "Time that one stage of scoring took, for each request.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "tabserve_requests_in_flight",
            "Requests with a whole body that are not answered yet.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.shed = Counter(
            "tabserve_requests_shed",
            "Requests refused to protect the rest, by reason.",
            ["reason"],
            registry=registry,
        )
        self.rows = Counter(
            "tabserve_rows",
            "Rows received, by what became of them.",
            ["outcome"],
            registry=registry,
        )
        self.faults = Counter(
            "tabserve_faults",
            "Faults found in rows and bodies, by code.",
            ["code"],
            registry=registry,
        )
        self.batch_rows = Histogram(
            "tabserve_batch_rows",
            "Rows scored by one call of the model, `/v1/predict` only.",
            buckets=_ROWS,
            registry=registry,
        )
        self.batch_fill = Histogram(
            "tabserve_batch_fill_ratio",
            "Rows of a batch as a share of the most that it may have.",
            buckets=_SHARES,
            registry=registry,
        )
        self.batch_wait = Histogram(
            "tabserve_batch_wait_seconds",
            "Time that the oldest row of a batch waited for it.",
            buckets=_WAIT_SECONDS,
            registry=registry,
        )
        self.batches = Counter(
            "tabserve_batches",
            "Batches, by what sent them off: the turn of the event loop, a full batch, the wait.",
            ["reason"],
            registry=registry,
        )
        self.missing = Counter(
            "tabserve_feature_missing",
            "Accepted rows without a value for a feature.",
            ["feature"],
            registry=registry,
        )
        self.out_of_range = Counter(
            "tabserve_feature_out_of_range",
            "Accepted rows with a value outside the training range of a feature.",
            ["feature"],
            registry=registry,
        )
        self.unknown_category = Counter(
            "tabserve_feature_unknown_category",
            "Accepted rows with a category that training never saw, scored as missing.",
            ["feature"],
            registry=registry,
        )
        self.labels = Counter(
            "tabserve_labels",
            "Labels decided, by model version.",
            ["model", "version", "label"],
            registry=registry,
        )
        self.log_enqueued = Counter(
            "tabserve_log_rows_enqueued",
            "Rows taken for the prediction log.",
            registry=registry,
        )
        self.log_written = Counter(
            "tabserve_log_rows_written",
            "Rows that the prediction log's store has, those of earlier starts included.",
            registry=registry,
        )
        self.log_dropped = Counter(
            "tabserve_log_rows_dropped",
            "Rows lost to the prediction log, by reason.",
            ["reason"],
            registry=registry,
        )
        self.log_depth = Gauge(
            "tabserve_log_queue_rows",
            "Rows that are not in the store yet: in the buffer, or in the spool.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.log_capacity = Gauge(
            "tabserve_log_queue_capacity_rows",
            "Rows that the buffers of the prediction log hold before they drop any.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.log_age = Gauge(
            "tabserve_log_oldest_age_seconds",
            "Age of the oldest row that is not in the store yet; 0 where all are.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.log_spool = Gauge(
            "tabserve_log_spool_bytes",
            "Bytes of rows on disk that are not in the store yet.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.log_write = Histogram(
            "tabserve_log_write_duration_seconds",
            "Time that the store took for one write.",
            buckets=_WRITE_SECONDS,
            registry=registry,
        )
        self.ready = Gauge(
            "tabserve_ready",
            "Workers that serve: 1 each once the model has proved itself, else 0.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.model_info = Gauge(
            "tabserve_model_info",
            "1 for the model that is served.",
            ["model", "version", "contract", "engine"],
            registry=registry,
            multiprocess_mode="livemax",
        )

        self.in_flight_now = 0
        self._tallies: dict[tuple[object, ...], Tally] = {}
        self._durations: dict[str, Distribution] = {}
        self._stages = [Distribution(self.stage.labels(name), _SECONDS) for name in STAGES]
        self._batch_rows = Distribution(self.batch_rows, _ROWS)
        self._batch_fill = Distribution(self.batch_fill, _SHARES)
        self._batch_wait = Distribution(self.batch_wait, _WAIT_SECONDS)
        self._log_write = Distribution(self.log_write, _WRITE_SECONDS)
        self._fixed = (
            *self._stages,
            self._batch_rows,
            self._batch_fill,
            self._batch_wait,
            self._log_write,
        )
        self._log_seen: dict[str, int] = {}

    def describe(self) -> list[Metric]:
        """Name, type and help text of every metric."""
        return list(self._registry.collect())

    def announce(self, name: str, version: str, contract: Contract, engine: str) -> None:
        """Start every series of a model at zero, so that a first event is seen as a rise."""
        self.model_info.labels(name, version, contract.hash[:12], engine).set(1)
        for feature in contract.features:
            self.missing.labels(feature.name)
            if feature.profile is not None and feature.profile.minimum is not None:
                self.out_of_range.labels(feature.name)
            if feature.categories is not None:
                self.unknown_category.labels(feature.name)
        for label in contract.classes or ():
            self.labels.labels(name, version, str(label))
        for outcome in ("scored", "rejected"):
            self.rows.labels(outcome)

    def observe_batch(
        self, max_rows: int, rows: int, waited_seconds: float, reason: Reason
    ) -> None:
        """Count one batch of `/v1/predict`, which might have had `most_rows`."""
        self._batch_rows.observe(rows)
        self._batch_fill.observe(rows / max_rows)
        self._batch_wait.observe(waited_seconds)
        self._tally(self.batches, reason).add()

    def observe_request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._tally(self.requests, route, str(status)).add()
        duration = self._durations.get(route)
        if duration is None:
            child = self.duration.labels(route)
            duration = self._durations[route] = Distribution(child, _SECONDS)
        duration.observe(seconds)

    def observe_stages(self, decode: float, queue: float, predict: float, encode: float) -> None:
        """Count how long each stage of one scored request took, in seconds."""
        for stage, seconds in zip(self._stages, (decode, queue, predict, encode), strict=True):
            stage.observe(seconds)

    def observe_shed(self, reason: ShedReason) -> None:
        """Count a request refused to protect the rest."""
        self._tally(self.shed, reason).add()

    def observe_rows(self, outcome: Literal["scored", "rejected"], count: int) -> None:
        """Count rows by what became of them."""
        self._tally(self.rows, outcome).add(count)

    def observe_labels(self, model: str, version: str, labels: Mapping[str, int]) -> None:
        """Count decided labels."""
        for label, count in labels.items():
            self._tally(self.labels, model, version, label).add(count)

    def observe_log(self, state: State) -> None:
        """Take over how this worker's prediction log stands; its counts are since its start."""
        self._raise_to(self.log_enqueued, "enqueued", state.enqueued)
        self._raise_to(self.log_written, "written", state.written)
        for reason, count in state.dropped.items():
            self._raise_to(self.log_dropped.labels(reason), reason, count)
        self.log_depth.set(state.depth)
        self.log_capacity.set(state.capacity)
        self.log_age.set(state.oldest_age_seconds)
        self.log_spool.set(state.spool_bytes)
        for seconds in state.write_seconds:
            self._log_write.observe(seconds)

    def _raise_to(self, counter: Counter, name: str, count: int) -> None:
        counter.inc(count - self._log_seen.get(name, 0))
        self._log_seen[name] = count

    def _tally(self, counter: Counter, *labels: str) -> Tally:
        key = (id(counter), *labels)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(counter.labels(*labels))
        return tally

    def flush(self) -> None:
        """Make all that was tallied visible."""
        for tally in self._tallies.values():
            tally.flush()
        for distribution in (*self._durations.values(), *self._fixed):
            distribution.flush()
        self.in_flight.set(self.in_flight_now)

    def observe_screening(self, screening: Screening) -> None:
        """Count what a screen found."""
        for feature, count in screening.missing.items():
            self._tally(self.missing, feature).add(count)
        for feature, count in screening.outside.items():
            self._tally(self.out_of_range, feature).add(count)

    def observe_unknown_category(self, feature: str) -> None:
        """Count a category scored as missing."""
        self._tally(self.unknown_category, feature).add()

    def observe_faults(self, faults: Iterable[Fault]) -> None:
        """Count faults by code."""
        for fault in faults:
            self._tally(self.faults, fault.code).add()

    def render(self) -> bytes:
        """All metrics of all workers in the Prometheus text format, as of the last flush."""
        if _MULTIPROC_DIR not in os.environ:
            return generate_latest(self._registry)
        merged = CollectorRegistry()
        MultiProcessCollector(merged)  # type: ignore[no-untyped-call]  # the library has no types
        return generate_latest(merged)


def start_directory() -> None:
    """Make the folder that the workers of this server share, before they start.

    BentoML's own folder is the same for every server of a machine, and each start empties
    it: two servers side by side would wipe and mix each other's numbers.
    """
    folder = tempfile.mkdtemp(prefix="tabserve-metrics-")
    os.environ[_WORKERS_DIR] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def join_directory() -> None:
    """Use the folder of `start_directory` in a worker that it started.

    Takes the gauges of workers that were killed out of the sums: they could not do it.
    """
    if _WORKERS_DIR not in os.environ:
        return
    folder = os.environ[_MULTIPROC_DIR] = os.environ[_WORKERS_DIR]
    for path in Path(folder).glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not _is_alive(pid):
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # the library has no types


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def leave_directory() -> None:
    """Take this worker's gauges out of the sums: it stops."""
    if _MULTIPROC_DIR in os.environ:
        with suppress(OSError):
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]  # the same
