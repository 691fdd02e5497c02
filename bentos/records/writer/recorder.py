"""What the request path sees of the log: `add`, which never waits and never fails.

    event loop -> buffer -> (flusher thread) -> spool -> (delivery process) -> store

The buffer is bounded. The flusher packs what is in it, every 250 ms or 512 rows, and puts it on
the disk: that much is all that a kill can take. What records look like, how fast the store is,
or whether it is there at all, is the delivery's business.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from contextlib import suppress
from datetime import datetime
from time import monotonic
from typing import Protocol

import msgspec

from bentos.ids import time_of
from bentos.logs import LOGGER
from bentos.records.writer.delivery.counts import Counts, DropReason
from bentos.records.writer.scored_request import ScoredRequest, ScoredTable
from bentos.records.writer.spool.packing import PackedSegment, Packer
from bentos.records.writer.spool.segment import Segment
from bentos.records.writer.spool.source import RecordSource
from bentos.records.writer.spool.spool import Spool, SpoolFull

FLUSH_ROWS = 512
FLUSH_SECONDS = 0.25
# How often rows that are lost for want of room are reported, as long as rows are lost.
_REPORT_SECONDS = 60.0


_NO_ROOM: tuple[DropReason, ...] = ("buffer_full", "spool_full")


class Deliverer(Protocol):
    """What brings segments to the store, in order, in a thread or a process of its own."""

    @property
    def rows(self) -> int:
        """Rows that are not in the store yet."""

    @property
    def first_id(self) -> str | None:
        """Id of the oldest row that is not in the store yet."""

    def start(self) -> None:
        """Begin, with what dead workers left."""

    def take(self, segment: Segment) -> bool:
        """Take a segment in; False where neither disk nor memory has room for it."""

    def stop(self, within_seconds: float) -> None:
        """Deliver what is there, for at most so long; what is left stays in the spool."""


class State(msgspec.Struct, frozen=True):
    """How the log of one worker stands. Counts are since its start.

    `depth`: rows that are not in the store yet, wherever they are; `capacity`: of the
    buffer. `write_seconds`: of each write to the store since the last look.
    """

    enqueued: int
    written: int
    dropped: dict[DropReason, int]
    depth: int
    capacity: int
    spool_bytes: int
    oldest_age_seconds: float
    write_seconds: list[float]


class Recorder:
    """The log of one worker. `add` belongs to the event loop's thread."""

    def __init__(
        self,
        source: RecordSource,
        packer: Packer,
        spool: Spool,
        delivery: Deliverer,
        counts: Counts,
        *,
        buffer_rows: int,
        is_spooling: bool = True,
    ) -> None:
        """`is_spooling`: whether rows may be put on disk; where not, that is no fault."""
        self.counts = counts
        self._capacity = buffer_rows
        self._source = source
        self._pack = packer.pack
        self._spool = spool
        self._delivery = delivery
        self._buffer: deque[ScoredRequest | ScoredTable] = deque()
        # Rows taken out of the buffer: with `counts.enqueued` it says how many are in it.
        self._flushed = 0
        self._reported: dict[DropReason, int] = dict.fromkeys(_NO_ROOM, 0)
        self._report_at = 0.0
        self._wake = threading.Event()
        self._is_stopping = False
        self._is_spooling = is_spooling
        self._thread = threading.Thread(target=self._run, name="tabserve-flusher", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()
        self._delivery.start()

    def look(self, now: datetime) -> State:
        """The state of the log."""
        counts = self.counts
        seconds = [counts.write_seconds.popleft() for _ in range(len(counts.write_seconds))]
        return State(
            enqueued=counts.enqueued,
            written=counts.written,
            dropped=counts.dropped.copy(),
            depth=counts.enqueued - self._flushed + self._delivery.rows,
            capacity=self._capacity,
            spool_bytes=self._spool.size,
            oldest_age_seconds=self.oldest_age_seconds(now),
            write_seconds=seconds,
        )

    def oldest_age_seconds(self, now: datetime) -> float:
        """How old the oldest row is that is not in the store yet; 0 where there is none."""
        oldest = self._delivery.first_id
        if oldest is None:
            with suppress(IndexError):
                oldest = self._buffer[0].first_id
        # A clock that was set back makes no negative age.
        return max(0.0, (now - time_of(oldest)).total_seconds()) if oldest else 0.0

    def has_room(self, rows: int) -> bool:
        """Whether so many rows should come now; more than the buffer holds are never waited for.

        For what comes without end: half of the spool stays for all others.
        """
        held = self.counts.enqueued - self._flushed
        if not self._is_spooling or self._spool.is_half_full:
            held += self._delivery.rows
        return held + rows <= self._capacity or rows > self._capacity

    def add(self, answered: ScoredRequest | ScoredTable) -> None:
        """Take the rows of one request. Never waits, never raises."""
        rows = len(answered.ids)
        counts = self.counts
        waiting = counts.enqueued - self._flushed + rows
        if waiting > self._capacity:
            counts.dropped["buffer_full"] += rows
            return
        self._buffer.append(answered)
        counts.enqueued += rows
        if waiting >= FLUSH_ROWS and not self._wake.is_set():
            self._wake.set()

    def stop(self, within_seconds: float) -> None:
        """Write what is there, for at most so long; nothing may be added any more."""
        self._is_stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(within_seconds)
        self._delivery.stop(within_seconds)

    def _run(self) -> None:
        while not self._is_stopping:
            self._wake.wait(FLUSH_SECONDS)
            self._wake.clear()
            self._flush()
            self._report_losses(monotonic())
        # What came between the last flush and the word to stop.
        self._flush()
        self._report_losses(math.inf)

    def _flush(self) -> None:
        while self._buffer:
            requests: list[ScoredRequest | ScoredTable] = []
            rows = 0
            while self._buffer and rows < FLUSH_ROWS:
                answered = self._buffer.popleft()
                rows += len(answered.ids)
                requests.append(answered)
            lost = 0
            try:
                packed = self._pack(requests)
                for failed, error in packed.failed:
                    lost += failed
                    self._drop("failed", failed)
                    LOGGER.error("an answer could not be recorded", exc_info=error)
                if packed.rows:
                    self._keep(packed)
            except Exception as error:
                # This thread must not end: nothing would be logged any more.
                self._drop("failed", rows - lost)
                LOGGER.error("answers could not be recorded", exc_info=error)
            self._flushed += rows

    def _keep(self, packed: PackedSegment) -> None:
        data, rows = packed.data, packed.rows
        path = None
        try:
            path = self._spool.write(data)
            self._is_spooling = True
        except (SpoolFull, OSError) as error:
            if self._is_spooling:
                self._is_spooling = False
                why = (
                    error.strerror if isinstance(error, OSError) else "it is as large as it may be"
                )
                LOGGER.error(f"rows cannot be spooled, they stay in memory: {why}")
        segment = Segment(
            bytes(data) if path is None else None,
            rows=rows,
            first_id=packed.first_id,
            source=self._source,
            path=path,
            size=len(data),
        )
        if not self._delivery.take(segment):
            self._drop("spool_full", rows)

    def _report_losses(self, now: float) -> None:
        # The first lost rows are reported at once, later ones once a minute: a log that is full
        # stays full for long. Rows dropped for other reasons are logged where that happens.
        lost = {reason: self.counts.dropped[reason] for reason in _NO_ROOM}
        if lost == self._reported or now < self._report_at:
            return
        fields = {reason: rows - self._reported[reason] for reason, rows in lost.items()}
        LOGGER.error("answers are lost to the prediction log: no room", extra={"fields": fields})
        self._reported, self._report_at = lost, now + _REPORT_SECONDS

    def _drop(self, reason: DropReason, rows: int) -> None:
        self.counts.dropped[reason] += rows
