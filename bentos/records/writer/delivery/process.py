"""The worker's side of the delivery: a process of its own, watched, and started again if it ends.

    flusher -> `take` -> (thread) -> pipe -> process (`__main__.py`) -> store
                             ^--------- pipe: reports <------'

A segment stays here until a report says that the store has it. One whose process ended before
that is given to the next process, which treats it as a retry.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from time import monotonic

from bentos.child import child_environment
from bentos.logs import LOGGER
from bentos.records.writer.delivery.counts import Counts, report_left
from bentos.records.writer.delivery.messages import Deliver, Finish, Report, Setup, receive, send
from bentos.records.writer.spool.segment import Segment
from bentos.records.writer.spool.spool import Spool

# Segments that the process may have and has not reported: few enough that neither pipe is ever
# full of them, enough for one large write.
_WINDOW = 64
# A process that ended is started again soon at first, then every few seconds.
_FIRST_PAUSE_SECONDS = 0.25
_LAST_PAUSE_SECONDS = 5.0
# What a process may take to end beyond the time that it was given.
_GRACE_SECONDS = 1.0


class DeliveryProcess:
    """Brings segments to the store by a process of its own, in order."""

    def __init__(self, setup: Setup, spool: Spool, counts: Counts, *, memory_rows: int) -> None:
        self._setup = setup
        self._spool = spool
        self._counts = counts
        self._memory_rows = memory_rows
        self._guard = threading.Lock()
        self._segments: deque[Segment] = deque()
        # How many of them, from the left, the process has.
        self._sent = 0
        self._number = 0
        self._rows = 0
        self._rows_in_memory = 0
        self._adopted_rows = 0
        self._adopted_first_id: str | None = None
        self._until: float | None = None
        self._awake, self._wake = os.pipe()
        os.set_blocking(self._awake, False)
        os.set_blocking(self._wake, False)
        self._thread = threading.Thread(target=self._run, name="tabserve-delivery", daemon=True)

    @property
    def rows(self) -> int:
        """Rows that are not in the store yet, those of dead workers that it took over included."""
        return self._rows + self._adopted_rows

    @property
    def first_id(self) -> str | None:
        """Id of the oldest row that is not in the store yet."""
        if self._adopted_first_id is not None:
            return self._adopted_first_id
        with suppress(IndexError):
            return self._segments[0].first_id
        return None

    def start(self) -> None:
        """Begin, with what dead workers left."""
        self._thread.start()

    def take(self, segment: Segment) -> bool:
        """Take a segment in; False where neither disk nor memory has room for it."""
        with self._guard:
            if segment.path is None:
                if self._rows_in_memory + segment.rows > self._memory_rows:
                    return False
                self._rows_in_memory += segment.rows
            else:
                # The process reads it from the disk.
                segment.data = None
            self._number += 1
            segment.number = self._number
            self._segments.append(segment)
            self._rows += segment.rows
        self._notify()
        return True

    def stop(self, within_seconds: float) -> None:
        """Deliver what is there, for at most so long; what is left stays in the spool."""
        self._until = monotonic() + within_seconds
        self._notify()
        if self._thread.ident is not None:
            self._thread.join(within_seconds + 2 * _GRACE_SECONDS)
        with self._guard:
            report_left(self._counts, self._segments)
        self._spool.close()

    def _notify(self) -> None:
        # A full pipe wakes it as well.
        with suppress(BlockingIOError):
            os.write(self._wake, b"!")

    def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            began = monotonic()
            reason = self._try()
            if reason is None:
                return
            LOGGER.error(f"the delivery of the prediction log is started again: {reason}")
            if monotonic() - began > _LAST_PAUSE_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            if self._is_over(pause):
                return
            self._rest(pause)
            pause = min(2 * pause, _LAST_PAUSE_SECONDS)

    def _try(self) -> str | None:
        """Deliver by one process. Gives why that ended too early; None at a stop."""
        try:
            process = self._start()
        except OSError as error:
            return f"it cannot be started ({error.strerror})"
        try:
            with suppress(BrokenPipeError):
                self._work(process)
        except Exception as error:
            LOGGER.error("the delivery of the prediction log failed", exc_info=error)
        code = self._end(process)
        if self._until is not None and (not self._segments or monotonic() > self._until):
            return None
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"it ended with code {code}"

    def _start(self) -> subprocess.Popen[bytes]:
        # What a terminal sends to the worker is for the worker. No session of its own: Linux shares
        # a core out between sessions first (autogroups), and priorities would count for nothing.
        return subprocess.Popen(
            [sys.executable, "-m", "bentos.records.writer.delivery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_environment(),
            bufsize=0,
            process_group=0,
        )

    def _work(self, process: subprocess.Popen[bytes]) -> None:
        """Send segments and take reports in, until the process or the time of a stop ends."""
        if process.stdin is None or process.stdout is None:
            raise ValueError("a process without pipes")
        given, told = process.stdin.fileno(), process.stdout.fileno()
        with self._guard:
            for segment in list(self._segments)[: self._sent]:
                segment.is_retry = True
            self._sent = 0
        # What the last one took over is taken over again.
        self._adopted_rows, self._adopted_first_id, self._spool.elsewhere = 0, None, 0
        send(given, self._setup)
        has_finished = False
        with selectors.DefaultSelector() as selector:
            selector.register(told, selectors.EVENT_READ)
            selector.register(self._awake, selectors.EVENT_READ)
            while True:
                if self._until is not None and not has_finished:
                    self._send(given, sys.maxsize)
                    send(given, Finish(max(0.0, self._until - monotonic())))
                    has_finished = True
                elif not has_finished:
                    self._send(given, _WINDOW)
                for key, _ in selector.select(self._left_seconds()):
                    if key.fd == told:
                        report = receive(told)
                        if not isinstance(report, Report):
                            return
                        self._note(report)
                    else:
                        os.read(self._awake, 4096)
                if self._until is not None and monotonic() > self._until + _GRACE_SECONDS:
                    return

    def _left_seconds(self) -> float | None:
        if self._until is None:
            return None
        return max(0.0, self._until - monotonic()) + _GRACE_SECONDS

    def _send(self, given: int, window: int) -> None:
        while self._sent < window:
            with self._guard:
                if self._sent >= len(self._segments):
                    return
                segment = self._segments[self._sent]
            path = None if segment.path is None else str(segment.path)
            send(
                given,
                Deliver(
                    segment.number,
                    segment.rows,
                    segment.size,
                    segment.first_id,
                    segment.is_retry,
                    path,
                    segment.data,
                ),
            )
            self._sent += 1

    def _note(self, report: Report) -> None:
        counts = self._counts
        done, kept = set(report.done), set(report.kept)
        settled: list[Segment] = []
        with self._guard:
            while self._segments and self._segments[0].number in done:
                segment = self._segments.popleft()
                self._sent -= 1
                self._rows -= segment.rows
                if segment.path is None:
                    self._rows_in_memory -= segment.rows
                settled.append(segment)
        counts.written += report.written
        counts.dropped["refused"] += report.refused
        counts.dropped["unreadable"] += report.unreadable
        counts.write_seconds.extend(report.write_seconds)
        self._adopted_rows = report.adopted_rows
        self._adopted_first_id = report.adopted_first_id
        self._spool.elsewhere = report.adopted_bytes
        for segment in settled:
            if segment.number not in kept:
                self._spool.remove(segment)

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the end of a process that has nothing more to say. Gives its exit code."""
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            return process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            # A write that hangs. Its rows stay in the spool.
            process.kill()
            return process.wait()

    def _is_over(self, pause: float) -> bool:
        return self._until is not None and monotonic() + pause > self._until

    def _rest(self, seconds: float) -> None:
        # What it is woken for waits for the next process, but for a stop.
        ends = monotonic() + seconds
        while self._until is None and (left := ends - monotonic()) > 0:
            with selectors.DefaultSelector() as selector:
                selector.register(self._awake, selectors.EVENT_READ)
                if selector.select(left):
                    os.read(self._awake, 4096)
