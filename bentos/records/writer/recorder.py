"""What the request path sees of the log: `add`, which never waits and never fails.

    event loop -> buffer -> (flusher thread) -> spool -> (delivery thread) -> store

The buffer is bounded. The flusher empties it every 250 ms or 512 rows onto the disk, so
that much is all that a kill can take; how fast the store is, or whether it is there at
all, is the delivery's business.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from time import monotonic

import msgspec

from bentos.ids import time_of
from bentos.logs import LOGGER
from bentos.model.contract import Contract
from bentos.model.scoring import Scored
from bentos.model.validation import EncodedRow
from bentos.records.record import Record
from bentos.records.store import Store
from bentos.records.subject import Keys
from bentos.records.writer.delivery import Counts, Delivery, DropReason
from bentos.records.writer.features import Features, find_storable
from bentos.records.writer.spool import RecordSource, Segment, Spool, SpoolFull

FLUSH_ROWS = 512
FLUSH_SECONDS = 0.25
# How often rows that are lost for want of room are reported, as long as rows are lost.
_REPORT_SECONDS = 60.0


_NO_ROOM: tuple[DropReason, ...] = ("buffer_full", "spool_full")


class ScoredRequest(msgspec.Struct, frozen=True, gc=False):
    """The scored rows of one request, as the request path hands them over.

    `ids`, `rows` and `scored` are of the same length. `subject`: the text that the client
    sent. The stages are in seconds. `consumer`: the name of the client's key. `answers`: for a
    shadow, of the same length too: the id of the answer that each row was scored beside, or
    an empty text. `reasons`: codes of the reasons that each row got; empty where no explanation
    was asked for.
    """

    request_id: str
    ids: Sequence[str]
    rows: Sequence[EncodedRow]
    scored: Sequence[Scored]
    subject: str | None = None
    decode: float = 0.0
    queue: float = 0.0
    predict: float = 0.0
    encode: float = 0.0
    consumer: str | None = None
    answers: Sequence[str] | None = None
    reasons: Sequence[tuple[str, ...] | None] = ()


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
        served: RecordSource,
        contract: Contract,
        open_store: Callable[[], Store],
        *,
        spool_folder: Path,
        spool_bytes: int,
        buffer_rows: int,
        listed: Sequence[str] | None = None,
        keys: Keys | None = None,
        is_shadow: bool = False,
    ) -> None:
        self.counts = Counts()
        self._capacity = buffer_rows
        self._served = served
        registration = served.registration
        self._made_by = (
            registration.model,
            registration.version,
            registration.contract,
            served.environment.id,
        )
        # What every row of a shadow is marked with, however it came.
        self._unmatched = "" if is_shadow else None
        self._has_warned = False
        self._threshold = contract.threshold
        self._names = tuple(str(label) for label in contract.classes or ())
        self._features = Features(contract, listed)
        # A reason says that its features spoke against a person: it is stored where they may be.
        self._codes = find_storable(registration, listed)
        self._keys = keys
        self._spool = Spool(spool_folder, spool_bytes, served)
        self._delivery = Delivery(open_store, self._spool, self.counts, memory_rows=buffer_rows)
        self._buffer: deque[ScoredRequest] = deque()
        # Rows taken out of the buffer: with `counts.enqueued` it says how many are in it.
        self._flushed = 0
        self._reported: dict[DropReason, int] = dict.fromkeys(_NO_ROOM, 0)
        self._report_at = 0.0
        self._wake = threading.Event()
        self._is_stopping = False
        # Without a spool there is nothing to report.
        self._is_spooling = spool_bytes > 0
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
                oldest = self._buffer[0].ids[0]
        # A clock that was set back makes no negative age.
        return max(0.0, (now - time_of(oldest)).total_seconds()) if oldest else 0.0

    def has_room(self, rows: int) -> bool:
        """Whether so many rows would be taken now; more than the buffer holds never are."""
        held = self.counts.enqueued - self._flushed
        return held + rows <= self._capacity or rows > self._capacity

    def add(self, answered: ScoredRequest) -> None:
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
            records: list[Record] = []
            rows = 0
            while self._buffer and rows < FLUSH_ROWS:
                answered = self._buffer.popleft()
                rows += len(answered.ids)
                mark = len(records)
                try:
                    self._append(answered, records)
                except Exception as error:
                    # Whole or not at all: what fails is counted whole.
                    del records[mark:]
                    self._drop("failed", len(answered.ids))
                    LOGGER.error("an answer could not be recorded", exc_info=error)
            try:
                if records:
                    self._keep(records)
            except Exception as error:
                # This thread must not end: nothing would be logged any more.
                self._drop("failed", len(records))
                LOGGER.error("answers could not be recorded", exc_info=error)
            self._flushed += rows

    def _keep(self, records: list[Record]) -> None:
        path, size = None, 0
        try:
            path, size = self._spool.write(records)
            self._is_spooling = True
        except (SpoolFull, OSError) as error:
            if self._is_spooling:
                self._is_spooling = False
                why = (
                    error.strerror if isinstance(error, OSError) else "it is as large as it may be"
                )
                LOGGER.error(f"rows cannot be spooled, they stay in memory: {why}")
        segment = Segment(
            records,
            rows=len(records),
            first_id=records[0].id,
            served=self._served,
            path=path,
            size=size,
        )
        if not self._delivery.take(segment):
            self._drop("spool_full", len(records))

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

    def _append(self, answered: ScoredRequest, records: list[Record]) -> None:
        # Every microsecond here is taken from the answers: one interpreter does both.
        model, version, contract, environment = self._made_by
        write, note = self._features.write, self._features.note
        request_id, threshold = answered.request_id, self._threshold
        consumer = answered.consumer
        key_id = subject = None
        if answered.subject is not None:
            key_id, subject = self._token(answered.subject)
        decode_us, queue_us = int(answered.decode * 1e6), int(answered.queue * 1e6)
        predict_us, encode_us = int(answered.predict * 1e6), int(answered.encode * 1e6)
        answers = answered.answers or (self._unmatched,) * len(answered.ids)
        explained = answered.reasons or (None,) * len(answered.ids)
        for prediction_id, row, scored, shadow, codes in zip(
            answered.ids, answered.rows, answered.scored, answers, explained, strict=True
        ):
            scores, label = scored.scores, scored.label
            records.append(
                Record(
                    prediction_id,
                    request_id,
                    model,
                    version,
                    contract,
                    environment,
                    write(row),
                    scored.score,
                    None if scores is None else dict(zip(self._names, scores, strict=True)),
                    None if label is None else str(label),
                    threshold,
                    consumer,
                    subject,
                    key_id,
                    decode_us,
                    queue_us,
                    predict_us,
                    encode_us,
                    note(scored.warnings) if scored.warnings else (),
                    None if codes is None else tuple(filter(self._codes.__contains__, codes)),
                    shadow,
                )
            )

    def _token(self, subject: str) -> tuple[str | None, str | None]:
        if self._keys is not None:
            return self._keys.token(subject)
        if not self._has_warned:
            self._has_warned = True
            LOGGER.warning("X-Subject is not stored: TABSERVE_SUBJECT_KEYS has no key")
        return None, None
