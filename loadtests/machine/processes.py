"""Servers as child processes: started on given cores, measured, and always stopped.

A server is its whole process tree, read from /proc (Linux).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_POLL_SECONDS = 0.02
# Long enough for a server to finish what it has; then it is killed.
_STOP_SECONDS = 10.0
# A server that used at most a tick of the clock in this time has nothing left to answer.
_IDLE_SECONDS = 0.1


class ServerFailed(Exception):
    """A server ended, or was not ready in time; the message has the end of its log."""


@dataclass
class Usage:
    """What a process tree has used so far: CPU seconds; resident bytes, in all and largest.

    The CPU seconds of children that have ended and were waited for are among them.
    """

    cpu_seconds: float
    rss_bytes: int
    largest_rss_bytes: int


class Server:
    """One started server."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        # Pids once seen: a child whose parent died is still ours to stop.
        self._seen: set[int] = {process.pid}

    def tree(self) -> list[int]:
        """Give the pids of the server and all that it started and that still run."""
        parents = dict(_parents())
        found = {pid for pid in self._seen if pid in parents}
        grown = True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in found} - found
            found |= more
            grown = bool(more)
        self._seen |= found
        return sorted(found)

    def usage(self) -> Usage:
        """Read what the tree has used so far."""
        cpu, sizes = 0.0, [0]
        for pid in self.tree():
            # A process may end between the listing and the reading.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                # Its own in user and kernel mode, then those of the children that it waited for.
                cpu += sum(map(int, fields[11:15])) / _TICKS
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                sizes.append(pages * os.sysconf("SC_PAGE_SIZE"))
        return Usage(cpu, sum(sizes), max(sizes))

    def strays(self, cores: set[int]) -> int:
        """Count the processes of the tree that may run outside of the given cores."""
        count = 0
        for pid in self.tree():
            with contextlib.suppress(ProcessLookupError):
                count += not os.sched_getaffinity(pid) <= cores
        return count

    def wait_ready(self, url: str, timeout_seconds: float) -> float:
        """Wait for a 200 from `url`; give the seconds it took. Raises ServerFailed."""
        started = time.perf_counter()
        while time.perf_counter() - started < timeout_seconds:
            if self._process.poll() is not None:
                raise ServerFailed(f"ended with {self._process.returncode}:\n{self._tail()}")
            # A loopback address given by the caller, never a file; URLError is an OSError.
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(url, timeout=1) as answer,  # noqa: S310
            ):
                if answer.status == 200:
                    return time.perf_counter() - started
            time.sleep(_POLL_SECONDS)
        raise ServerFailed(f"not ready within {timeout_seconds:g} s:\n{self._tail()}")

    def wait_idle(self, timeout_seconds: float) -> None:
        """Wait until it has done what it was asked, also for clients that are gone."""
        until = time.perf_counter() + timeout_seconds
        used = self.usage().cpu_seconds
        while time.perf_counter() < until:
            time.sleep(_IDLE_SECONDS)
            before, used = used, self.usage().cpu_seconds
            if used - before <= 1.5 / _TICKS:
                return

    def wait_end(self, timeout_seconds: float) -> None:
        """Wait until the command has done its work. Raises ServerFailed."""
        try:
            code = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"not done within {timeout_seconds:g} s:\n{self._tail()}") from None
        if code:
            raise ServerFailed(f"ended with {code}:\n{self._tail()}")

    def has_ended(self) -> bool:
        """Whether the command has ended. Raises ServerFailed where it failed."""
        if code := self._process.poll():
            raise ServerFailed(f"ended with {code}:\n{self._tail()}")
        return code is not None

    def stop(self) -> None:
        """End the whole tree: asked first, killed after some seconds."""
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.tree():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal_number)
            until = time.perf_counter() + _STOP_SECONDS
            while time.perf_counter() < until:
                self._process.poll()
                if not self.tree():
                    return
                time.sleep(_POLL_SECONDS)

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]


@contextlib.contextmanager
def serve(
    command: Sequence[str],
    *,
    cores: str,
    log: Path,
    environment: Mapping[str, str],
    folder: Path,
) -> Iterator[Server]:
    """Run a server on the given cores (as taskset takes them) for as long as the block runs."""
    with log.open("wb") as output:
        # The command is put together by this package, from fixed parts.
        process = subprocess.Popen(  # noqa: S603
            ["taskset", "--cpu-list", cores, *command],  # noqa: S607
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            cwd=folder,
        )
    server = Server(process, log)
    try:
        yield server
    finally:
        server.stop()
        process.wait()


def cores_of(text: str) -> set[int]:
    """Read cores as taskset takes them: `1`, `0-1`, `0,2`."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def busy_seconds(core: str) -> float:
    """Give the seconds for which one core was not idle since the machine started."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            idle = int(fields[3]) + int(fields[4])  # idle and waiting for a disk
            return (sum(map(int, fields[:8])) - idle) / _TICKS
    return 0.0


def _parents() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                # A zombie has ended; only its parent has not looked yet.
                if fields[0] != "Z":
                    yield int(entry.name), int(fields[1])
