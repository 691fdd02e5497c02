"""One worker, put together: the model it serves, its routes, and its start and stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from bentos import quota
from bentos.errors import ConfigurationError, Problem
from bentos.logs import LOGGER, OUTLET
from bentos.model.loading import LoadedModel
from bentos.model.store import StoredModel
from bentos.protocols import openapi
from bentos.protocols.protocol import (
    Call,
    DocumentRoute,
    Limits,
    Need,
    Protocol,
    Reply,
    ScoringRoute,
    StreamingRoute,
)
from bentos.protocols.registry import PROTOCOLS
from bentos.records.writer.log import Log
from bentos.serving import garbage, supervision
from bentos.serving.access.cors import Cors
from bentos.serving.access.gate import announce_open, open_gate
from bentos.serving.admission import Admission
from bentos.serving.body import BodyBudget, BodyReader
from bentos.serving.bulk.route import Bulk
from bentos.serving.connections.metrics_port import MetricsPort
from bentos.serving.connections.registry import Connections
from bentos.serving.exchange import Endpoint, Exchange, Handler, refusing
from bentos.serving.explaining import Explaining
from bentos.serving.exposition import directory
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.feedback import FeedbackRoute
from bentos.serving.garbage import Keeper
from bentos.serving.http import Receive, Request, Scope, Send, read_query
from bentos.serving.inference import Inference
from bentos.serving.mirror import Mirror
from bentos.serving.operations import Operations
from bentos.serving.pipeline import Pipeline
from bentos.serving.readiness import Readiness
from bentos.serving.registration import register
from bentos.serving.telemetry import Telemetry
from bentos.settings import Settings

# How long a stop waits for the prediction log; what is not written by then is on disk.
_LOG_STOP_SECONDS = 10.0


class Worker:
    """Everything that answers requests in one process.

    `routes`: the endpoint of each path template and method. Raises ConfigurationError where the
    keys that the settings ask for cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        log: Log,
        protocols: Sequence[Protocol] = PROTOCOLS,
    ) -> None:
        self.settings = settings
        self.protocols = protocols
        self._metrics = metrics
        self._log = log
        self.readiness = Readiness(settings, metrics)
        budget = BodyBudget(settings.max_buffered_bytes)
        self.telemetry = Telemetry(settings, metrics, log, budget, self.readiness)
        bodies = BodyReader(settings.max_body_bytes, settings.timeout_seconds, budget)
        inference = Inference(settings, metrics, self.readiness)
        admission = Admission(settings, metrics, inference)
        self._mirror = Mirror(settings, metrics) if settings.mirror_url else None
        self._explaining = Explaining(settings, metrics)
        self.pipeline = Pipeline(
            settings,
            metrics,
            log,
            self.readiness,
            inference,
            admission,
            bodies,
            self._explaining,
            self._mirror,
        )
        self.bulk = Bulk(settings, metrics, log, self.readiness, admission, bodies, self.pipeline)
        self.feedback = FeedbackRoute(settings, metrics, log, admission, bodies)
        self.gate = open_gate(settings, metrics)
        origins = settings.cors_origins
        self.cors = Cors(origins.split(",")) if origins else None
        self.exchange = Exchange(settings, metrics, bodies, self.telemetry, self.gate, self.cors)
        self._operations = Operations(metrics, self.readiness, self.telemetry)
        self.connections = Connections(settings, metrics)
        self.routes = self._make_routes()
        self._keeper = Keeper()
        # Rows that are scored and not explained: without a whole body, or with too many rows for
        # the event loop, they ask for a task on the way.
        self.direct = frozenset(
            route.path
            for protocol in protocols
            for route in protocol.routes
            if isinstance(route, ScoringRoute) and route.explains != "always"
        )
        self._metrics_port: MetricsPort | None = None
        if settings.metrics_port:
            scrape = self.routes.pop("/metrics")["GET"]
            self._scrape = msgspec.structs.replace(scrape, need="none")
            self._metrics_port = MetricsPort(
                settings.metrics_host,
                settings.metrics_port,
                self.connections,
                self._answer_on_metrics_port,
            )

    async def _answer_on_metrics_port(
        self, problem: Problem | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        endpoint = self._scrape
        if problem is None and (
            scope["path"] != "/metrics" or scope["method"] not in ("GET", "HEAD")
        ):
            problem = Problem("not-found", "this port answers GET /metrics, and nothing else")
        if problem is not None:
            endpoint = msgspec.structs.replace(endpoint, handler=refusing(problem))
        await self.exchange.run(endpoint, Request(scope, receive), send)

    def _make_routes(self) -> dict[str, dict[str, Endpoint]]:
        default = self.protocols[0]
        routes: dict[str, dict[str, Endpoint]] = {}

        def add(protocol: Protocol, method: str, path: str, handler: Handler, need: Need) -> None:
            endpoint = Endpoint(path, handler, protocol.encode_problem, need)
            routes.setdefault(path, {})[method] = endpoint

        for protocol in self.protocols:
            for route in protocol.routes:
                if isinstance(route, DocumentRoute):
                    add(protocol, route.method, route.path, partial(self._read, route), route.need)
                elif isinstance(route, StreamingRoute):
                    bulk = partial(self.bulk.answer, route)
                    add(protocol, "POST", route.path, bulk, route.scoring.need)
                else:
                    handler = partial(self.pipeline.answer, route)
                    add(protocol, "POST", route.path, handler, route.need)
        add(default, "POST", "/v1/feedback", self.feedback.answer, "feedback")
        for path, (operation, need) in self._operations.routes.items():
            add(default, "GET", path, operation, need)
        return routes

    async def _read(self, route: DocumentRoute, request: Request) -> Reply:
        call = Call(b"", read_query(request, route.query), request.parameters)
        unready = None if self.readiness.is_ready else self.readiness.problem()
        return route.read(self.readiness.loaded, unready, call)

    def load(self, open_model: Callable[[], StoredModel], number: int = 1) -> None:
        """Load the model; any error keeps the worker not ready.

        `number`: which of the workers this is, from 1 on.
        """
        self._metrics.begin(self.settings, self.routes, number)
        if number == 1:
            _report_cpus(self.settings)
        if self.gate is None:
            announce_open(self._metrics)
        else:
            self.gate.announce()
        if self._metrics_port is not None:
            try:
                self._metrics_port.bind()
            except ConfigurationError as error:
                self.readiness.refuse(error)
                return
        self.readiness.load(open_model)
        loaded = self.readiness.loaded
        if loaded is None:
            return
        stored = loaded.stored
        self._operations.openapi_json = self._describe(loaded)
        self.telemetry.name_model(stored.name, stored.version)
        try:
            self._log.start(
                register(stored, loaded.explainer.file), loaded.contract, loaded.engine.name
            )
        except Exception as error:
            # Answers matter more than the log: its metrics show that it does not run.
            LOGGER.error("the prediction log cannot be started", exc_info=error)

    def _describe(self, loaded: LoadedModel) -> bytes:
        limits = Limits(
            self.settings.max_rows,
            self.settings.max_body_bytes,
            min(self.settings.explain_max_rows, self.settings.max_rows),
        )
        stored = loaded.stored
        return msgspec.json.encode(
            openapi.document(stored.contract, stored.name, stored.version, limits, self.protocols)
        )

    def start(self) -> None:
        """Begin the proof that takes long, and to show how this worker is."""
        self.readiness.start()
        if self.gate is not None:
            self.gate.start()
        self.telemetry.start()
        self.connections.start()
        self._keeper.start()
        supervision.watch_supervisor()
        if self._metrics_port is not None:
            self._listening = asyncio.create_task(self._metrics_port.start())

    async def stop(self) -> None:
        """Stop: end the proof, write all answers to the log, and flush counts and lines."""
        await self.readiness.stop()
        if self.gate is not None:
            self.gate.stop()
        if self._mirror is not None:
            await self._mirror.stop()
        self._explaining.stop()
        await asyncio.to_thread(self._log.stop, _LOG_STOP_SECONDS)
        if self._metrics_port is not None:
            self._metrics_port.stop()
        self.connections.stop()
        self._keeper.stop()
        self.telemetry.stop()
        # The process ends by a signal, which leaves no time for lines that wait.
        await asyncio.to_thread(OUTLET.end)
        directory.leave_directory()
        supervision.leave()
        garbage.release()


def _report_cpus(settings: Settings) -> None:
    cpus = quota.find_cpus()
    fields = {
        "workers": settings.workers,
        "threads": settings.predict_threads,
        "cpus": round(cpus.cpus, 2),
        "bounded_by": cpus.source,
    }
    busy = settings.workers * settings.predict_threads
    if busy > max(1.0, cpus.cpus):
        LOGGER.warning("more workers and threads than CPUs", extra={"fields": fields})
    else:
        LOGGER.info("workers and CPUs", extra={"fields": fields})
