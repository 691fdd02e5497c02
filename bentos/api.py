"""The routes: decode -> validate -> batch -> encode, and every error in one shape."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import bentoml
import msgspec
from uuid_utils import uuid7

from bentos import memory
from bentos import metrics as exposition
from bentos.answers import BatchAnswer, Prediction, answer, prediction, rejection
from bentos.batching import Batcher
from bentos.errors import Fault, Problem, TabserveError
from bentos.frame import Warned
from bentos.http import (
    PROBLEM,
    TEXT,
    ClientGone,
    Handler,
    Reply,
    Request,
    Send,
    Timing,
    read_body,
    read_query,
)
from bentos.loading import Served
from bentos.logs import LOGGER, AccessLog
from bentos.metrics import Metrics
from bentos.scoring import Scored
from bentos.settings import Settings
from bentos.store import StoredModel
from bentos.validation import EncodedRow, Members
from bentos.wire import json as wire

# The label of every path that is not a route of ours: a scanner makes one series.
OTHER = "other"
_LOGGED = frozenset({"/v1/predict", "/v1/predict/batch", "/v1/model", "/docs.json", OTHER})

# Bodies above this are read, and batches above `batch_max_rows` scored, beside the event
# loop: 64 KiB of JSON take about a millisecond.
_LARGE_BODY = 64 * 1024
# Rows scored by one call for a large batch, so that other threads get their turn between.
_CHUNK_ROWS = 1024

# How long counts and access log lines stay in memory. A scrape shows its own worker's at
# once, another worker's this much later.
_FLUSH_SECONDS = 0.25

_RETRY_AFTER = {"Retry-After": "1"}
# 499: the client went away before its answer (nginx's convention); counted, never sent.
_CLIENT_GONE = 499


class Api:
    """The state of one worker: the model, the batcher, the counters."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self._served: Served | None = None
        self._not_ready = "no model is loaded yet"
        self._admission = _Admission(metrics)
        self._access_log = AccessLog() if settings.access_log else None
        self._flush: asyncio.TimerHandle | None = None
        self._proof: asyncio.Task[None] | None = None
        self._batcher: Batcher[EncodedRow, tuple[Scored, float, float]] = Batcher(
            self._score_batch,
            max_rows=settings.batch_max_rows,
            wait_seconds=settings.batch_wait_ms / 1e3,
            timeout_seconds=settings.timeout_seconds,
            observe=metrics.observe_batch,
        )
        self.routes: dict[str, dict[str, Handler]] = {
            "/v1/predict": {"POST": self.predict},
            "/v1/predict/batch": {"POST": self.predict_batch},
            "/v1/model": {"GET": self.model},
            "/readyz": {"GET": self.readyz},
            "/metrics": {"GET": self.render_metrics},
            "/docs.json": {"GET": self.docs},
        }

    # ---- life of a worker

    @property
    def is_ready(self) -> bool:
        return not self._not_ready

    def load(self, open_model: Callable[[], StoredModel]) -> None:
        """Load and prove the model. What is wrong with it keeps the worker not ready."""
        try:
            served = Served(open_model(), self.settings)
            served.prove()
        except TabserveError as error:
            self._refuse(str(error))
            return
        except Exception as error:
            LOGGER.error("model cannot be loaded", exc_info=error)
            self._refuse(f"the model cannot be loaded: {type(error).__name__}")
            return
        stored = served.stored
        self.metrics.announce(stored.name, stored.version, served.contract)
        if self._access_log is not None:
            self._access_log.name_model(stored.name, stored.version)
        self._served = served
        self._not_ready = "the golden rows are being scored with MLflow's own loader"

    def start(self) -> None:
        """Begin the proofs that take long; the worker is ready after them."""
        if self._served is not None:
            self._proof = asyncio.create_task(self._prove(self._served))

    async def _prove(self, served: Served) -> None:
        try:
            is_compared = await served.prove_with_mlflow()
        except TabserveError as error:
            self._refuse(str(error))
            return
        except Exception as error:
            LOGGER.error("proof failed", exc_info=error)
            self._refuse(f"the golden rows cannot be checked: {type(error).__name__}")
            return
        memory.settle()
        self._not_ready = ""
        self.metrics.ready.set(1)
        fields = {
            "model": f"{served.stored.name}:{served.stored.version}",
            "contract": served.contract.hash[:12],
            "engine": served.contract.engine,
            "golden_rows": 0 if served.golden is None else len(served.golden.rows),
            "compared_with_mlflow": is_compared,
        }
        LOGGER.info("ready", extra={"fields": fields})

    def _refuse(self, reason: str) -> None:
        self._not_ready = reason
        self.metrics.ready.set(0)
        LOGGER.error(f"not ready: {reason}")

    async def stop(self) -> None:
        """Leave: no more traffic, no more proofs."""
        if self._proof is not None and not self._proof.done():
            self._proof.cancel()
            await asyncio.gather(self._proof, return_exceptions=True)
        self._flush_now()
        exposition.leave_directory()

    # ---- routes

    async def predict(self, request: Request) -> Reply:
        """`POST /v1/predict`: one row."""
        served = self._ready_model()
        read_query(request, {})
        body = await self._body(request)
        with self._admitted():
            row, tolerated = served.reader.read_row(body)
            scored = await self._score_row(row, tolerated, request.timing)
            request.rows = 1
            return Reply(wire.encode(answer(served.contract, served.reference, scored)))

    async def predict_batch(self, request: Request) -> Reply:
        """`POST /v1/predict/batch`: many rows, faults in their places."""
        served = self._ready_model()
        on_error = read_query(request, {"on_error": ("row", "reject")}).get("on_error", "row")
        body = await self._body(request)
        with self._admitted():
            async with asyncio.timeout(self.settings.timeout_seconds):
                is_large = len(body) > _LARGE_BODY
                read = served.reader.read_instances
                rows, faults = (
                    await asyncio.to_thread(read, body, self.settings.max_rows)
                    if is_large
                    else read(body, self.settings.max_rows)
                )
                if on_error == "reject" and None in rows:
                    self.metrics.observe_rows("rejected", len(rows))
                    raise wire.invalid([fault for row in faults for fault in row])
                request.rows = len(rows)
                predictions = await self._score_rows(served, rows, faults, request.timing)
                whole = BatchAnswer(served.reference, predictions)
                return Reply(
                    await asyncio.to_thread(wire.encode, whole) if is_large else wire.encode(whole)
                )

    async def model(self, request: Request) -> Reply:
        """`GET /v1/model`: what is served."""
        read_query(request, {})
        if self._served is None:
            raise self._unready()
        return Reply(self._served.model_json)

    async def docs(self, request: Request) -> Reply:
        """`GET /docs.json`: the OpenAPI document of the model that is served."""
        if self._served is None:
            raise self._unready()
        return Reply(self._served.openapi_json)

    async def readyz(self, request: Request) -> Reply:
        """`GET /readyz`: 200, or 503 and why."""
        if not self.is_ready:
            raise self._unready()
        return Reply(b"\n", TEXT)

    async def render_metrics(self, request: Request) -> Reply:
        """`GET /metrics`: of all workers."""
        body = await asyncio.to_thread(self.metrics.render)
        return Reply(body, exposition.CONTENT_TYPE.encode())

    # ---- scoring

    async def score_value(self, row: object) -> dict[str, Any]:
        """Score one row given as plain values: the API method's way, without HTTP."""
        served = self._ready_model()
        encoded, faults = served.reader.validate(row)
        if encoded is None:
            raise wire.invalid(faults)
        with self._admitted():
            scored = await self._score_row(encoded, faults, Timing())
            document: dict[str, Any] = msgspec.json.decode(
                wire.encode(answer(served.contract, served.reference, scored))
            )
            return document

    async def score_values(self, instances: list[Any]) -> dict[str, Any]:
        """Score many rows given as plain values: the API method's way, without HTTP."""
        served = self._ready_model()
        rows, faults = served.reader.validate_instances(
            wire.instances_of(Members(instances=instances), self.settings.max_rows)
        )
        with self._admitted():
            predictions = await self._score_rows(served, rows, faults, Timing())
            document: dict[str, Any] = msgspec.json.decode(
                wire.encode(BatchAnswer(served.reference, predictions))
            )
            return document

    async def _score_row(self, row: EncodedRow, tolerated: list[Fault], timing: Timing) -> Scored:
        timing.decoded = perf_counter()
        scored, timing.dispatched, timing.scored = await self._batcher.submit(row)
        return self._with_tolerated(scored, tolerated) if tolerated else scored

    def _score_batch(self, rows: list[EncodedRow]) -> list[tuple[Scored, float, float]]:
        dispatched = perf_counter()
        scored = self._score_and_count(self._ready_model(), rows)
        done = perf_counter()
        return [(one, dispatched, done) for one in scored]

    def _score_and_count(self, served: Served, rows: list[EncodedRow]) -> list[Scored]:
        scored, screening = served.scorer.score(rows)
        metrics = self.metrics
        metrics.observe_rows("scored", len(rows))
        metrics.observe_screening(screening)
        if served.contract.classes is not None:
            stored = served.stored
            labels = Counter(str(one.label) for one in scored)
            metrics.observe_labels(stored.name, stored.version, labels)
        return scored

    async def _score_rows(
        self,
        served: Served,
        rows: list[EncodedRow | None],
        faults: list[list[Fault]],
        timing: Timing,
    ) -> list[Prediction]:
        timing.decoded = timing.dispatched = perf_counter()
        good = [row for row in rows if row is not None]
        scored: list[Scored] = []
        if 0 < len(good) <= self.settings.batch_max_rows:
            scored = self._score_and_count(served, good)
        else:
            for start in range(0, len(good), _CHUNK_ROWS):
                chunk = good[start : start + _CHUNK_ROWS]
                scored += await asyncio.to_thread(self._score_and_count, served, chunk)
        timing.scored = perf_counter()
        if len(good) < len(rows):
            self.metrics.observe_rows("rejected", len(rows) - len(good))
        answers = iter(scored)
        return [
            self._rejection(row_faults)
            if row is None
            else self._prediction(served, next(answers), row_faults)
            for row, row_faults in zip(rows, faults, strict=True)
        ]

    def _prediction(self, served: Served, scored: Scored, tolerated: list[Fault]) -> Prediction:
        if tolerated:
            scored = self._with_tolerated(scored, tolerated)
        return prediction(served.contract, scored)

    def _rejection(self, faults: list[Fault]) -> Prediction:
        self._count_faults(faults)
        return rejection(faults)

    def _with_tolerated(self, scored: Scored, tolerated: list[Fault]) -> Scored:
        warned = []
        for fault in tolerated:
            name = fault.pointer.rsplit("/", 1)[-1].replace("~1", "/").replace("~0", "~")
            self.metrics.unknown_category.labels(name).inc()
            place = f"/{fault.pointer.rsplit('/', 1)[-1]}"
            warned.append(
                Warned(place, "unknown_category", "is a category that training never saw")
            )
        return msgspec.structs.replace(scored, warnings=(*warned, *scored.warnings))

    # ---- guards

    def _ready_model(self) -> Served:
        if self._served is None or self._not_ready:
            raise self._unready()
        return self._served

    def _unready(self) -> Problem:
        return Problem("not-ready", self._not_ready, headers=_RETRY_AFTER)

    def _admitted(self) -> _Admission:
        if self.metrics.in_flight_now >= self.settings.max_concurrency:
            self.metrics.shed.labels("concurrency").inc()
            raise Problem(
                "overloaded",
                "this worker holds as many requests as it may: try again later",
                headers=_RETRY_AFTER,
            )
        return self._admission

    async def _body(self, request: Request) -> bytes:
        settings = self.settings
        return await read_body(request, settings.max_body_bytes, settings.timeout_seconds)

    # ---- one request from end to end

    async def answer(self, handler: Handler, route: str, request: Request, send: Send) -> None:
        """Run a handler, turn whatever happens into an answer, send it, count it, log it."""
        try:
            reply = await handler(request)
        except Problem as problem:
            self._count_faults(problem.faults)
            reply = self._problem_reply(problem, request)
        except TimeoutError:
            reply = self._problem_reply(
                Problem("timeout", "the row was not scored in time", headers=_RETRY_AFTER), request
            )
        except ClientGone:
            self._finish(route, request, _CLIENT_GONE, perf_counter())
            return
        except Exception as error:
            fields = {"request_id": request.id, "route": route}
            LOGGER.error("request failed", exc_info=error, extra={"fields": fields})
            reply = self._problem_reply(
                Problem("internal", "the request was not answered; the log has the reason"), request
            )
        now = perf_counter()
        headers = [
            (b"content-type", reply.media_type),
            (b"content-length", b"%d" % len(reply.body)),
            (b"x-request-id", request.id.encode()),
            (b"server-timing", request.timing.header(now)),
        ]
        if reply.headers:
            headers += [(k.lower().encode(), v.encode()) for k, v in reply.headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        self._finish(route, request, reply.status, now)

    def _problem_reply(self, problem: Problem, request: Request) -> Reply:
        document = wire.encode(problem.document(request.id))
        return Reply(document, PROBLEM, int(problem.status), problem.headers)

    def _count_faults(self, faults: tuple[Fault, ...] | list[Fault]) -> None:
        for fault in faults:
            self.metrics.faults.labels(fault.code).inc()

    def _finish(self, route: str, request: Request, status: int, now: float) -> None:
        timing, metrics = request.timing, self.metrics
        seconds = now - timing.started
        metrics.observe_request(route, status, seconds)
        if timing.scored:
            metrics.observe_stages(
                timing.decoded - timing.started,
                timing.dispatched - timing.decoded,
                timing.scored - timing.dispatched,
                now - timing.scored,
            )
        if self._access_log is not None and route in _LOGGED:
            self._access_log.write(request.id, route, status, request.rows, seconds)
        if self._flush is None:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_later(_FLUSH_SECONDS, self._flush_now)

    def _flush_now(self) -> None:
        self._flush = None
        self.metrics.flush()
        if self._access_log is not None:
            self._access_log.flush()


class _Admission:
    """Counts a request in while it is worked on."""

    __slots__ = ("_metrics",)

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __enter__(self) -> None:
        self._metrics.in_flight_now += 1

    def __exit__(self, *_: object) -> None:
        self._metrics.in_flight_now -= 1


@contextlib.contextmanager
def as_service_error() -> Iterator[None]:
    """Raise a problem as BentoML's kind of error: for callers inside the same host."""
    try:
        yield
    except Problem as problem:
        document = wire.encode(problem.document(str(uuid7()))).decode()
        raise bentoml.exceptions.BentoMLException(document, error_code=problem.status) from None
