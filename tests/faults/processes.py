"""Faults of the service's own processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.databases import kill
from tests.faults.fault import Do, Proof
from tests.faults.load import Asked
from tests.faults.rig import Rig
from tests.service.pending import Pending
from tests.service.process import PATIENCE_SECONDS, is_alive

# Requests that are under way when the service is told to stop.
PENDING = 10


@contextlib.contextmanager
def kill_worker(rig: Rig) -> Iterator[Proof]:
    """`kill -9` of one worker."""
    pid = rig.service.workers()[0]
    os.kill(pid, signal.SIGKILL)
    yield lambda: not is_alive(pid)


def _deliveries(rig: Rig) -> list[int]:
    found = []
    for worker in rig.service.workers():
        for task in Path(f"/proc/{worker}/task").iterdir():
            pids = map(int, (task / "children").read_text().split())
            found += [
                pid for pid in pids if b"delivery" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
    return found


@contextlib.contextmanager
def kill_delivery(rig: Rig) -> Iterator[Proof]:
    """`kill -9` of the process that delivers the log of one of the workers."""
    pid = _deliveries(rig)[0]
    os.kill(pid, signal.SIGKILL)
    yield lambda: not is_alive(pid)


@contextlib.contextmanager
def freeze_delivery(rig: Rig) -> Iterator[Proof]:
    """SIGSTOP to the process that delivers the log of one of the workers."""
    with _frozen(_deliveries(rig)[0]) as proof:
        yield proof


@contextlib.contextmanager
def freeze_worker(rig: Rig) -> Iterator[Proof]:
    """SIGSTOP to one worker."""
    with _frozen(rig.service.workers()[0]) as proof:
        yield proof


@contextlib.contextmanager
def _frozen(pid: int) -> Iterator[Proof]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    finally:
        os.kill(pid, signal.SIGCONT)


def send(*numbers: signal.Signals) -> Do:
    """Stop the service by signals, with requests under way, and start it anew."""

    @contextlib.contextmanager
    def do(rig: Rig) -> Iterator[Proof]:
        body = json.dumps(rig.row).encode()
        process = rig.service.process
        with contextlib.ExitStack() as stack:
            pending = [
                stack.enter_context(contextlib.closing(Pending(rig.service.port, body)))
                for _ in range(PENDING)
            ]
            for number in numbers:
                process.send_signal(number)
                time.sleep(0.3)
            for one in pending:
                try:
                    head, _, document = one.finish().partition(b"\r\n\r\n")
                except OSError:
                    head, document = b"", b""
                if head.startswith(b"HTTP/1.1 200 "):
                    now = time.monotonic()
                    rig.asked.append(Asked(now, now, 200, json.loads(document)["id"]))
                else:
                    rig.broken.append("a request that was taken on got no 200")
        code = process.wait(PATIENCE_SECONDS)
        if code:
            rig.broken.append(f"exit code {code}")
        yield lambda: process.poll() is not None
        rig.restart()

    return do


@contextlib.contextmanager
def kill_supervisor(rig: Rig) -> Iterator[Proof]:
    """`kill -9` of the supervisor alone; a start when its workers are gone."""
    workers = rig.service.workers()
    rig.service.process.kill()
    rig.service.process.wait(PATIENCE_SECONDS)
    deadline = time.monotonic() + 30
    while any(map(is_alive, workers)):
        if time.monotonic() > deadline:
            rig.broken.append("a worker outlives its supervisor")
            break
        time.sleep(0.1)
    yield lambda: rig.service.process.poll() is not None
    rig.restart()


@contextlib.contextmanager
def start_second(rig: Rig) -> Iterator[Proof]:
    """Another service with the same data directory, and rows for it."""
    second = rig.start()
    try:
        answers = [second.post("/v1/predict", rig.row) for _ in range(50)]
        now = time.monotonic()
        rig.asked += [Asked(now, now, one.status, one.json().get("id")) for one in answers]
        yield lambda: len({one.json().get("id") for one in answers}) == len(answers)
    finally:
        if second.stop():
            rig.broken.append("the second service did not stop with 0")
        second.close()


@contextlib.contextmanager
def kill_all(rig: Rig) -> Iterator[Proof]:
    """`kill -9` of the database, then of the service with rows in its spool; then a start."""
    away = kill(rig) if rig.database is not None else contextlib.nullcontext()
    with away:
        if rig.database is not None:
            time.sleep(2)
        workers = rig.service.workers()
        rig.struck = time.monotonic()
        for pid in (rig.service.process.pid, *workers):
            os.kill(pid, signal.SIGKILL)
        rig.service.process.wait(PATIENCE_SECONDS)
        has_spooled = rig.database is None or any(rig.data.glob("spool/*/*.rows"))
        yield lambda: has_spooled and not any(map(is_alive, workers))
    rig.restart()
