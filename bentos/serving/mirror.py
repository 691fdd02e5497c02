"""Shadow mode: answered requests sent to a candidate as well, off the answer's path.

The serving side puts each answered request into a bounded queue and never waits for it: what
has no room, or finds no candidate, is dropped and counted. The candidate (`TABSERVE_SHADOW`)
scores it as any request and marks its rows in the log. So that each of them can name the answer
it was scored beside, the ids of the answers stand in front of the body, and a header says how
many they are.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import httptools

from bentos.ids import is_id
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.exposition.table import MirrorResult
from bentos.serving.http import Request
from bentos.settings import Settings

ANSWERS = b"x-tabserve-answers"

# Requests and bytes that wait: a second of one worker's traffic, no more.
_MOST_WAITING = 1024
_MOST_BYTES = 16 * 2**20
# The candidate batches what arrives together.
_CONNECTIONS = 8
# Without a candidate nothing is kept, and this long nothing is tried.
_PAUSE_SECONDS = 5.0
_ID_BYTES = 36
# Of one connection (RFC 9110, section 7.6.1), or no longer true of what is sent.
_NOT_PASSED_ON = frozenset(
    {
        *(b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"proxy-connection", b"host", b"expect", b"content-length", b"content-encoding"),
        *(b"accept-encoding", b"x-request-id", ANSWERS),
    }
)


class Mirror:
    """Sends copies of one worker's requests to a candidate. Only for the event loop's thread."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._share = settings.mirror_share
        self._timeout_seconds = settings.timeout_seconds
        self._metrics = metrics
        url = urlsplit(settings.mirror_url)
        self._is_tls = url.scheme == "https"
        self._host = url.hostname or ""
        self._port = url.port or (443 if self._is_tls else 80)
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._away_until = 0.0
        self._has_some = asyncio.Event()
        self._senders: list[asyncio.Task[None]] = []

    def add(self, request: Request, body: bytes, ids: Sequence[str]) -> None:
        """Take a request that was answered. `ids`: of its rows, in their order. Never waits."""
        if self._share < 1.0 and random.random() >= self._share:  # noqa: S311 - a sample, no secret
            return
        size = len(body) + _ID_BYTES * len(ids)
        if (
            len(self._waiting) >= _MOST_WAITING
            or self._bytes + size > _MOST_BYTES
            or time.monotonic() < self._away_until
        ):
            self._metrics.observe_mirrored("dropped")
            return
        if not self._senders:
            self._senders = [asyncio.create_task(self._send_all()) for _ in range(_CONNECTIONS)]
        message = self._write(request, body, ids)
        self._waiting.append(message)
        self._bytes += len(message)
        self._has_some.set()

    async def stop(self) -> None:
        """Send no more."""
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)
        self._senders = []

    def _write(self, request: Request, body: bytes, ids: Sequence[str]) -> bytes:
        scope = request.scope
        target = scope.get("raw_path") or scope["path"].encode()
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        named = "".join(ids).encode()
        lines = [
            b"%s %s HTTP/1.1" % (scope["method"].encode(), target),
            b"host: %s:%d" % (self._host.encode(), self._port),
            b"content-length: %d" % (len(named) + len(body)),
            b"x-request-id: %s" % request.id.encode(),
            b"%s: %d" % (ANSWERS, len(ids)),
            *(b"%s: %s" % one for one in scope["headers"] if one[0] not in _NOT_PASSED_ON),
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n" + named + body

    async def _send_all(self) -> None:
        connection: _Connection | None = None
        try:
            while True:
                while not self._waiting:
                    self._has_some.clear()
                    await self._has_some.wait()
                message = self._waiting.popleft()
                self._bytes -= len(message)
                try:
                    async with asyncio.timeout(self._timeout_seconds):
                        if connection is None or not connection.is_open:
                            connection = await self._connect()
                        if connection is None:
                            continue
                        status = await connection.ask(message)
                except (OSError, TimeoutError, httptools.HttpParserError):
                    self._metrics.observe_mirrored("failed")
                    if connection is not None:
                        connection.close()
                    connection = None
                else:
                    self._metrics.observe_mirrored(_judge(status))
        finally:
            if connection is not None:
                connection.close()

    async def _connect(self) -> _Connection | None:
        try:
            reader, writer = await asyncio.open_connection(
                self._host, self._port, ssl=self._is_tls or None
            )
        except OSError:
            # No candidate: what waits is stale by the time that there is one.
            self._away_until = time.monotonic() + _PAUSE_SECONDS
            for _ in range(len(self._waiting) + 1):
                self._metrics.observe_mirrored("dropped")
            self._waiting.clear()
            self._bytes = 0
            return None
        return _Connection(reader, writer)


class _Connection:
    """One connection to the candidate, kept open: one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.is_open = True
        self._is_complete = False

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._is_complete = True

    async def ask(self, message: bytes) -> int:
        """Send a request and read its answer; gives the status. Raises OSError."""
        parser = httptools.HttpResponseParser(self)
        self._is_complete = False
        self._writer.write(message)
        await self._writer.drain()
        while not self._is_complete:
            data = await self._reader.read(65_536)
            if not data:
                raise ConnectionResetError
            parser.feed_data(data)
        self.is_open = bool(parser.should_keep_alive()) and not self._reader.at_eof()
        if not self.is_open:
            self.close()
        return int(parser.get_status_code())

    def close(self) -> None:
        """Close the connection."""
        self.is_open = False
        with suppress(OSError):
            self._writer.close()


def unpack(headers: Mapping[bytes, bytes], body: bytes) -> tuple[bytes, list[str]]:
    """What a candidate got: the request's own body, and the ids of its answers.

    No ids where the request did not come from a mirror of ours, or brings what are none.
    """
    announced = headers.get(ANSWERS, b"")
    if not announced.isdigit() or len(announced) > 9:
        return body, []
    end = int(announced) * _ID_BYTES
    named = body[:end].decode("ascii", "replace")
    ids = [named[start : start + _ID_BYTES] for start in range(0, end, _ID_BYTES)]
    if len(body) < end or not all(map(is_id, ids)):
        return body, []
    return body[end:], ids


def _judge(status: int) -> MirrorResult:
    if status < 400:
        return "scored"
    return "refused" if status < 500 else "failed"
