"""Counts and access log lines of answered requests, handed over four times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from time import perf_counter

from bentos.logs import OUTLET
from bentos.records.writer.log import Log
from bentos.serving.body import BodyBudget
from bentos.serving.exposition.access_log import AccessLog
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.http import Request
from bentos.serving.readiness import Readiness
from bentos.settings import Settings

# How long counts and access log lines stay in memory. A scrape shows its own worker's at
# once, another worker's this much later.
_FLUSH_SECONDS = 0.25
# How long one turn of the event loop hands over, and how long answers have until the next.
_TURN_SECONDS = 0.0001
_PAUSE_SECONDS = 0.002

_UNLOGGED = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})

# 499: the client disconnected before its answer (nginx's convention); counted, never sent.
CLIENT_GONE = 499


class Telemetry:
    """Counts and logs the requests of one worker. Only for the event loop's thread."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        log: Log,
        budget: BodyBudget,
        readiness: Readiness,
    ) -> None:
        self._metrics = metrics
        self._readiness = readiness
        self._log = log
        self._budget = budget
        self._access_log = AccessLog(OUTLET) if settings.access_log else None
        self._timer: asyncio.TimerHandle | None = None

    def name_model(self, name: str, version: str) -> None:
        """Set the model that later access log lines name."""
        if self._access_log is not None:
            self._access_log.name_model(name, version)

    def finish(self, route: str, request: Request, status: int, now: float) -> None:
        """Count and log an answered request; `now` is when its answer was handed over."""
        timing, metrics = request.timing, self._metrics
        route = request.route or route
        seconds = now - timing.started
        metrics.observe_request(route, status, seconds)
        if request.problem is not None:
            metrics.observe_problem(request.problem, request.client.label)
        if timing.scored:
            metrics.observe_stages(
                timing.decoded - timing.started,
                timing.dispatched - timing.decoded,
                timing.scored - timing.dispatched,
                now - timing.scored,
            )
        if self._access_log is not None and route not in _UNLOGGED:
            self._access_log.add(
                request.id,
                route,
                status,
                request.rows,
                seconds,
                now,
                request.problem,
                request.client.name,
            )

    def start(self) -> None:
        """Flush from now on, from the event loop: a worker that hangs is seen by its silence."""
        self._flush_later()

    def leave(self, route: str, request: Request) -> None:
        """Count and log a request whose client disconnected."""
        self.finish(route, request, CLIENT_GONE, perf_counter())

    def flush(self) -> None:
        """Hand over all counts and lines at once."""
        for part in self._make_parts():
            part()

    def stop(self) -> None:
        """Hand over what is left, and flush no more."""
        if self._timer is not None:
            self._timer.cancel()
        self.flush()

    def _make_parts(self) -> Iterator[Callable[[], None]]:
        yield self._look
        yield from self._metrics.parts()
        if self._access_log is not None:
            yield self._access_log.flush

    def _look(self) -> None:
        recorder = self._log.recorder
        if recorder is not None:
            self._metrics.observe_log(recorder.look(datetime.now(UTC)))
        self._metrics.buffered_now = self._budget.held_bytes
        loaded = self._readiness.loaded
        slow_rows = 0 if loaded is None else loaded.reader.slow_rows
        self._metrics.observe_totals(slow_rows, OUTLET.dropped)

    def _flush_later(self) -> None:
        # Also without requests: the state of the log changes when its store goes down or
        # comes back.
        later = asyncio.get_running_loop().call_later
        self._timer = later(_FLUSH_SECONDS, self._flush_some, self._make_parts())

    def _flush_some(self, parts: Iterator[Callable[[], None]]) -> None:
        enough = perf_counter() + _TURN_SECONDS
        for part in parts:
            part()
            if perf_counter() > enough:
                # A millisecond of it at once would make every answer of that time late.
                later = asyncio.get_running_loop().call_later
                self._timer = later(_PAUSE_SECONDS, self._flush_some, parts)
                return
        self._flush_later()
