"""What happened in a run: latencies and failures of each stage, from its users' own clock.

Locust's statistics round to whole milliseconds and know no stages; these do not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter

from loadtests.traffic.openloop import percentile
from loadtests.traffic.plan import Stage

# Users of a new stage start one by one: what began in the meantime is not counted.
_SETTLE_SECONDS = 0.5


@dataclass
class Tally:
    """One kind of request in one stage. Latencies in milliseconds, of good answers.

    `failures`: by reason, and not in `good`.
    """

    good: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    p50: float = float("nan")
    p95: float = float("nan")
    p99: float = float("nan")
    longest: float = float("nan")

    @property
    def failed(self) -> int:
        """All failures."""
        return sum(self.failures.values())


@dataclass
class Passage:
    """One stage as it went.

    `started`, `ended`: perf_counter's, which is one clock for all processes of a Linux
    machine. `rate`: as it was settled. `behind`: arrivals that were due and never sent.
    `late_p99`: how late requests left though a connection was free, in milliseconds.
    `cores`, `load_cores`: CPU seconds a second of server and generator; `other_cores`: of
    all else on the server's core. `rss_bytes`: the
    most that the server's processes held; `rss_growth`: that by what they held at first, -1.
    """

    stage: str
    kind: str
    users: int
    rate: float
    is_measured: bool
    started: float
    ended: float
    tallies: dict[str, Tally] = field(default_factory=dict)
    behind: int = 0
    late_p99: float = float("nan")
    cores: float = float("nan")
    load_cores: float = float("nan")
    other_cores: float = 0.0
    rss_bytes: int = 0
    rss_growth: float = float("nan")

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        seconds = self.ended - self.started
        return sum(tally.good for tally in self.tallies.values()) / seconds if seconds > 0 else 0.0

    @property
    def failed(self) -> int:
        """Failures of every kind of request."""
        return sum(tally.failed for tally in self.tallies.values())


class Recorder:
    """Collects one run, stage after stage."""

    def __init__(self) -> None:
        self.passages: list[Passage] = []
        self._current: Passage | None = None
        self._latencies: dict[str, list[float]] = {}
        self._failures: dict[str, Counter[str]] = {}

    @property
    def peak(self) -> float:
        """The most good answers a second of a stage of single rows in a closed loop; 0 for none."""
        closed = [p.per_second for p in self.passages if not p.rate and p.kind == "predict"]
        return max(closed, default=0.0)

    def begin(self, stage: Stage) -> None:
        """Begin a stage; the last one must have ended."""
        now = perf_counter() + _SETTLE_SECONDS
        self._current = Passage(
            stage.name, stage.kind, stage.users, stage.rate, stage.is_measured, now, now
        )
        self._latencies, self._failures = {}, {}

    def add(self, request: str, began: float, ended: float, failure: str | None) -> None:
        """Count an answer: when its request was due, when it was there, what was wrong with it."""
        if self._current is None:
            return
        if failure is not None:
            self._failures.setdefault(request, Counter())[failure] += 1
        elif began >= self._current.started:
            self._latencies.setdefault(request, []).append((ended - began) * 1e3)

    def end(self, behind: int = 0, late: list[float] | None = None) -> None:
        """End the stage, if there is one."""
        if self._current is None:
            return
        passage, self._current = self._current, None
        passage.ended = max(perf_counter(), passage.started)
        passage.behind = behind
        passage.late_p99 = percentile(late or [], 0.99) * 1e3
        for request in self._latencies.keys() | self._failures.keys():
            latencies = sorted(self._latencies.get(request, []))
            passage.tallies[request] = Tally(
                good=len(latencies),
                failures=dict(self._failures.get(request, {})),
                p50=percentile(latencies, 0.50),
                p95=percentile(latencies, 0.95),
                p99=percentile(latencies, 0.99),
                longest=percentile(latencies, 1.0),
            )
        self.passages.append(passage)
