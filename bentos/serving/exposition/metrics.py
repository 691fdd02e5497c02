"""What counts what: the methods that the service calls, on the metrics of `table`."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version as version_of
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from bentos import __version__
from bentos.errors import PROBLEMS, ClosedReason, Fault, ShedReason
from bentos.model.contract import Contract
from bentos.model.explanation.contributions import Check
from bentos.model.frame import Screening
from bentos.records.writer.recorder import State
from bentos.serving.batching import Reason
from bentos.serving.exposition import bounds, directory, process, series, table
from bentos.serving.exposition.book import Book
from bentos.serving.exposition.tally import Answers, Values
from bentos.settings import Settings, fingerprint

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

STAGES = ("decode", "queue", "predict", "encode")
# The client of a request that carried no key.
ANONYMOUS = "anonymous"

# How often a worker measures its process: counting descriptors takes as long as there are many.
_MEASURE_SECONDS = 1.0


class Metrics:
    """The service's metrics in one registry.

    In a worker of `bentoml serve` their values live in files that all workers share
    (Prometheus' multiprocess mode), so any worker can answer for all. What happens on
    every request is tallied in memory first: `flush` makes it visible. Observing and
    flushing belong to the event loop's thread alone.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._registry = registry = registry or CollectorRegistry()
        self._counters = {
            name: Counter(name, about, labels, registry=registry)
            for name, (labels, about) in table.COUNTERS.items()
        }
        self._histograms = {
            name: Histogram(name, about, labels, buckets=limits, registry=registry)
            for name, (labels, limits, about) in table.HISTOGRAMS.items()
        }
        self._gauges = {
            name: Gauge(name, about, labels, registry=registry, multiprocess_mode=mode)
            for name, (labels, mode, about) in table.GAUGES.items()
        }
        self._bounds = {name: limits for name, (_, limits, _) in table.HISTOGRAMS.items()}
        self.in_flight_now = 0
        self.buffered_now = 0
        self.connections_now = self.connections_limit_now = 0
        self._worker = "1"
        self._version = ""
        self._routes: tuple[str, ...] = ()
        # What one answer counts, by route and status: until the worker or the version changes.
        self._answered: dict[tuple[str, int], Answers] = {}
        book = Book(self._counters, self._histograms, self._bounds)
        self._tally, self._distribution, self._parts = book.tally, book.distribution, book.parts
        self._observe_stages = [
            self._distribution("tabserve_stage_duration_seconds", name).observe for name in STAGES
        ]
        self._batches = [
            self._distribution(f"tabserve_batch_{name}").observe
            for name in ("rows", "fill_ratio", "wait_seconds")
        ]
        self._log_seen: dict[str, int] = {}
        self._cpu_seen = 0.0
        self._measure_at = 0.0

    def _settle_answered(self) -> None:
        while self._answered:
            self._answered.popitem()[1].flush()

    def describe(self) -> list[Metric]:
        """Name, type and help text of every metric."""
        return list(self._registry.collect())

    def begin(self, settings: Settings, routes: Iterable[str], worker: int = 1) -> None:
        """Say what this worker is and may hold, and start every series at zero that can be."""
        self._worker = str(worker)
        self._settle_answered()
        self._routes = tuple(routes)
        self.set_ready(is_ready=False)
        for name, limit in (
            ("tabserve_requests_in_flight_limit", settings.max_concurrency),
            ("tabserve_buffered_bytes_limit", settings.max_buffered_bytes),
        ):
            self._gauges[name].labels(self._worker).set(limit)
        self._gauges["tabserve_log_spool_capacity_bytes"].set(settings.spool_max_bytes)
        self._gauges["tabserve_workers_expected"].set(settings.workers)
        self._gauges["tabserve_build_info"].labels(
            __version__, platform.python_version(), version_of("bentoml")
        ).set(1)
        self._gauges["tabserve_settings_info"].labels(fingerprint(settings)).set(1)
        with suppress(OSError):
            started = self._gauges["process_start_time_seconds"]
            started.labels(self._worker).set(process.find_start())
        self._tally("tabserve_worker_requests", self._worker)
        for kind in PROBLEMS:
            self._tally("tabserve_problems", kind, ANONYMOUS)
        for name, values in series.known_values():
            for value in values:
                self._tally(name, value)
        self.flush()

    def announce(
        self,
        name: str,
        version: str,
        contract: Contract,
        engine: str,
        golden_scores: Sequence[float] = (),
        reasons: Iterable[str] = (),
    ) -> None:
        """Start every series of a model at zero, so that a first event is seen as a rise.

        `golden_scores`: what a regression said of known rows; they bound its scores' buckets.
        `reasons`: the codes that may be given.
        """
        self._version = version
        self._settle_answered()
        about = self._gauges["tabserve_model_info"]
        about.labels(name, version, contract.hash[:12], engine).set(1)
        trained = self._gauges["tabserve_feature_training_missing_ratio"]
        for feature in contract.features:
            self._tally("tabserve_feature_missing", feature.name)
            if feature.profile is not None:
                trained.labels(feature.name).set(feature.profile.missing_rate)
                if feature.profile.minimum is not None:
                    self._tally("tabserve_feature_out_of_range", feature.name)
            if feature.categories is not None:
                self._tally("tabserve_feature_unknown_category", feature.name)
        for code in reasons:
            self._tally("tabserve_reasons", code)
        for label in contract.classes or ():
            self._tally("tabserve_labels", name, version, str(label))
        for route in self._routes:
            for status in series.FAILURES:
                self._tally("tabserve_requests", route, status, version)
        if contract.task == "regression":
            self._bound_scores(golden_scores)
        self._distribution("tabserve_score", name, version)

    def _bound_scores(self, golden_scores: Sequence[float]) -> None:
        limits = bounds.of_scores(golden_scores)
        labels, _, about = table.HISTOGRAMS["tabserve_score"]
        self._registry.unregister(self._histograms["tabserve_score"])
        self._histograms["tabserve_score"] = Histogram(
            "tabserve_score", about, labels, buckets=limits, registry=self._registry
        )
        self._bounds["tabserve_score"] = limits

    def show_access_open(self) -> None:
        """Say that everyone is answered without a key."""
        self._gauges["tabserve_access_open"].set(1)

    def show_access(
        self, keys: int, expiry: float, *, is_stale: bool, is_issuer_down: bool
    ) -> None:
        """Say how many keys are in force, and what of them is not as it is now at its source.

        `expiry`: when the first client loses its last key, seconds since 1970; 0 for never.
        """
        self._gauges["tabserve_access_open"].set(0)
        self._gauges["tabserve_access_keys"].set(keys)
        self._gauges["tabserve_access_expiry_timestamp_seconds"].set(expiry)
        self._gauges["tabserve_access_keys_stale"].set(is_stale)
        self._gauges["tabserve_access_issuer_down"].set(is_issuer_down)

    def set_ready(self, *, is_ready: bool) -> None:
        """Say whether this worker serves."""
        self._gauges["tabserve_ready"].labels(self._worker).set(is_ready)

    # ---- requests

    def observe_batch(
        self, most_rows: int, rows: int, waited_seconds: float, reason: Reason
    ) -> None:
        """Count one batch of `/v1/predict`, which might have had `most_rows`."""
        self._batches[0](rows)
        self._batches[1](rows / most_rows)
        self._batches[2](waited_seconds)
        self._tally("tabserve_batches", reason).add()

    def observe_request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        answers = self._answered.get((route, status))
        if answers is None:
            answers = self._answered[route, status] = Answers(
                self._tally("tabserve_requests", route, str(status), self._version),
                self._tally("tabserve_worker_requests", self._worker),
                self._distribution("tabserve_request_duration_seconds", route, self._version),
            )
        answers.observe(seconds)

    def observe_problem(self, kind: str, client: str = ANONYMOUS) -> None:
        """Count an answer that is no success. `client`: the name of a key, from a closed set."""
        self._tally("tabserve_problems", kind, client).add()

    def observe_stages(self, decode: float, queue: float, predict: float, encode: float) -> None:
        """Count how long each stage of one scored request took, in seconds."""
        decoding, queueing, predicting, encoding = self._observe_stages
        decoding(decode)
        queueing(queue)
        predicting(predict)
        encoding(encode)

    def observe_shed(self, reason: ShedReason) -> None:
        """Count a request refused to protect the rest."""
        self._tally("tabserve_requests_shed", reason).add()

    def observe_closed(self, reason: ClosedReason) -> None:
        """Count a connection that was closed on its client."""
        self._tally("tabserve_connections_closed", reason).add()

    # ---- rows

    def observe_rows(self, outcome: Literal["scored", "rejected"], count: int) -> None:
        """Count rows by what became of them."""
        self._tally("tabserve_rows", outcome).add(count)

    def observe_scores(self, model: str, version: str, values: Values) -> None:
        """Count scores, all finite: of several classes that of the likeliest (`likeliest`)."""
        self._distribution("tabserve_score", model, version).observe_all(values)

    def observe_labels(self, model: str, version: str, labels: Mapping[str, int]) -> None:
        """Count decided labels."""
        for label, count in labels.items():
            self._tally("tabserve_labels", model, version, label).add(count)

    def observe_screening(self, screening: Screening) -> None:
        """Count what a screen found."""
        for feature, count in screening.missing.items():
            self._tally("tabserve_feature_missing", feature).add(count)
        for feature, count in screening.outside.items():
            self._tally("tabserve_feature_out_of_range", feature).add(count)

    def observe_unknown_category(self, feature: str) -> None:
        """Count a category scored as missing."""
        self._tally("tabserve_feature_unknown_category", feature).add()

    def observe_faults(self, faults: Iterable[Fault]) -> None:
        """Count faults by code."""
        for fault in faults:
            self._tally("tabserve_faults", fault.code).add()

    def observe_explained(self, rows: int, codes: Iterable[str]) -> None:
        """Count explained rows, and the reasons that they got, by their codes in the model."""
        self._tally("tabserve_explained_rows").add(rows)
        for code in codes:
            self._tally("tabserve_reasons", code).add()

    def observe_violation(self, check: Check) -> None:
        """Count explanations that were held back, by what is wrong with them."""
        self._tally("tabserve_explanation_violations", check).add()

    def observe_outcome(self, result: table.OutcomeResult) -> None:
        """Count an outcome sent as feedback."""
        self._tally("tabserve_outcomes", result).add()

    def observe_mirrored(self, result: table.MirrorResult) -> None:
        """Count what became of a request's copy for the candidate."""
        self._tally("tabserve_mirrored_requests", result).add()

    # ---- the prediction log

    def observe_totals(self, slow_rows: int, lost_lines: int) -> None:
        """Take over rows read the slow way, and lines lost, since this worker's start."""
        self._raise_to("tabserve_slow_rows", slow_rows)
        self._raise_to("tabserve_log_lines_dropped", lost_lines)

    def observe_log(self, state: State) -> None:
        """Take over how this worker's prediction log stands; its counts are since its start."""
        self._raise_to("tabserve_log_rows_enqueued", state.enqueued)
        self._raise_to("tabserve_log_rows_written", state.written)
        for reason, count in state.dropped.items():
            self._raise_to("tabserve_log_rows_dropped", count, reason)
        for name, value in (
            ("tabserve_log_queue_rows", state.depth),
            ("tabserve_log_queue_capacity_rows", state.capacity),
            ("tabserve_log_oldest_age_seconds", state.oldest_age_seconds),
            ("tabserve_log_spool_bytes", state.spool_bytes),
        ):
            self._gauges[name].set(value)
        for seconds in state.write_seconds:
            self._distribution("tabserve_log_write_duration_seconds").observe(seconds)

    def _raise_to(self, name: str, count: int, *labels: str) -> None:
        key = "/".join((name, *labels))
        self._tally(name, *labels).add(count - self._log_seen.get(key, 0))
        self._log_seen[key] = count

    def flush(self) -> None:
        """Make all that was tallied visible, and show that the event loop has its turns."""
        for part in self.parts():
            part()

    def parts(self) -> Iterator[Callable[[], None]]:
        """What `flush` does, in parts that take some ten microseconds each."""
        # A part may be the first to count something, so each step sees what is there by then.
        yield self._settle_answered
        yield from self._parts()
        yield self._show_now
        yield self._measure

    def _show_now(self) -> None:
        for name, value in (
            ("tabserve_requests_in_flight", float(self.in_flight_now)),
            ("tabserve_buffered_bytes", float(self.buffered_now)),
            ("tabserve_connections", float(self.connections_now)),
            ("tabserve_connections_limit", float(self.connections_limit_now)),
            ("tabserve_worker_heartbeat_timestamp_seconds", time.time()),
        ):
            self._gauges[name].labels(self._worker).set(value)

    def _measure(self) -> None:
        if (now := time.monotonic()) >= self._measure_at:
            self._measure_at = now + _MEASURE_SECONDS
            with suppress(OSError):
                self._show_usage(process.measure())

    def _show_usage(self, usage: process.Usage) -> None:
        cpu = self._counters["process_cpu_seconds"].labels(self._worker)
        cpu.inc(max(0.0, usage.cpu_seconds - self._cpu_seen))
        self._cpu_seen = usage.cpu_seconds
        for name, value in (
            ("process_resident_memory_bytes", usage.resident_bytes),
            ("process_open_fds", usage.open_fds),
            ("process_max_fds", usage.max_fds),
        ):
            self._gauges[name].labels(self._worker).set(value)

    def render(self) -> bytes:
        """All metrics of all workers in the Prometheus text format, as of the last flush."""
        return directory.render(self._registry)
