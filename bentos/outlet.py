"""Standard error, written to by a thread of its own: what makes a line never waits for it.

A pipe that nobody reads is full after 64 KiB, and a write to it then blocks for as long as that
lasts: on the event loop, that would be all answers. Lines wait in memory instead, within a
bound. Those beyond it are lost, and counted.
"""

from __future__ import annotations

import atexit
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

# Some 30,000 lines: seconds of a busy worker, for a reader that is slow to start.
_MOST_BYTES = 8 * 1024 * 1024

# What comes within this time of a write goes out together with the next one.
_GATHER_SECONDS = 0.05

# How long the end of the process waits for its last lines.
_END_SECONDS = 2.0
_RETRY_MILLISECONDS = 1000


class Outlet:
    """Takes lines from any thread and writes them to `sys.stderr` in their order.

    `report` makes the line that says how many were lost; it follows once there is room again.
    The thread starts with the first line. What waits at the end of the process is written then.
    """

    def __init__(self, report: Callable[[int], str], most_bytes: int = _MOST_BYTES) -> None:
        self._report = report
        self._most_bytes = most_bytes
        self._reported = 0
        self.dropped = 0
        self._reset()

    def _reset(self) -> None:
        self._waiting: list[tuple[bytes, int]] = []
        # Bytes that wait, those of a write that has not returned included.
        self._held = 0
        self._state = threading.Condition()
        self._wake = threading.Event()
        self._pid = 0
        self._is_ending = False

    def write(self, text: str) -> int:
        """Take lines, each with its end: what a handler of `logging` calls."""
        self.add(text.encode(errors="backslashreplace"), text.count("\n"))
        return len(text)

    def flush(self) -> None:
        """Do nothing: handlers of `logging` ask for it after each line."""

    def add(self, data: bytes, lines: int) -> None:
        """Take so many lines as bytes. Never waits."""
        if self._pid != os.getpid():
            self._start()
        with self._state:
            if self._held + len(data) > self._most_bytes:
                self.dropped += lines
                return
            self._held += len(data)
            self._waiting.append((data, lines))
        if self._is_ending:
            self._write_waiting()
        else:
            self._wake.set()

    def drain(self, within_seconds: float) -> bool:
        """Wait until nothing waits, for at most so long; says whether that was reached."""
        with self._state:
            return self._state.wait_for(lambda: not self._held, within_seconds)

    def end(self, within_seconds: float = _END_SECONDS) -> None:
        """Write what waits, for at most so long; later lines are written where they are made.

        For the last steps of a process: nobody may be left to wait for the thread.
        """
        self._is_ending = self.drain(within_seconds)

    def _start(self) -> None:
        # A fork leaves the thread behind, and maybe a lock that is held.
        self._reset()
        self._pid = os.getpid()
        threading.Thread(target=self._run, name="tabserve-lines", daemon=True).start()
        atexit.register(self.end)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            self._write_waiting()
            time.sleep(_GATHER_SECONDS)

    def _write_waiting(self) -> None:
        with self._state:
            waiting, self._waiting = self._waiting, []
        data = b"".join([each for each, _ in waiting])
        is_written = _write(data)
        with self._state:
            self._held -= len(data)
            if not is_written:
                self.dropped += sum(lines for _, lines in waiting)
            lost = self.dropped - self._reported
            self._state.notify_all()
        if lost and is_written:
            self._reported += lost
            self.write(self._report(lost))


def _write(data: bytes) -> bool:
    """Write to standard error, however long that takes; says whether all of it was taken."""
    rest = memoryview(data)
    # Closed, or a file on a full disk; no stream has a descriptor that is none of the system's.
    with suppress(OSError, ValueError, AttributeError):
        try:
            descriptor = sys.stderr.fileno()
        except OSError:
            sys.stderr.write(data.decode())
            return True
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:
                # Another process made the pipe so that it does not block.
                waiting = select.poll()
                waiting.register(descriptor, select.POLLOUT)
                waiting.poll(_RETRY_MILLISECONDS)
    return not rest
