"""Every fault: what is done, and the promise that is checked."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

from tests.faults.rig import DISK_BYTES, Kind, Rig

Do = Callable[[Rig], AbstractContextManager[None]]


class Fault(NamedTuple):
    """One fault and its promise.

    `do`: a context in which the fault holds. `seconds`: how long it holds at least. `good`: the
    least share of requests sent meanwhile that get 200. `may_lose_seconds`: rows answered this
    long before the fault may be missing, uncounted; None: rows may be missing where a metric
    counts them.
    """

    name: str
    promise: str
    do: Do
    seconds: float = 4.0
    good: float = 1.0
    may_lose_seconds: float | None = 0.0
    kinds: tuple[Kind, ...] = ("postgresql", "sqlite")
    needs_disk: bool = False


@contextlib.contextmanager
def _kill_worker(rig: Rig) -> Iterator[None]:
    os.kill(rig.service.workers()[0], signal.SIGKILL)
    yield


@contextlib.contextmanager
def _freeze_worker(rig: Rig) -> Iterator[None]:
    pid = rig.service.workers()[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def _kill_database(rig: Rig) -> Iterator[None]:
    assert rig.database is not None
    rig.database.kill()
    try:
        yield
    finally:
        rig.database.start()


@contextlib.contextmanager
def _freeze_database(rig: Rig) -> Iterator[None]:
    rig.signal_database(signal.SIGSTOP)
    try:
        yield
    finally:
        rig.signal_database(signal.SIGCONT)


@contextlib.contextmanager
def _half_open(rig: Rig) -> Iterator[None]:
    rig.proxy.stall()
    try:
        yield
    finally:
        rig.proxy.heal()


@contextlib.contextmanager
def _full_disk(rig: Rig) -> Iterator[None]:
    # With the database away everything has to go through the disk.
    away = _kill_database(rig) if rig.database is not None else contextlib.nullcontext()
    filler = rig.folder / "disk" / "filler"
    # Without a buffer, which would be written once more when the file is closed.
    with away, filler.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            for _ in range(DISK_BYTES // 4096):
                file.write(b"\0" * 4096)
        try:
            yield
        finally:
            filler.unlink()


POSTGRESQL: tuple[Kind, ...] = ("postgresql",)
ALL_ANSWERED = "Every request is answered; every row is in the log once."

FAULTS = (
    Fault(
        "kill -9 of one of two workers",
        "The other answers, another takes its place; rows of the last second may be lost.",
        _kill_worker,
        good=0.9,
        may_lose_seconds=1.0,
    ),
    Fault(
        "one of two workers frozen (SIGSTOP)",
        "Nobody gets an error: who is connected to the frozen one waits. Rows are in the log once.",
        _freeze_worker,
        good=0.3,
    ),
    Fault("kill -9 of the database", ALL_ANSWERED, _kill_database, kinds=POSTGRESQL),
    Fault(
        "database frozen for 30 s (SIGSTOP)",
        ALL_ANSWERED,
        _freeze_database,
        seconds=30,
        kinds=POSTGRESQL,
    ),
    Fault(
        "connection to the database half-open",
        ALL_ANSWERED,
        _half_open,
        seconds=15,
        kinds=POSTGRESQL,
    ),
    Fault(
        "the spool's disk full, the database away",
        "Every request is answered; a lost row is counted by reason.",
        _full_disk,
        seconds=8,
        may_lose_seconds=None,
        needs_disk=True,
    ),
)
