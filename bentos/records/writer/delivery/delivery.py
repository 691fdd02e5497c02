"""From the spool to the store: one thread that tries until the store has the rows.

It runs in a process of its own beside each worker (`process.py`), so that no request
waits for the interpreter that works for the store.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic, perf_counter, sleep

from bentos.errors import StoreDown
from bentos.ids import time_of
from bentos.logs import LOGGER
from bentos.records.record import Record
from bentos.records.request import RecordedRequest
from bentos.records.store import Store
from bentos.records.writer.delivery.counts import Counts, report_left
from bentos.records.writer.delivery.writing import write_records, write_requests
from bentos.records.writer.spool.files import read_regular
from bentos.records.writer.spool.segment import Segment, reader_of
from bentos.records.writer.spool.source import RecordSource
from bentos.records.writer.spool.spool import Spool, log_unreadable

# A store that is down is tried again soon at first, then every few seconds.
_FIRST_PAUSE_SECONDS = 0.25
_LAST_PAUSE_SECONDS = 5.0

# Where all cores are busy, a thread of this niceness gets a sixtieth of one beside a worker of
# none (sched(7)): answers go first, until the oldest row has waited for so long. Not less: it holds
# the store's lock, for which others wait.
_NICE = 19
_LATE_SECONDS = 5.0

# What tells the readers of segments apart: ending, model, version, environment, listed features.
_Kind = tuple[str, str, str, str, tuple[str, ...] | None]

_SECOND_LOOK_SECONDS = 0.05

# How often to look for what dead workers left: one may have died after this one's start.
_LOOK_SECONDS = 60.0


class Delivery:
    """Takes segments in, and brings them to the store in order."""

    def __init__(
        self,
        open_store: Callable[[], Store],
        spool: Spool,
        counts: Counts,
        *,
        memory_rows: int,
        settle: Callable[[Sequence[Segment]], None] | None = None,
        calm_bytes: int = 0,
    ) -> None:
        """`settle` is called with the segments of each write, once the store has their rows.

        `calm_bytes`: leave the processor to others while the rows that wait have fewer bytes, and
        none of them is late.
        """
        self._open_store = open_store
        self._spool = spool
        self._counts = counts
        self._memory_rows = memory_rows
        self._settle = settle or self._remove
        self._segments: deque[Segment] = deque()
        self._changed = threading.Condition()
        self._rows_in_memory = 0
        # Rows that are not in the store yet. A number of its own: many are looked at often.
        self.rows = 0
        # Those of them that were taken over.
        self.adopted_rows = 0
        self._store: Store | None = None
        self._registered: set[tuple[str, str, str]] = set()
        self._readers: dict[_Kind, Callable[[bytes], list[Record] | list[RecordedRequest]]] = {}
        self._bytes = 0
        self._calm_bytes = calm_bytes
        # A thread that was made slow stays so: the work is handed to it, or done without it.
        self._calm = ThreadPoolExecutor(1, "tabserve-calm", initializer=_calm_down)
        self._until: float | None = None
        self._is_down = False
        self._thread = threading.Thread(target=self._run, name="tabserve-delivery", daemon=True)

    def start(self) -> None:
        """Begin, with what dead workers left."""
        self._thread.start()

    @property
    def first_id(self) -> str | None:
        """Id of the oldest row that is not in the store yet."""
        with suppress(IndexError):
            return self._segments[0].first_id
        return None

    def take(self, segment: Segment) -> bool:
        """Take a segment in; False where neither disk nor memory has room for it."""
        with self._changed:
            has_room = self._rows_in_memory + segment.rows <= self._memory_rows
            if not has_room and segment.path is None:
                return False
            if has_room:
                self._rows_in_memory += segment.rows
            else:
                segment.data = None
            self._segments.append(segment)
            self.rows += segment.rows
            self._bytes += segment.size
            self._changed.notify()
        return True

    def stop(self, within_seconds: float) -> None:
        """Deliver what is there, for at most so long; what is left stays in the spool."""
        # A write that hangs in the network ends by its own time limit.
        self.finish(within_seconds, within_seconds)
        report_left(self._counts, list(self._segments))

    def finish(self, within_seconds: float, wait_seconds: float) -> None:
        """Begin no write after so many seconds, and wait that long for the end of the last."""
        with self._changed:
            self._until = monotonic() + within_seconds
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(wait_seconds)

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        look_at = monotonic()
        while not self._is_over():
            if monotonic() >= look_at:
                self._adopt()
                look_at = monotonic() + _LOOK_SECONDS
            try:
                store = self._store or self._connect()
                segments = self._next(store)
                if segments and self._may_be_calm(store):
                    self._calm.submit(self._deliver, store, segments).result()
                elif segments:
                    self._deliver(store, segments)
            except Exception as error:
                # An error of our own must not end the log either, nor spin.
                self._report(error)
                self._disconnect()
                self._wait(pause)
                pause = min(2 * pause, _LAST_PAUSE_SECONDS)
                continue
            pause = _FIRST_PAUSE_SECONDS
            if self._is_down:
                self._is_down = False
                LOGGER.info("the prediction log is written again")
        self._disconnect()
        self._spool.close()

    def _may_be_calm(self, store: Store) -> bool:
        if self._until is not None or self._is_down or self._bytes >= self._calm_bytes:
            return False
        first = self.first_id
        if not first:
            return True
        age = (datetime.now(UTC) - time_of(first)).total_seconds()
        return age <= _LATE_SECONDS + store.gather_seconds

    def _is_over(self) -> bool:
        if self._until is None:
            return False
        return not self._segments or monotonic() > self._until

    def _adopt(self) -> None:
        try:
            orphans = self._spool.adopt()
        except OSError as error:
            LOGGER.error(f"the spool cannot be read: {error.strerror}")
            return
        if orphans:
            rows = sum(segment.rows for segment in orphans)
            with self._changed:
                self._segments.extendleft(reversed(orphans))
                self.rows += rows
                self.adopted_rows += rows
                self._bytes += sum(segment.size for segment in orphans)
            self._settle(())
            LOGGER.info("rows of an earlier start are delivered", extra={"fields": {"rows": rows}})

    def _connect(self) -> Store:
        store = self._open_store()
        try:
            store.prepare()
        except BaseException:
            store.close()
            raise
        self._store = store
        return store

    def _disconnect(self) -> None:
        # The next store may be another one: it is prepared, and the model registered, anew.
        self._registered.clear()
        store, self._store = self._store, None
        if store is not None:
            # The store is given up: an error of its closing changes nothing.
            with suppress(Exception):
                store.close()

    def _wait(self, seconds: float) -> None:
        ends = monotonic() + seconds
        with self._changed:
            was_stopping = self._until is not None
            while (left := ends - monotonic()) > 0:
                self._changed.wait(left)
                # A last try at once when the end has come, and pauses within it.
                if self._until is not None and (not was_stopping or monotonic() > self._until):
                    return

    def _next(self, store: Store) -> list[Segment]:
        """Wait for segments; give those that make one write."""
        with self._changed:
            if not self._segments and self._until is None:
                self._changed.wait(_LOOK_SECONDS)
            if store.gather_seconds and self._segments:
                ends = monotonic() + store.gather_seconds
                while self._until is None and (left := ends - monotonic()) > 0:
                    if self.rows >= store.max_rows:
                        break
                    self._changed.wait(left)
            taken: list[Segment] = []
            rows = 0
            for segment in self._segments:
                # One write is of one model version, and either new or not.
                if taken and (
                    segment.source != taken[0].source
                    or segment.is_retry != taken[0].is_retry
                    or rows + segment.rows > store.max_rows
                ):
                    break
                taken.append(segment)
                rows += segment.rows
        return taken

    def _deliver(self, store: Store, segments: list[Segment]) -> None:
        source = segments[0].source
        key = (source.registration.model, source.registration.version, source.environment.id)
        if key not in self._registered:
            store.register(source.registration, source.environment)
            self._registered.add(key)
        records: list[Record] = []
        requests: list[RecordedRequest] = []
        for segment in segments:
            for row in self._rows(segment):
                if isinstance(row, Record):
                    records.append(row)
                else:
                    requests.append(row)
        is_retry = segments[0].is_retry
        # From here on the store may have them, whether the write succeeds or not.
        for segment in segments:
            segment.is_retry = True
        started = perf_counter()
        refused = write_requests(store, requests, is_retry=is_retry)
        refused += write_records(store, records, is_retry=is_retry)
        self._counts.write_seconds.append(perf_counter() - started)
        rows = len(records) + sum(len(request.ids) for request in requests)
        self._counts.written += rows - len(refused)
        self._counts.dropped["refused"] += len(refused)
        for name, reason in refused:
            fields = {"id": name, "reason": reason}
            LOGGER.error("the prediction log refuses a row", extra={"fields": fields})
        with self._changed:
            for segment in segments:
                self._segments.popleft()
                self._forget_rows(segment)
                self._bytes -= segment.size
        self._settle(segments)

    def _remove(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            self._spool.remove(segment)

    def _rows(self, segment: Segment) -> Sequence[Record | RecordedRequest]:
        try:
            try:
                return self._read(segment)
            except ValueError:
                # `forget` may be writing into this very file.
                sleep(_SECOND_LOOK_SECONDS)
                return self._read(segment)
        except FileNotFoundError:
            LOGGER.error("a segment of the spool is gone: someone emptied it")
        except (OSError, ValueError) as error:
            # It stays for the next start; the rows behind it must not wait for that.
            if segment.path is not None:
                log_unreadable(segment.path, error)
            segment.path = None
        self._counts.dropped["unreadable"] += segment.rows
        with self._changed:
            self._forget_rows(segment)
        segment.data, segment.rows = b"", 0
        return ()

    def _forget_rows(self, segment: Segment) -> None:
        self.rows -= segment.rows
        if segment.is_adopted:
            self.adopted_rows -= segment.rows
        if segment.data is not None:
            self._rows_in_memory -= segment.rows

    def _read(self, segment: Segment) -> list[Record] | list[RecordedRequest]:
        data = segment.data
        if data is None and segment.path is not None:
            data = read_regular(segment.path)
        return self._reader_of(segment.ending, segment.source)(data or b"")

    def _reader_of(
        self, ending: str, source: RecordSource
    ) -> Callable[[bytes], list[Record] | list[RecordedRequest]]:
        registration = source.registration
        key = (
            ending,
            registration.model,
            registration.version,
            source.environment.id,
            source.listed,
        )
        if key not in self._readers:
            self._readers[key] = reader_of(ending, source)
        return self._readers[key]

    def _report(self, error: Exception) -> None:
        if isinstance(error, StoreDown):
            # Once for each time that it goes down, not for each try.
            if not self._is_down:
                LOGGER.error(f"the prediction log is down, rows are kept: {error}")
        else:
            LOGGER.error("the prediction log failed, rows are kept", exc_info=error)
        self._is_down = True


def _calm_down() -> None:
    # On Linux niceness is a thread's own (sched(7)); elsewhere the thread is as the others are.
    with suppress(OSError):
        own = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, own + _NICE))
