"""One model under an open loop for minutes, with the log on: failures, memory, every row logged."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

import uvloop

from loadtests.benchmark import delivery
from loadtests.benchmark.overload import pinned
from loadtests.machine.launch import Launched
from loadtests.machine.processes import busy_seconds
from loadtests.traffic import openloop
from loadtests.traffic.openloop import Check, percentile

# As the plan "soak" has it: arrivals wait for the server, not for a connection.
_CONNECTIONS = 256
_WATCH_SECONDS = 1.0
# Seldom: a scrape is work for the worker. Prometheus' own pace is every 15 s.
_SCRAPE_SECONDS = 10.0
# Memory is compared with that of the first minute: until then, buffers are filled.
_SETTLED_SECONDS = 60.0
# Above this the generator did not keep its own schedule, and the run says nothing.
MOST_LATE_MS = 5.0
MOST_GROWTH = 0.05


@dataclass(frozen=True)
class Moment:
    """What was seen `seconds` after the start: bytes of all processes, rows not in the store."""

    seconds: float
    rss_bytes: int
    waiting_rows: int | None = None


@dataclass
class Soak:
    """What came of one model. Latencies in milliseconds, from the scheduled time.

    `peak`, `rate`: requests a second, in a closed loop before, and offered. `stored`: rows that
    came into the log's file in this time. CPU seconds a second: `cores` of the server,
    `other_cores` of all else on its core.
    """

    model: str
    engine: str
    peak: float
    rate: float
    seconds: float
    scheduled: int = 0
    answered: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    p50: float = float("nan")
    p99: float = float("nan")
    longest: float = float("nan")
    late_p99: float = float("nan")
    cores: float = 0.0
    other_cores: float = 0.0
    waiting_rows: int = 0
    drain_seconds: float = 0.0
    dropped: int = 0
    stored: int = 0
    moments: list[Moment] = field(default_factory=list)

    @property
    def first_bytes(self) -> float:
        """Memory once the first minute is over, or a fifth of a shorter run."""
        settled = min(_SETTLED_SECONDS, self.seconds / 5)
        return median([m.rss_bytes for m in self.moments if m.seconds >= settled][:10] or [0])

    @property
    def last_bytes(self) -> float:
        """Memory at the end."""
        return median([moment.rss_bytes for moment in self.moments][-10:] or [0])

    @property
    def growth(self) -> float:
        """How much memory grew, as a share."""
        return self.last_bytes / self.first_bytes - 1 if self.first_bytes else float("inf")

    @property
    def most_waiting(self) -> int:
        """The most rows that were seen waiting for the store."""
        return max([moment.waiting_rows or 0 for moment in self.moments], default=0)

    @property
    def broken(self) -> list[str]:
        """What was not as it must be; empty for a good run."""
        found = [f"{times} {what}" for what, times in self.failures.items()]
        if self.answered < self.scheduled - sum(self.failures.values()) or not self.answered:
            found.append("requests without an outcome")
        if not abs(self.growth) <= MOST_GROWTH:
            found.append(f"memory changed by {self.growth:+.1%}")
        if self.stored != self.answered or self.dropped:
            found.append(f"{self.answered - self.stored} rows are not in the log")
        if not self.late_p99 <= MOST_LATE_MS:
            found.append("the generator was late: this run proves nothing")
        return found


def hold(
    ready: Launched,
    requests: Sequence[bytes],
    check: Check,
    soak: Soak,
    *,
    server_core: str,
    load_core: str,
    seed: int = 1,
) -> None:
    """Offer `soak.rate` for `soak.seconds`, watch, and fill in what came of it.

    Raises NotDelivered, OSError.
    """
    # What came before is in the store when counting begins.
    delivery.wait(ready.site.port, ready.site.work)
    stored, dropped = delivery.stored(ready.site.work), delivery.read(ready.site.port).dropped
    busy, before = busy_seconds(server_core), ready.server.usage().cpu_seconds
    started = time.perf_counter()
    with _watching(ready, soak.moments), pinned(load_core):
        outcome = uvloop.run(
            openloop.offer(
                ready.site.port,
                requests,
                openloop.randomly(soak.rate, soak.seconds, seed),
                connections=_CONNECTIONS,
                check=check,
            )
        )
    seconds = time.perf_counter() - started
    used = ready.server.usage().cpu_seconds - before
    drain = delivery.wait(ready.site.port, ready.site.work)
    good = outcome.latencies.get(200, [])
    failures = {
        f"status {status}": len(latencies)
        for status, latencies in outcome.latencies.items()
        if status != 200
    } | {"wrong": outcome.wrong, "broken": outcome.broken, "unanswered": outcome.unanswered}
    soak.scheduled = outcome.scheduled
    soak.answered = len(good)
    soak.failures = {what: times for what, times in failures.items() if times}
    soak.p50, soak.p99 = percentile(good, 0.5) * 1e3, percentile(good, 0.99) * 1e3
    soak.longest = percentile(good, 1.0) * 1e3
    soak.late_p99 = percentile(outcome.late, 0.99) * 1e3
    soak.cores = used / seconds
    soak.other_cores = max(0.0, busy_seconds(server_core) - busy - used) / seconds
    soak.waiting_rows, soak.drain_seconds = drain.rows, drain.seconds
    soak.dropped = delivery.read(ready.site.port).dropped - dropped
    soak.stored = delivery.stored(ready.site.work) - stored


@contextlib.contextmanager
def _watching(ready: Launched, moments: list[Moment]) -> Iterator[None]:
    """Look at the server's memory every second for as long as the block runs."""
    ended = threading.Event()
    started = time.perf_counter()

    def watch() -> None:
        scraped = 0.0
        while not ended.wait(_WATCH_SECONDS):
            now = time.perf_counter() - started
            waiting = None
            if now - scraped >= _SCRAPE_SECONDS:
                scraped = now
                # A busy server may be late with it: the requests show that, not this.
                with contextlib.suppress(OSError):
                    waiting = delivery.read(ready.site.port).rows
            moments.append(Moment(now, ready.server.usage().rss_bytes, waiting))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
