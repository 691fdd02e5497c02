"""HTTP/1.1 on one connection: uvicorn's protocol, with limits, deadlines and a strict head.

uvicorn bounds neither a head nor the time that it takes, reads `Transfer-Encoding: gzip,
chunked` as plain, drops the body of a request that asks for an upgrade, and the answers that
stand before bad HTTP in a pipeline.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol, cast

import httptools
import uvicorn.config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bentos.errors import ClosedReason, Problem
from bentos.serving.connections import head
from bentos.serving.connections.cycle import Cycle
from bentos.serving.connections.registry import HEALTH_PATHS, Connections
from bentos.serving.http import App

# Requests that wait on one connection behind one that is worked on; the rest is not read.
_MAX_PIPELINED = 64

# How long a client may go on sending after an answer that ends its connection.
_LINGER_SECONDS = 2.0

_REASONS: dict[str, ClosedReason] = {
    "head-too-large": "large_head",
    "request-timeout": "slow_head",
    "overloaded": "full",
}


class Front(Protocol):
    """The app that answers: what a connection asks of it."""

    connections: Connections
    # Of routes whose requests mostly wait for nothing but their batch: they run without a task.
    direct: frozenset[str]

    def refuse(self, path: str, problem: Problem) -> App:
        """Make an app that answers with a problem in the shape of the path's protocol."""


def install() -> None:
    """Have uvicorn speak HTTP by this class in servers that name no other."""
    # BentoML makes uvicorn's configuration and leaves the protocol at "auto": a name that
    # uvicorn looks up in this table.
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{HttpConnection.__name__}"


class HttpConnection(HttpToolsProtocol):
    """One connection of a client."""

    cycle: Cycle

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        self._front = cast(Front, self.config.app)
        self._connections = self._front.connections
        self._max_head_bytes = self._connections.max_head_bytes
        self._since = time.monotonic()
        if self.config.ssl is not None:
            self._connections.certificate.look(self.config, self._since)
        self._is_for_health = False
        # Nothing more is read: the last answer is on its way.
        self._is_over = False
        self._is_upgrade = False
        self._has_asked = False
        self._in_head = False
        self._heads = 0
        self._head_bytes = 0
        self._unsent = 0
        # Begins once all that has arrived is read: its body, most of the time.
        self._ready: Cycle | None = None

    # ---- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a new connection, where there is room."""
        super().connection_made(transport)
        is_roomy = self._connections.enter(self)
        if is_roomy is None:
            self._is_over = True
            transport.abort()
            return
        self._is_for_health = not is_roomy
        self._connections.waiting[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection that is gone."""
        self._connections.leave(self)
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks for a bool
        """Answer what was asked whole before the client ended its side; True keeps it open."""
        if not self._is_busy or self.cycle.more_body or not self.transport.can_write_eof():
            return False
        self._is_over = True
        self.cycle.keep_alive = False
        return True

    def shutdown(self) -> None:
        """Begin to stop: what was asked is answered, and a body may take no longer than others."""
        super().shutdown()
        if self._is_busy:
            seconds = self._connections.body_seconds
            asyncio.get_running_loop().call_later(seconds, self._end_body)

    def _end_body(self) -> None:
        # A stream of rows might go on until the supervisor kills the worker, and its log with it.
        if self._is_busy and self.cycle.more_body:
            detail = "the server stops: send the rest of the rows again"
            self._is_over = True
            headers = {"Retry-After": "1", "Connection": "close"}
            self.cycle.fail(Problem("overloaded", detail, headers=headers))

    def evict(self) -> None:
        """End the connection: another client needs its place."""
        self._is_over = True
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def look(self, now: float) -> None:
        """End the connection where it takes too long."""
        waited = now - self._since
        if left := self.transport.get_write_buffer_size():
            if left != self._unsent:
                # The client reads, however slowly.
                self._unsent, self._since = left, now
            elif waited > self._connections.head_seconds:
                self._end("slow_reader")
        elif self._is_over and not self._is_busy:
            if waited > _LINGER_SECONDS:
                self.transport.abort()
        elif self in self._connections.waiting:
            self._look_at_waiting(waited)

    def _look_at_waiting(self, waited: float) -> None:
        if self._in_head:
            if waited > self._connections.head_seconds:
                seconds = f"{self._connections.head_seconds:g} seconds"
                detail = f"the head of a request must arrive within {seconds}"
                self._refuse(Problem("request-timeout", detail, headers={"Connection": "close"}))
        elif self.cycle is not None and self.cycle.more_body:
            # Its answer is out already, and the rest of its body is thrown away.
            if waited > self._connections.head_seconds:
                self._end("slow_body")
        elif waited > self._connections.idle_seconds or (
            not self._has_asked and waited > self._connections.head_seconds
        ):
            self.transport.close()

    @property
    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _end(self, reason: ClosedReason) -> None:
        self._is_over = True
        self._connections.count(reason)
        self.transport.abort()

    # ---- bytes

    def data_received(self, data: bytes) -> None:
        """Read what arrived."""
        heads = self._heads if self._in_head else 0
        rest = data
        while rest and not self._is_over:
            rest = self._feed(rest)
        if heads and heads == self._heads and self._in_head and not self._is_over:
            # The parser gives a header when it is whole: until then only this counts it.
            self._head_bytes += len(data)
            if self._head_bytes > self._max_head_bytes:
                self._refuse(head.too_large(self._max_head_bytes))
        if self._ready is not None:
            cycle, self._ready = self._ready, None
            self._connections.runs.begin(cycle.run_asgi(self.app), self.tasks)

    def _feed(self, data: bytes) -> bytes:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._is_upgrade:
                return self._leave_out_upgrade() + data[upgrade.args[0] :]
            self._refuse(head.bad_http("the target must be a path of this server"))
        except httptools.HttpParserError as error:
            cause = error.__context__
            if not isinstance(cause, Problem):
                cause = head.bad_http("the request does not keep to HTTP's grammar")
            self._refuse(cause)
        return b""

    def _leave_out_upgrade(self) -> bytes:
        # The parser takes what follows for another protocol. A new one reads the same head
        # without the wish, so that length and codings of the body are checked like any other's.
        old, self._is_upgrade = self.parser, False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return head.without_upgrade(
            old.get_method(), self.url, old.get_http_version(), self.headers
        )

    # ---- what the parser finds

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head = self._has_asked = True
        self._heads += 1
        self._head_bytes = 0
        self._since = time.monotonic()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self.url += url
        self._head_bytes += len(url)
        if self._head_bytes > self._max_head_bytes:
            raise head.too_large(self._max_head_bytes)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. A trailer, after the body, is left out: it is none of the head's."""
        size = self._head_bytes = self._head_bytes + len(name) + len(value) + 4
        if size > self._max_head_bytes:
            raise head.too_large(self._max_head_bytes)
        if self._in_head:
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            headers = self.headers
            headers.append((name, value))
            if len(headers) > head.MAX_HEADERS:
                raise head.too_large(self._max_head_bytes)

    def on_headers_complete(self) -> None:
        """Begin to answer a request whose head is whole. Raises Problem."""
        parser, scope = self.parser, self.scope
        method = parser.get_method()
        if parser.should_upgrade():
            self._is_upgrade = method != b"CONNECT"
            return
        version = parser.get_http_version()
        scope["method"] = method.decode("ascii")
        scope["http_version"] = version
        raw_path, path, query = head.split(self.url)
        scope["raw_path"] = self.root_path.encode("ascii") + raw_path
        scope["path"] = path = self.root_path + path
        scope["query_string"] = query
        head.check(self.headers, version)
        if self._is_for_health and path not in HEALTH_PATHS:
            raise Problem(
                "overloaded",
                "this worker has as many connections as it may: try again later",
                headers={"Retry-After": "1", "Connection": "close"},
            )
        keeps = not self._is_for_health and version != "1.0" and parser.should_keep_alive()
        self._in_head = False
        self._enqueue(self.app, keep_alive=keeps)
        if len(self.pipeline) > _MAX_PIPELINED:
            # These are answered; what comes after them has to come again.
            self.cycle.keep_alive = False
            self._is_over = True

    def _enqueue(self, app: Any, *, keep_alive: bool) -> None:
        before = self.cycle
        self._connections.waiting.pop(self, None)
        self.cycle = Cycle(self, keep_alive=keep_alive)
        if before is None or before.response_complete:
            if app is self.app and self.scope["path"] in self._front.direct:
                self._ready = self.cycle
            else:
                self._start_asgi_task(self.cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, app))

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        cycle = self.cycle
        if cycle.response_complete:
            return
        if cycle.add(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """End a request."""
        if self._is_upgrade:
            return
        self.cycle.more_body = False
        self.cycle.set()

    # ---- answers

    def _refuse(self, problem: Problem) -> None:
        """Answer with a problem after what was asked before, and read no more."""
        self._is_over = True
        self._connections.count(_REASONS.get(problem.kind, "bad_http"))
        cycle = self.cycle
        if not self._in_head and cycle is not None and cycle.more_body:
            if cycle.response_complete:
                self.transport.close()
            cycle.fail(problem)
            return
        if not self._in_head:
            self.on_message_begin()
        self.expect_100_continue = False
        path = self.url.decode("latin-1").partition("?")[0]
        self.scope.update(
            {"method": "GET", "path": path, "raw_path": self.url, "query_string": b""}
        )
        self._enqueue(self._front.refuse(path, problem), keep_alive=False)
        self.cycle.more_body = False
        self.cycle.lingers = True

    def on_response_complete(self) -> None:
        """Go on after an answer: with the next request, or waiting for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._since = time.monotonic()
        if not self.cycle.keep_alive and self.cycle.response_complete:
            # Half closed: what the client still sends is thrown away.
            self._is_over = True
            self._connections.waiting[self] = None
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._connections.waiting[self] = None
