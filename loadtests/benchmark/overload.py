"""More than a server can answer: what it accepts, how late, and how it refuses the rest."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvloop

from loadtests.benchmark.measurement import Overload
from loadtests.machine import processes
from loadtests.peers.catalogue import Peer
from loadtests.traffic import openloop, wrk
from loadtests.traffic.openloop import Check, Outcome, percentile

# More than the service holds at once (TABSERVE_MAX_CONCURRENCY, 4,096 as it comes): else it
# is the generator that holds the queue, and the service has nothing to refuse.
ROW_CONNECTIONS = 6000
# Bodies of 600 kB: the service holds 128 MiB of them, some two hundred.
_BATCH_CONNECTIONS = 512


def offer(
    peer: Peer,
    port: int,
    bodies: Sequence[bytes],
    check: Check,
    *,
    kind: str,
    rate: float,
    seconds: float,
) -> Outcome:
    """Send bodies at a constant rate, by a loop of its own. Raises OSError."""
    path = peer.path if kind == "row" else peer.batch_path
    return uvloop.run(
        openloop.offer(
            port,
            [openloop.request(path, body) for body in bodies],
            openloop.evenly(rate, seconds),
            connections=ROW_CONNECTIONS if kind == "row" else _BATCH_CONNECTIONS,
            check=check,
        )
    )


def summarise(
    outcome: Outcome,
    *,
    peer: str,
    kind: str,
    rows: int,
    multiple: float,
    number: int,
    peak: float,
    timeout_seconds: float,
) -> Overload:
    """Put an outcome into numbers."""
    accepted = outcome.latencies.get(200, [])
    refused = [one for status in (429, 503) for one in outcome.latencies.get(status, [])]
    failures = {
        f"status {status}": len(latencies)
        for status, latencies in outcome.latencies.items()
        if status not in (200, 429, 503)
    }
    failures |= {
        "wrong": outcome.wrong,
        "broken": outcome.broken,
        "unanswered": outcome.unanswered,
    }
    # Until the last answer: what was accepted is answered after the last arrival, too.
    seconds = max(outcome.finished, outcome.seconds)
    return Overload(
        peer=peer,
        kind=kind,
        rows=rows,
        multiple=multiple,
        round=number,
        peak=peak,
        offered=outcome.sent / outcome.seconds,
        accepted_per_second=len(accepted) / seconds,
        accepted_p50=percentile(accepted, 0.50) * 1e3,
        accepted_p99=percentile(accepted, 0.99) * 1e3,
        shed_p99=percentile(refused, 0.99) * 1e3,
        scheduled=outcome.scheduled,
        accepted=len(accepted),
        shed=outcome.shed,
        retry_after=outcome.retry_after,
        failures={reason: times for reason, times in failures.items() if times},
        late_p99=percentile(outcome.late, 0.99) * 1e3,
        timeout_ms=timeout_seconds * 1e3,
    )


def flood(run: wrk.Run, *, peer: str, number: int, peak: float, timeout_seconds: float) -> Overload:
    """Put a run of wrk over very many connections into the same numbers.

    wrk does not tell the latencies of good answers from those of others, nor reads headers.
    """
    return Overload(
        peer=peer,
        kind="flood",
        rows=1,
        multiple=0.0,
        round=number,
        peak=peak,
        offered=run.requests / run.seconds,
        accepted_per_second=run.per_second,
        accepted_p50=math.nan,
        accepted_p99=math.nan,
        shed_p99=math.nan,
        scheduled=run.requests,
        accepted=run.requests - run.statuses,
        shed=run.statuses,
        retry_after=0,
        failures={"broken or late": run.sockets + run.timeouts}
        if run.sockets + run.timeouts
        else {},
        late_p99=math.nan,
        timeout_ms=timeout_seconds * 1e3,
    )


@contextmanager
def pinned(cores: str) -> Iterator[None]:
    """Keep this process on the load's cores for as long as the block runs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processes.cores_of(cores))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
