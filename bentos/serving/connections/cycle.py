"""One request and its answer on a connection: head and body leave in one write."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from bentos.errors import Problem

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent

_NO_BODY = (204, 304)


class _DefaultHeaders:
    """The headers that uvicorn adds to every answer, in one piece: a new list once a second."""

    def __init__(self) -> None:
        self._seen: list[tuple[bytes, bytes]] = []
        self._text = b""

    def join(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Join a list of headers; the same list as the last time is not looked at again."""
        if headers is not self._seen:
            self._text = b"".join([b"%b: %b\r\n" % header for header in headers])
            self._seen = headers
        return self._text


_DEFAULT = _DefaultHeaders()


class Cycle(RequestResponseCycle):
    """uvicorn's cycle, but for the write of a whole answer, a broken body, and the end.

    `lingers`: the client may still be sending when the answer is out.
    """

    def __init__(self, connection: HttpToolsProtocol, *, keep_alive: bool) -> None:
        # As uvicorn's own does it, but for what only its own methods need.
        self.scope = connection.scope
        self.transport = connection.transport
        self.flow = connection.flow
        self.logger = connection.logger
        self.access_logger = connection.access_logger
        self.access_log = connection.access_log
        self.default_headers = connection.server_state.default_headers
        self.on_response = connection.on_response_complete
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = connection.expect_100_continue
        self.body = b""  # type: ignore[assignment]  # a bytearray there
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding = None
        self.expected_content_length = 0
        self.lingers = False
        self._has_news = False
        self._event: asyncio.Event | None = None
        self._start: dict[str, Any] | None = None
        self._problem: Problem | None = None

    @property
    def message_event(self) -> Cycle:  # type: ignore[override]  # an asyncio.Event there
        """What uvicorn sets when there is something to receive: most requests never wait for it."""
        return self

    def set(self) -> None:
        """Say that there is something to receive: a piece of the body, its end, or that of all."""
        self._has_news = True
        if self._event is not None:
            self._event.set()

    def add(self, body: bytes) -> int:
        """Take a piece of the body; gives how many bytes wait to be received."""
        if not self.body:
            # Most bodies come in one piece.
            self.body = body  # type: ignore[assignment]  # a bytearray in uvicorn
        else:
            if isinstance(self.body, bytes):
                self.body = bytearray(self.body)
            self.body += body
        self.set()
        return len(self.body)

    def fail(self, problem: Problem) -> None:
        """Raise a problem in whoever reads the rest of the body, and close after the answer."""
        self._problem = problem
        self.keep_alive = False
        self.lingers = True
        self.set()

    async def receive(self) -> ASGIReceiveEvent:
        """Give the next piece of the body. Raises Problem where it is not HTTP any more."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            if not self._has_news:
                self._event = asyncio.Event()
                await self._event.wait()
            self._has_news, self._event = False, None
        if self._problem is not None and not self.disconnected:
            raise self._problem
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), b""  # type: ignore[assignment]  # a bytearray in uvicorn
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    def answer(self, status: int, head: bytes, lines: int, body: bytes) -> bool:
        """Send a whole answer, if that can be done at once and in the usual way.

        `head`: so many lines, Content-Length among them and no Connection, each with its end.
        """
        if (
            self.flow.write_paused
            or self.transport.is_closing()
            or self.response_started
            or self._start is not None
            or status in _NO_BODY
        ):
            return False
        parts = [STATUS_LINE[status], _DEFAULT.join(self.default_headers), head]
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        # A line break inside of a value would begin a header, or an answer, of its own.
        if head.count(b"\n") != lines:
            raise RuntimeError("a header has a line break in it")
        if self.scope["method"] != "HEAD":
            parts.append(body)
        self._finish(b"".join(parts))
        return True

    async def send(self, message: ASGISendEvent) -> None:
        """Send the head together with the first piece of the body."""
        if self.flow.write_paused:
            await self.flow.drain()
        if self.transport.is_closing():
            # The client left, or was dropped. uvicorn tells only the last request of a pipeline.
            self.disconnected = True
            return
        if self._start is None:
            if message["type"] == "http.response.start" and not self.response_started:
                self._start = message  # type: ignore[assignment]  # a kind of dict
                return
        else:
            start, self._start = self._start, None
            body = message.get("body", b"")
            if not message.get("more_body") and self._write(start, body):  # type: ignore[arg-type]  # bytes
                return
            await super().send(start)  # type: ignore[arg-type]  # the message it came as
        await super().send(message)

    def _write(self, start: dict[str, Any], body: bytes) -> bool:
        status = start["status"]
        headers = [*self.default_headers, *start.get("headers", ())]
        length, closes = _read(headers)
        is_head = self.scope["method"] == "HEAD"
        if status in _NO_BODY or length is None or (length != len(body) and not is_head):
            # uvicorn knows what to do about these.
            return False
        parts = [STATUS_LINE[status]]
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        if closes:
            self.keep_alive = False
        elif not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        head = b"".join(parts)
        # A line break inside of a value would begin a header, or an answer, of its own.
        if head.count(b"\n") != len(headers) + 2 + (not closes and not self.keep_alive):
            raise RuntimeError("a header has a line break in it")
        self._finish(head if is_head else head + body)
        return True

    def _finish(self, answer: bytes) -> None:
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(answer)
        self.set()
        if not self.keep_alive and not self._half_close():
            self.transport.close()
        self.on_response()

    def _half_close(self) -> bool:
        # A socket that is closed while bytes arrive resets the connection, and the client may
        # never read its answer. TLS has no half close.
        self.lingers = (self.lingers or self.more_body) and self.transport.can_write_eof()
        if self.lingers:
            self.flow.resume_reading()
            self.transport.write_eof()
        return self.lingers


def _read(headers: Iterable[tuple[bytes, bytes]]) -> tuple[int | None, bool]:
    """The Content-Length, None where it says too little, and whether the connection closes."""
    length: int | None = None
    closes = False
    for name, value in headers:
        if name == b"content-length":
            length = int(value)
        elif name == b"connection":
            closes = b"close" in value.lower()
        elif name == b"transfer-encoding":
            return None, closes
    return length, closes
