"""The routes: decode -> validate -> score -> encode, and every error in one shape."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Any, ParamSpec, TypeVar

import bentoml
import msgspec

from bentos.errors import Problem, StoreDown
from bentos.ids import new_id
from bentos.logs import LOGGER, AccessLog
from bentos.model import json_rows
from bentos.model.scoring import Scored
from bentos.model.store import StoredModel
from bentos.model.validation import EncodedRow, JsonObject
from bentos.protocols import openapi
from bentos.protocols.answers import Accepted, answer
from bentos.records.writer.log import Log
from bentos.records.writer.recorder import ScoredRequest
from bentos.serving import metrics as exposition
from bentos.serving import page
from bentos.serving.feedback import FeedbackAnswer, record_outcomes
from bentos.serving.http import (
    HTML,
    PROBLEM,
    TEXT,
    BodyBudget,
    ClientGone,
    Handler,
    Reply,
    Request,
    Send,
    Timing,
    read_body,
    read_query,
    read_subject,
)
from bentos.serving.inference import Flow, score_body, score_rows
from bentos.serving.metrics import Metrics, ShedReason
from bentos.serving.readiness import RETRY_AFTER, Readiness
from bentos.serving.registration import register
from bentos.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

# The label of every path that is nobody's route: a scanner makes one series.
OTHER = "other"
_UNLOGGED = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})

# Bodies above this are read beside the event loop: 64 KiB of JSON take about a millisecond.
_LARGE_BODY = 64 * 1024
# Large requests that are worked on at a time. They hold the interpreter most of the time,
# so more of them would only take memory and make each other late.
_LARGE_AT_ONCE = 2

# Large requests that may wait for that. At some milliseconds each they are done well within
# the timeout; more of them would only fill the memory with bodies.
_LARGE_WAITING = 32

# How long counts and access log lines stay in memory. A scrape shows its own worker's at
# once, another worker's this much later.
_FLUSH_SECONDS = 0.25

# How long a stop waits for the prediction log; what is not written by then is on disk.
_LOG_STOP_SECONDS = 10.0

# 499: the client went away before its answer (nginx's convention); counted, never sent.
_CLIENT_GONE = 499


class Api:
    """The routes of one worker."""

    def __init__(self, settings: Settings, metrics: Metrics, log: Log) -> None:
        self.settings = settings
        self._log = log
        self.metrics = metrics
        self.readiness = Readiness(settings, metrics)
        self._flow = Flow(settings, metrics, self.readiness)
        self._budget = BodyBudget(settings.max_buffered_bytes)
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._large_now = 0
        self._access_log = AccessLog() if settings.access_log else None
        self._flush: asyncio.TimerHandle | None = None
        self._openapi = b""
        self.routes: dict[str, dict[str, Handler]] = {
            "/v1/predict": {"POST": self.predict},
            "/v1/predict/batch": {"POST": self.predict_batch},
            "/v1/feedback": {"POST": self.feedback},
            "/v1/model": {"GET": self.model},
            "/readyz": {"GET": self.readyz},
            "/metrics": {"GET": self.render_metrics},
            "/docs.json": {"GET": self.docs},
            "/": {"GET": self.page},
        }

    def load(self, open_model: Callable[[], StoredModel]) -> None:
        """Load the model; what is wrong with it keeps the worker not ready."""
        self.readiness.load(open_model)
        loaded = self.readiness.loaded
        if loaded is None:
            return
        self._openapi = describe_api(loaded.stored, self.settings)
        if self._access_log is not None:
            self._access_log.name_model(loaded.stored.name, loaded.stored.version)
        try:
            self._log.start(register(loaded.stored), loaded.contract, loaded.engine.name)
        except Exception as error:
            # Answers matter more than their log: this one is visibly missing in the metrics.
            LOGGER.error("the prediction log cannot be started", exc_info=error)

    async def stop(self) -> None:
        """Leave: no more proofs, all answers in the log, all counts and lines handed over."""
        await self.readiness.stop()
        await asyncio.to_thread(self._log.stop, _LOG_STOP_SECONDS)
        if self._flush is not None:
            self._flush.cancel()
        self._flush_now()
        exposition.leave_directory()

    # ---- routes

    async def predict(self, request: Request) -> Reply:
        """`POST /v1/predict`: one row."""
        served = self.readiness.require()
        # Before the body is read: what is shed should cost as little as it can.
        self._require_room()
        read_query(request, {})
        subject = read_subject(request)
        body = await self._body(request)
        with self._admitted():
            read = served.reader.read_row
            # An honest row is far smaller; what is large may be made to be slow.
            is_large = len(body) > _LARGE_BODY
            row, tolerated = await self._run_in_thread(read, body) if is_large else read(body)
            scored = await self._flow.score_row(row, tolerated, request.timing)
            request.rows = 1
            made = answer(served.contract, served.reference, scored)
            document = json_rows.encode(made)
            self._record(request.id, request.timing, ((made.id,), (row,), (scored,)), subject)
            return Reply(document)

    async def predict_batch(self, request: Request) -> Reply:
        """`POST /v1/predict/batch`: many rows, faults in their places."""
        served = self.readiness.require()
        self._require_room(is_large=request.announced_bytes > _LARGE_BODY)
        on_error = read_query(request, {"on_error": ("row", "reject")}).get("on_error", "row")
        subject = read_subject(request)
        body = await self._body(request)
        is_rejecting, limit = on_error == "reject", self.settings.max_rows
        with self._admitted():
            work_on = partial(
                score_body, served, body, limit, request.timing, is_rejecting=is_rejecting
            )
            # A thousand empty objects fit into 3 kB, and each has a fault for every feature.
            is_large = len(body) > _LARGE_BODY or body.count(b"{") > self.settings.batch_max_rows
            work, document = await self._run_in_thread(work_on) if is_large else work_on()
            self._flow.count(served, work)
            request.rows = work.rows
            if work.problem is not None:
                raise work.problem
            self._record(request.id, request.timing, work.answered, subject)
            return Reply(document)

    async def feedback(self, request: Request) -> Reply:
        """`POST /v1/feedback`: what turned out to be true of predictions."""
        read_query(request, {})
        self._require_room(is_large=request.announced_bytes > _LARGE_BODY)
        body = await self._body(request)
        with self._admitted():
            # Two members each, so an array of the largest size has no more objects than this.
            most = self.settings.max_rows + 1
            is_large = len(body) > _LARGE_BODY
            document = (
                await self._run_in_thread(json_rows.parse, body, most)
                if is_large
                else json_rows.parse(body, most)
            )
            made = await self._feed(document, request.id)
            return Reply(json_rows.encode(made), status=HTTPStatus.ACCEPTED)

    async def model(self, request: Request) -> Reply:
        """`GET /v1/model`: what is served."""
        read_query(request, {})
        if self.readiness.loaded is None:
            raise self.readiness.problem()
        return Reply(self.readiness.loaded.model_json)

    async def docs(self, request: Request) -> Reply:
        """`GET /docs.json`: the OpenAPI document of the model that is served."""
        if self.readiness.loaded is None:
            raise self.readiness.problem()
        return Reply(self._openapi)

    async def page(self, request: Request) -> Reply:
        """`GET /`: the routes and features to read and to try."""
        loaded = self.readiness.loaded
        title = "tabserve" if loaded is None else f"{loaded.stored.name}:{loaded.stored.version}"
        return Reply(page.render(title), HTML, headers={"Content-Security-Policy": page.POLICY})

    async def readyz(self, request: Request) -> Reply:
        """`GET /readyz`: 200, or 503 and why."""
        if not self.readiness.is_ready:
            raise self.readiness.problem()
        return Reply(b"\n", TEXT)

    async def render_metrics(self, request: Request) -> Reply:
        """`GET /metrics`: of all workers."""
        self._flush_now()
        body = await asyncio.to_thread(self.metrics.render)
        return Reply(body, exposition.CONTENT_TYPE.encode())

    # ---- the same for callers inside this host, without HTTP

    async def score_value(self, row: object) -> dict[str, Any]:
        """Score one row given as plain values."""
        served = self.readiness.require()
        encoded, faults = served.reader.validate(row)
        if encoded is None:
            raise json_rows.invalid(faults)
        timing = Timing()
        with self._admitted():
            scored = await self._flow.score_row(encoded, faults, timing)
            made = answer(served.contract, served.reference, scored)
            document = json_rows.encode(made)
            self._record(new_id(), timing, ((made.id,), (encoded,), (scored,)))
            return _plain(document)

    async def score_values(self, instances: list[Any]) -> dict[str, Any]:
        """Score many rows given as plain values."""
        served = self.readiness.require()
        rows, faults = served.reader.validate_instances(
            json_rows.instances_of(JsonObject(instances=instances), self.settings.max_rows)
        )
        timing = Timing()
        with self._admitted():
            work = await self._run_in_thread(score_rows, served, rows, faults, timing)
            self._flow.count(served, work)
            document = json_rows.encode(work.answer)
            self._record(new_id(), timing, work.answered)
            return _plain(document)

    async def feed_values(self, outcomes: list[Any]) -> dict[str, Any]:
        """Record outcomes given as plain values."""
        document = [JsonObject(one) if isinstance(one, dict) else one for one in outcomes]
        with self._admitted():
            return _plain(json_rows.encode(await self._feed(document, new_id())))

    # ---- the prediction log

    def _record(
        self,
        request_id: str,
        timing: Timing,
        answered: tuple[Sequence[str], Sequence[EncodedRow], Sequence[Scored]],
        subject: str | None = None,
    ) -> None:
        recorder = self._log.recorder
        if recorder is not None and answered[0]:
            recorder.add(
                ScoredRequest(
                    request_id,
                    *answered,
                    subject,
                    timing.decoded - timing.started,
                    timing.dispatched - timing.decoded,
                    timing.scored - timing.dispatched,
                    perf_counter() - timing.scored,
                )
            )

    async def _feed(self, document: object, request_id: str) -> Accepted | FeedbackAnswer:
        feedback, recorder = self._log.feedback, self._log.recorder
        if feedback is None:
            raise Problem("no-log", "outcomes have no prediction to belong to")
        try:
            async with asyncio.timeout(self.settings.timeout_seconds):
                return await record_outcomes(
                    feedback,
                    document,
                    self.settings.max_rows,
                    request_id,
                    0.0 if recorder is None else recorder.oldest_age_seconds(datetime.now(UTC)),
                )
        except StoreDown:
            raise Problem(
                "log-down", "nothing was recorded: send it again later", headers=RETRY_AFTER
            ) from None
        except TimeoutError:
            # The store may still be at it; what it has already, it leaves as it is.
            raise Problem(
                "timeout",
                "the outcomes may be recorded or not: send them again, that changes nothing",
                headers=RETRY_AFTER,
            ) from None

    # ---- one request from end to end

    async def _run_in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something long beside the event loop, few at a time. Raises TimeoutError."""
        self._large_now += 1
        try:
            async with asyncio.timeout(self.settings.timeout_seconds), self._large:
                return await asyncio.to_thread(work, *args, **kwargs)
        finally:
            self._large_now -= 1

    def _require_room(self, *, is_large: bool = False) -> None:
        if self.metrics.in_flight_now >= self.settings.max_concurrency:
            reason: ShedReason = "concurrency"
            detail = "this worker holds as many requests as it may"
        elif self._flow.wait_seconds > self.settings.timeout_seconds / 2:
            # Who waited so long is barely in time; who comes now would not be.
            reason, detail = "wait", "rows wait too long for their turn"
        elif is_large and self._large_now >= _LARGE_AT_ONCE + _LARGE_WAITING:
            reason, detail = "large", "this worker holds as many large requests as it may"
        else:
            return
        self.metrics.observe_shed(reason)
        raise Problem("overloaded", f"{detail}: try again later", headers=RETRY_AFTER)

    def _admitted(self) -> _Admission:
        self._require_room()
        return _Admission(self.metrics)

    async def _body(self, request: Request) -> bytes:
        settings = self.settings
        return await read_body(
            request, settings.max_body_bytes, settings.timeout_seconds, self._budget
        )

    async def answer(self, handler: Handler, route: str, request: Request, send: Send) -> None:
        """Run a handler, turn whatever happens into an answer, send it, count it, log it."""
        try:
            reply = await handler(request)
        except Problem as problem:
            self.metrics.observe_faults(problem.faults)
            if problem.kind == "overloaded" and request.held:
                self.metrics.observe_shed("memory")
            reply = _problem_reply(problem, request)
        except TimeoutError:
            late = Problem("timeout", "no answer was ready in time", headers=RETRY_AFTER)
            reply = _problem_reply(late, request)
        except ClientGone:
            self.finish(route, request, _CLIENT_GONE, perf_counter())
            return
        except Exception as error:
            fields = {"request_id": request.id, "route": route}
            LOGGER.error("request failed", exc_info=error, extra={"fields": fields})
            wrong = Problem("internal", "the request was not answered; the log has the reason")
            reply = _problem_reply(wrong, request)
        finally:
            self._budget.give_back(request)
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
        body = b"" if request.scope["method"] == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})
        self.finish(route, request, reply.status, now)

    def finish(self, route: str, request: Request, status: int, now: float) -> None:
        """Count and log an answered request; `now` is when its answer was handed over."""
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
        if self._access_log is not None and route not in _UNLOGGED:
            self._access_log.write(request.id, route, status, request.rows, seconds)
        if self._flush is None:
            self._flush_later()

    def _flush_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._flush = loop.call_later(_FLUSH_SECONDS, self._flush_again)

    def _flush_again(self) -> None:
        # From the first request on for ever: the log has news without any, when its store
        # goes down or comes back.
        self._flush_now()
        self._flush_later()

    def _flush_now(self) -> None:
        recorder = self._log.recorder
        if recorder is not None:
            self.metrics.observe_log(recorder.look(datetime.now(UTC)))
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


def _problem_reply(problem: Problem, request: Request) -> Reply:
    document = json_rows.encode(problem.document(request.id))
    return Reply(document, PROBLEM, int(problem.status), problem.headers)


def describe_api(stored: StoredModel, settings: Settings) -> bytes:
    """Make the OpenAPI document of one model's service, as JSON."""
    return msgspec.json.encode(
        openapi.document(
            stored.contract,
            stored.name,
            stored.version,
            max_rows=settings.max_rows,
            max_body_bytes=settings.max_body_bytes,
        )
    )


def _plain(document: bytes) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(document)
    return plain


@contextlib.contextmanager
def as_service_error() -> Iterator[None]:
    """Raise a problem as BentoML's kind of error: for callers inside the same host."""
    try:
        yield
    except Problem as problem:
        document = json_rows.encode(problem.document(new_id())).decode()
        raise bentoml.exceptions.BentoMLException(document, error_code=problem.status) from None
