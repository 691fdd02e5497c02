"""From a request to the answer that is sent: errors shaped, headers added, all counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

import msgspec

from bentos.errors import Fault, Problem
from bentos.logs import LOGGER
from bentos.protocols.protocol import Need, Reply
from bentos.serving.access.cors import Cors
from bentos.serving.access.gate import Gate
from bentos.serving.body import BodyReader
from bentos.serving.connections.cycle import Cycle
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.http import ANYONE, ClientGone, Request, Send, Streamed
from bentos.serving.readiness import RETRY_AFTER
from bentos.serving.telemetry import CLIENT_GONE, Telemetry
from bentos.settings import Settings

Handler = Callable[[Request], Awaitable[Reply | Streamed]]

# An answer is about a person: no cache keeps it, and no browser takes it for a page.
_ALWAYS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))

# An answer's head where nothing more is to be said: what `_head` gives, in one piece.
_USUAL_HEAD = b"".join(
    (
        b"content-type: %b\r\nx-request-id: %b\r\nserver-timing: %b\r\n",
        *(b"%b: %b\r\n" % header for header in _ALWAYS),
        b"content-length: %d\r\n",
    )
)
_USUAL_LINES = _USUAL_HEAD.count(b"\n")


class Endpoint(msgspec.Struct, frozen=True):
    """What answers the requests of one route and method.

    `route`: the path template, which is the label of metrics. `encode_problem`: an error and
    the request's id in the shape of the route's protocol. `need`: what a key must be good for.
    """

    route: str
    handler: Handler
    encode_problem: Callable[[Problem, str], Reply]
    need: Need = "any"


class Exchange:
    """Runs endpoints and sends what they answer."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        bodies: BodyReader,
        telemetry: Telemetry,
        gate: Gate | None,
        cors: Cors | None = None,
    ) -> None:
        self._cors = cors
        self._send_seconds = settings.timeout_seconds
        self._gate = gate
        self._metrics = metrics
        self._bodies = bodies
        self._telemetry = telemetry

    async def run(self, endpoint: Endpoint, request: Request, send: Send) -> None:
        """Answer one request, whatever happens."""
        inside = ANYONE
        try:
            if self._gate is not None:
                waiting = self._gate.enter(endpoint.need, request)
                if waiting is not None:
                    await waiting
                inside = request.client
            reply = await endpoint.handler(request)
            if isinstance(reply, Streamed):
                await self._stream(endpoint, reply, request, send)
                return
        except ClientGone as error:
            self._telemetry.leave(endpoint.route, request)
            _let_go(error)
            return
        except Exception as error:
            reply = _refuse(endpoint, self._to_problem(error, endpoint, request), request)
            _let_go(error)
        finally:
            self._bodies.give_back(request)
            if inside.is_limited:
                inside.leave()
        now = perf_counter()
        limits = request.client.write_limits(now) if request.client.is_limited else ()
        if limits or not self._send_at_once(reply, request, send, now):
            headers = self._head(reply, request, now, limits)
            headers.append((b"content-length", b"%d" % len(reply.body)))
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            body = b"" if request.scope["method"] == "HEAD" else reply.body
            await send({"type": "http.response.body", "body": body})
        self._telemetry.finish(endpoint.route, request, reply.status, now)

    def _send_at_once(self, reply: Reply, request: Request, send: Send, now: float) -> bool:
        # No member of the scope: it would hold itself, and wait for the garbage collector.
        cycle = getattr(send, "__self__", None)
        if not isinstance(cycle, Cycle) or reply.headers or self._cors is not None:
            return False
        head = _USUAL_HEAD % (
            reply.media_type,
            request.id.encode(),
            request.timing.header(now),
            len(reply.body),
        )
        return cycle.answer(reply.status, head, _USUAL_LINES, reply.body)

    async def _stream(
        self, endpoint: Endpoint, reply: Streamed, request: Request, send: Send
    ) -> None:
        """Send an answer as it is made.

        Where it fails in the middle, the connection is closed before the answer's end: a
        client must not take it for a whole one.
        """
        status = 200
        try:
            now = perf_counter()
            limits = request.client.write_limits(now) if request.client.is_limited else ()
            headers = self._head(reply, request, now, limits)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            async for piece in reply.pieces:
                async with asyncio.timeout(self._send_seconds):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except ClientGone as error:
            status = CLIENT_GONE
            _let_go(error)
        except Exception as error:
            problem = self._to_problem(error, endpoint, request)
            request.problem, status = problem.kind, int(problem.status)
            _let_go(error)
        finally:
            await reply.close()
        self._telemetry.finish(endpoint.route, request, status, perf_counter())

    def _head(
        self,
        reply: Reply | Streamed,
        request: Request,
        now: float,
        limits: Sequence[tuple[bytes, bytes]],
    ) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"content-type", reply.media_type),
            (b"x-request-id", request.id.encode()),
            (b"server-timing", request.timing.header(now)),
            *_ALWAYS,
            *limits,
        ]
        if self._cors is not None:
            headers += self._cors.write(request)
        if reply.headers:
            headers += [(k.lower().encode(), v.encode()) for k, v in reply.headers.items()]
        return headers

    def _to_problem(self, error: Exception, endpoint: Endpoint, request: Request) -> Problem:
        """Give the problem that an error is to the client, counted or logged."""
        if isinstance(error, Problem):
            self._count(error)
            return error
        if isinstance(error, TimeoutError):
            # Of the scoring, which may go on in a thread, or of a client that does not read.
            request.timing = request.timing.restart()
            return Problem("timeout", "no answer was ready in time", headers=RETRY_AFTER)
        fields = {"request_id": request.id, "route": endpoint.route}
        LOGGER.error("request failed", exc_info=error, extra={"fields": fields})
        return Problem("internal", "the request was not answered; the log has the reason")

    def _count(self, problem: Problem) -> None:
        if problem.faults:
            self._metrics.observe_faults(problem.faults)
        elif problem.kind == "malformed":
            # A body that is no JSON at all has no place to point to.
            self._metrics.observe_faults([Fault("", "malformed", problem.detail)])
        if problem.rows:
            self._metrics.observe_rows("rejected", problem.rows)
        if problem.shed is not None:
            self._metrics.observe_shed(problem.shed)


def refusing(problem: Problem) -> Handler:
    """Make a handler that answers with a problem."""

    async def handler(_: Request) -> Reply:
        raise problem

    return handler


def _refuse(endpoint: Endpoint, problem: Problem, request: Request) -> Reply:
    request.problem = problem.kind
    reply = endpoint.encode_problem(problem, request.id)
    # A protocol shapes the body; what HTTP asks for stands in every protocol's answer.
    reply.headers = {**problem.headers, **(reply.headers or {})}
    return reply


def _let_go(error: BaseException) -> None:
    """Release what the frames of an error hold: a request's body among it.

    An error that came from a thread is held by the future that brought it, and one of its frames
    holds that future: a cycle, which only a collection of garbage ends, and large bodies are so
    few objects that none comes.
    """
    seen: BaseException | None = error
    while seen is not None:
        seen.__traceback__ = None
        seen = seen.__cause__ or seen.__context__
