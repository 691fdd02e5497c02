"""Faults of the machine: descriptors, memory, clock."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import resource
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bentos.ids import time_of
from tests.faults.fault import Proof
from tests.faults.rig import CLOCK, Rig
from tests.service.checks import total_of, value_of
from tests.service.hostile.wire import Conversation

DESCRIPTORS = 96
BATCH_CLIENTS = 8
# What one worker may grow by, whatever clients send.
_GROWTH_MIB = 1024
AHEAD_SECONDS = 3600


@contextlib.contextmanager
def take_descriptors(rig: Rig) -> Iterator[Proof]:
    """Few descriptors, and idle connections and half heads that would take all of them."""
    had = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in rig.service.workers()}
    for pid, (_, most) in had.items():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, most))
    try:
        # The workers look at their limit now and then.
        deadline = time.monotonic() + 15
        while total_of(rig.samples[-1], "tabserve_connections_limit") >= 2 * DESCRIPTORS:
            assert time.monotonic() < deadline, "the workers do not see their limit"
            time.sleep(0.1)
        with contextlib.ExitStack() as stack:
            for number in range(400):
                one = stack.enter_context(Conversation(rig.service.port))
                one.try_to_send(b"GET /livez HTTP/1.1\r\nHost: a\r\n"[: number % 3 * 10])
            for path in ("/livez", "/readyz"):
                if rig.service.request("GET", path).status != 200:
                    rig.broken.append(f"{path} is not 200")
            yield lambda: _evicted(rig) > 0
    finally:
        for pid, limits in had.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def _evicted(rig: Rig) -> float:
    return value_of(rig.samples[-1], "tabserve_connections_closed_total", reason="evicted")


@contextlib.contextmanager
def send_large_batches(rig: Rig) -> Iterator[Proof]:
    """Clients that send the largest batches there may be, packed, again and again."""
    # As many small rows as fit, all wrong; and as many right rows as there may be, with a wrong
    # one behind them, which refuses them all: none of them is a row of the log.
    small = b'{"instances":[' + b",".join([b'{"a":1}'] * 1_900_000) + b"]}"
    rows = b",".join([json.dumps(rig.row).encode()] * 9_999)
    bodies = [gzip.compress(body, 1) for body in (small, b'{"instances":[' + rows + b",{}]}")]
    is_over = threading.Event()
    statuses: list[int] = []

    def ask(number: int) -> None:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        path = "/v1/predict/batch?on_error=reject"
        while not is_over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = rig.service.request("POST", path, bodies[number % 2], headers)
                statuses.append(answer.status)

    workers = rig.service.workers()
    before = {pid: _peak_mib(pid) for pid in workers}
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(BATCH_CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: len(statuses) >= BATCH_CLIENTS
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    if rig.service.workers() != workers:
        rig.broken.append("a worker was lost")
    grown = max(_peak_mib(pid) - before[pid] for pid in workers)
    counts = ", ".join(f"{statuses.count(one)} x {one}" for one in sorted(set(statuses)))
    rig.notes.append(f"batches: {counts}; a worker grew by {grown} MiB at most")
    if grown > _GROWTH_MIB:
        rig.broken.append(f"a worker grew by {grown} MiB")


def _peak_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


@contextlib.contextmanager
def step_clock(rig: Rig) -> Iterator[Proof]:
    """The clock is an hour ahead for some seconds, and goes back."""
    clock = Path(rig.settings[CLOCK])
    _set(clock, AHEAD_SECONDS)
    try:
        yield lambda: _ahead_seconds(rig) > AHEAD_SECONDS / 2
    finally:
        _set(clock, 0)
    deadline = time.monotonic() + 10
    while _ahead_seconds(rig) > 2:
        if time.monotonic() > deadline:
            rig.broken.append("new ids stay ahead of the clock")
            return
        time.sleep(0.1)


def _set(clock: Path, seconds: int) -> None:
    part = clock.with_suffix(".part")
    part.write_text(f"+{seconds}s\n")
    part.rename(clock)


def _ahead_seconds(rig: Rig) -> float:
    last = next(one.prediction for one in reversed(rig.asked) if one.prediction is not None)
    return (time_of(last) - datetime.now(UTC)).total_seconds()
