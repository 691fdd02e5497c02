"""Rows that are scored as they arrive, and answered before the last one has come.

    receive -> parts (cut, bounded) -> a thread (read, score, write) -> outbox (bounded) -> send

What one stream holds is bounded by one part and by the outbox, however many rows it has: a
client that sends faster than rows are scored waits, and so does one that does not read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from time import perf_counter

from bentos.errors import Fault, Problem
from bentos.model.json_rows import invalid
from bentos.model.loading import LoadedModel
from bentos.protocols.formats.format import Format, Parts, TableLimits, Writer
from bentos.records.writer.log import Log
from bentos.serving import gzip
from bentos.serving.admission import Admission
from bentos.serving.body import BodyReader
from bentos.serving.bulk.budget import StreamBudget
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.http import ClientGone, Message, Request, Streamed, Timing
from bentos.serving.readiness import RETRY_AFTER
from bentos.serving.scored.table import TableResult, count_table, score_table, to_log
from bentos.settings import Settings

# Streams of one worker at a time. Two parts are scored at once (admission), so more streams
# are not faster; each may hold a part and an outbox.
MOST_STREAMS = 8
# How long a stream waits for more of a small part before it scores what is there.
_LINGER_SECONDS = 0.02
# How long a stream waits for room in the log, where rows come faster than it writes them.
_LOG_SECONDS = 10.0
_LOG_LOOK_SECONDS = 0.01
# How long a stream waits before it looks again whether its client may send more rows.
_CHARGE_SECONDS = 0.05
# A slow reader takes this much within the timeout.
_SEND_BYTES = 64 * 1024


class Outbox:
    """Answers that wait to be sent: at most so many bytes.

    Some clients send all before they read: their answers fit in here, or they have to read
    while they send. For one that puts and one that gets.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False
        self.held_bytes = 0

    async def put(self, data: bytes) -> None:
        """Take in an answer, once there is room for it."""
        for start in range(0, len(data), _SEND_BYTES):
            piece = data[start : start + _SEND_BYTES]
            while self.held_bytes and self.held_bytes + len(piece) > self._max_bytes:
                await self._wait()
            self._waiting.append(piece)
            self.held_bytes += len(piece)
            self._changed.set()

    def close(self) -> None:
        """Nothing more comes."""
        self._is_closed = True
        self._changed.set()

    async def fill(self) -> None:
        """Wait until there is a piece, or nothing more comes."""
        while not self._waiting and not self._is_closed:
            await self._wait()

    async def get(self) -> bytes | None:
        """The next piece, once there is one; None where nothing more comes."""
        await self.fill()
        if not self._waiting:
            return None
        piece = self._waiting.popleft()
        self.held_bytes -= len(piece)
        self._changed.set()
        return piece

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class Streams:
    """The streams of one worker. Only for the event loop's thread."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        log: Log,
        admission: Admission,
        bodies: BodyReader,
    ) -> None:
        self.limits = TableLimits(settings.max_rows, settings.max_body_bytes)
        self.idle_seconds = settings.timeout_seconds
        self.metrics = metrics
        self.log = log
        self.admission = admission
        self.bodies = bodies
        self._open_now = 0

    async def open(
        self,
        model: LoadedModel,
        source: Format,
        target: Format,
        request: Request,
        subject: str | None,
    ) -> Streamed:
        """Begin to answer. Raises Problem, ClientGone: nothing was answered yet."""
        unpack = self.bodies.open_encoding(request)
        if self._open_now >= MOST_STREAMS:
            detail = "this worker answers as many streams as it may: try again later"
            raise Problem("overloaded", detail, headers=RETRY_AFTER, shed="large")
        self._open_now += 1
        stream = _Stream(self, model, source, target, request, subject, unpack)

        async def close() -> None:
            self._open_now -= 1
            await stream.close()

        try:
            await stream.begin()
        except BaseException:
            await close()
            raise
        headers = {"X-Model": f"{model.stored.name}:{model.stored.version}", "Vary": "Accept"}
        return Streamed(target.media_type, headers, stream.pieces(), close)


class _Stream:
    """One stream: a task that receives and scores, and the pieces that it answers."""

    def __init__(
        self,
        streams: Streams,
        model: LoadedModel,
        source: Format,
        target: Format,
        request: Request,
        subject: str | None,
        unpacker: gzip.Unpacker | None,
    ) -> None:
        if source.open_parts is None:
            raise ValueError("a format that is read whole")
        self._streams = streams
        self._model = model
        self._parts: Parts = source.open_parts(model, streams.limits)
        self._target = target
        self._writer: Writer | None = None
        self._request = request
        self._subject = subject
        self._unpacker = unpacker
        self._budget = StreamBudget()
        self._outbox = Outbox(streams.limits.max_bytes)
        self._failure: Exception | None = None
        self._received: asyncio.Future[Message] | None = None
        self._task = asyncio.ensure_future(self._run())

    async def begin(self) -> None:
        """Wait for the first piece. Raises what went wrong before it."""
        await self._outbox.fill()
        if not self._outbox.held_bytes and self._failure is not None:
            raise self._failure

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces of the answer. Raises what went wrong, after the last one."""
        while (piece := await self._outbox.get()) is not None:
            yield piece
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """End it, wherever it is."""
        for one in (self._task, self._received):
            if one is not None:
                one.cancel()
                await asyncio.gather(one, return_exceptions=True)

    async def _run(self) -> None:
        try:
            with self._streams.admission.admit():
                await self._score_all()
        except Problem as problem:
            self._failure = problem
            if self._writer is not None:
                # What was answered stands; a last row says why there are no more.
                await self._outbox.put(self._writer.fail(problem, self._request.rows))
        except Exception as error:
            self._failure = error
        finally:
            self._outbox.close()

    async def _score_all(self) -> None:
        parts = self._parts
        has_more = True
        while has_more:
            data, has_more = await self._receive()
            for piece in self._unpack(data, is_last=not has_more):
                parts.feed(piece)
                while (part := parts.take(is_idle=False)) is not None:
                    await self._score(part)
            if has_more and parts.held_bytes and not await self._comes_soon():
                while (part := parts.take(is_idle=True)) is not None:
                    await self._score(part)
            self._hold()
        while (part := parts.finish()) is not None:
            await self._score(part)
        if self._writer is None:
            raise invalid([Fault("", "empty_batch", "must have at least one row")])
        await self._outbox.put(self._writer.end())

    def _unpack(self, data: bytes, *, is_last: bool) -> Iterator[bytes]:
        if self._unpacker is None:
            yield data
            return
        yield from self._unpacker.unpack(data)
        if is_last:
            self._unpacker.finish()

    async def _receive(self) -> tuple[bytes, bool]:
        """The next piece of the body, and whether more come."""
        receiving = self._listen()
        if not receiving.done():
            await asyncio.wait((receiving,), timeout=self._streams.idle_seconds)
        if not receiving.done():
            raise Problem(
                "request-timeout",
                f"the next rows must arrive within {self._streams.idle_seconds:g} seconds",
                headers={"Connection": "close"},
            )
        self._received = None
        message = receiving.result()
        if message["type"] == "http.disconnect":
            raise ClientGone
        data = message.get("body", b"")
        self._budget.receive(len(data))
        return data, bool(message.get("more_body"))

    async def _comes_soon(self) -> bool:
        receiving = self._listen()
        await asyncio.wait((receiving,), timeout=_LINGER_SECONDS)
        return receiving.done()

    def _listen(self) -> asyncio.Future[Message]:
        if self._received is None:
            self._received = asyncio.ensure_future(self._request.receive())
        return self._received

    async def _score(self, part: bytes) -> None:
        streams = self._streams
        timing = Timing()
        result, data = await streams.admission.run_in_thread(self._work, part, timing)
        if result is None:
            self._budget.charge_part(len(part), 0, 0)
            return
        self._request.rows += len(result.results)
        count_table(streams.metrics, self._model, result)
        await self._charge(len(result.results))
        await self._log(result, timing)
        self._hold()
        await self._outbox.put(data)
        # After the answer: these rows have theirs.
        self._budget.charge_part(len(part), len(result.results), result.rejected)

    def _work(self, part: bytes, timing: Timing) -> tuple[TableResult | None, bytes]:
        table = self._parts.read(part)
        if table is None:
            return None, b""
        result = score_table(self._model, table, self._request.rows, timing)
        before = b""
        if self._writer is None:
            self._writer = self._target.open_writer(self._model)
            before = self._writer.begin()
        return result, before + self._writer.write(result.results)

    async def _charge(self, rows: int) -> None:
        # A client beyond its rate is not refused in the middle: its stream flows at that rate.
        while True:
            try:
                return self._request.client.charge(rows, perf_counter())
            except Problem:
                await asyncio.sleep(_CHARGE_SECONDS)

    async def _log(self, result: TableResult, timing: Timing) -> None:
        recorder = self._streams.log.recorder
        if recorder is None or not len(result.kept):
            return
        request = self._request
        scored = to_log(result, request.id, self._subject, timing, request.client.name)
        # No answer waits for the log but these: a stream would fill its buffer in a second,
        # and lose what comes after.
        until = perf_counter() + _LOG_SECONDS
        while not recorder.has_room(len(result.kept)) and perf_counter() < until:
            await asyncio.sleep(_LOG_LOOK_SECONDS)
        recorder.add(scored)

    def _hold(self) -> None:
        """Count what this stream holds against the worker's budget. Raises Problem."""
        held = self._parts.held_bytes + self._outbox.held_bytes
        self._streams.bodies.hold(self._request, held)
