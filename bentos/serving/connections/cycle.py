"""One request and its answer on a connection: head and body leave in one write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from bentos.errors import Problem

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent

_NO_BODY = (204, 304)


class Cycle(RequestResponseCycle):
    """uvicorn's cycle, but for the write of a whole answer, a broken body, and the end.

    `lingers`: the client may still be sending when the answer is out.
    """

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.lingers = False
        self._start: dict[str, Any] | None = None
        self._problem: Problem | None = None

    def fail(self, problem: Problem) -> None:
        """Raise a problem in whoever reads the rest of the body, and close after the answer."""
        self._problem = problem
        self.keep_alive = False
        self.lingers = True
        self.message_event.set()

    async def receive(self) -> ASGIReceiveEvent:
        """Give the next piece of the body. Raises Problem where it is not HTTP any more."""
        event = await super().receive()
        if self._problem is not None and not self.disconnected:
            raise self._problem
        return event

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
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(head if is_head else head + body)
        self.message_event.set()
        if not self.keep_alive and not self._half_close():
            self.transport.close()
        self.on_response()
        return True

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
