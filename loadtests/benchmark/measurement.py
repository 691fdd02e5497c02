"""What a benchmark measures, as data: written as JSON beside every report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Point:
    """One server under one load for some seconds.

    `kind`: "row" or "batch". `rows`: rows a request. Latencies in milliseconds. CPU
    seconds a second: `cores` of the server, `other_cores` of all else that ran on its
    core, `load_cores` of the load generator. `rss_bytes`: of the whole process tree.
    `cpus`: cores that the server may use. What follows the load, where a log is kept: rows
    that waited for the store at its end, the age of the oldest, how long until all were in
    the store, and the server's CPU seconds for that.
    """

    peer: str
    kind: str
    rows: int
    workers: int
    connections: int
    round: int
    per_second: float
    p50: float
    p95: float
    p99: float
    longest: float
    failures: int
    cores: float
    rss_bytes: int
    largest_rss_bytes: int
    load_cores: float
    other_cores: float
    cpus: int = 1
    seconds: float = 0.0
    waiting_rows: int = 0
    oldest_seconds: float = 0.0
    drain_seconds: float = 0.0
    drain_cpu_seconds: float = 0.0

    @property
    def delivered_per_second(self) -> float:
        """Good answers for each second until all of them were in the log's store, too."""
        seconds = self.seconds + self.drain_seconds
        return self.per_second * self.seconds / seconds if seconds else self.per_second

    @property
    def cpu_us_a_row(self) -> float:
        """CPU microseconds of the server for a row, its way into the store included."""
        rows = self.per_second * self.seconds * self.rows
        used = self.cores * self.seconds + self.drain_cpu_seconds
        return used / rows * 1e6 if rows else 0.0

    @property
    def a_core_second(self) -> float:
        """Good answers for each CPU second of the server."""
        return self.per_second / self.cores if self.cores else 0.0


@dataclass(frozen=True)
class Start:
    """One cold start: seconds until the server said that it is ready."""

    peer: str
    round: int
    seconds: float


@dataclass(frozen=True)
class Logged:
    """The prediction log at the end of one server's visit: every answered row is in it, or not.

    `answered`: rows of good answers, as the clients counted them. `cut_off`: the most rows that
    were under way when a closed loop was stopped: they may be scored, with nobody to count the
    answer. `scored`, `dropped`: as the service counts them. `stored`: rows in the store's file.
    """

    peer: str
    round: int
    cpus: int
    answered: int
    cut_off: int
    scored: int
    dropped: int
    stored: int

    @property
    def is_whole(self) -> bool:
        """Whether the store has every row that was answered, and none that was not scored."""
        return (
            self.answered <= self.stored <= self.answered + self.cut_off
            and self.stored == self.scored
            and not self.dropped
        )


@dataclass(frozen=True)
class Overload:
    """Arrivals by schedule beyond what one server can answer, in one round.

    `multiple`: of the peak, as asked for. `peak`: good answers a second in a closed loop
    just before. `offered`: as the generator really sent, requests a second. Latencies in
    milliseconds from the scheduled time. `shed`: answers of 429 and 503, `retry_after`
    those that said when to come again. `failures`: other answers, wrong ones, lost
    connections, no answer, by reason. `timeout_ms`: the service's own limit.
    `kind` "flood": as many connections as the service will not hold, each always asking.
    """

    peer: str
    kind: str
    rows: int
    multiple: float
    round: int
    peak: float
    offered: float
    accepted_per_second: float
    accepted_p50: float
    accepted_p99: float
    shed_p99: float
    scheduled: int
    accepted: int
    shed: int
    retry_after: int
    failures: dict[str, int]
    late_p99: float
    timeout_ms: float

    @property
    def refusal_cost(self) -> float:
        """What one refusal took, in accepted requests, where the core was busy throughout."""
        if not self.shed or not self.accepted_per_second:
            return float("nan")
        # Of each second at the peak's pace, what was not spent on accepting went to refusals.
        refused_per_second = self.accepted_per_second * self.shed / self.accepted
        return (self.peak - self.accepted_per_second) / refused_per_second

    @property
    def is_reached(self) -> bool:
        """Whether the generator offered about as much as it was to."""
        return self.offered >= 0.9 * self.multiple * self.peak


@dataclass
class Measurements:
    """Everything that one run of the benchmark found."""

    environment: dict[str, str]
    command: str
    points: list[Point] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    overloads: list[Overload] = field(default_factory=list)
    logs: list[Logged] = field(default_factory=list)
    # The largest difference of a score from the model's own, by server and kind.
    differences: dict[str, float] = field(default_factory=dict)
    # Why a server has no numbers: it failed, or is not made for this model.
    failed: dict[str, str] = field(default_factory=dict)
    cannot: dict[str, str] = field(default_factory=dict)

    def select(
        self, peer: str, kind: str, connections: int, workers: int = 1, cpus: int | None = None
    ) -> list[Point]:
        """Give the points of one server under one load, a round each.

        `cpus`: as many cores as workers by default.
        """
        key = (peer, kind, connections, workers, cpus or workers)
        return [
            point
            for point in self.points
            if (point.peer, point.kind, point.connections, point.workers, point.cpus) == key
        ]

    def workers_ratio(self, value: str, connections: int) -> float | None:
        """Give the same for two workers of tabserve by one, single rows."""
        ratios = self.workers_ratios(value, connections)
        return median(ratios) if ratios else None

    def workers_ratios(self, value: str, connections: int) -> list[float]:
        """Give two workers of tabserve by one, single rows, of each round."""
        return _ratios(
            self.select("tabserve", "row", connections, 2),
            self.select("tabserve", "row", connections),
            value,
        )

    def ratio(self, value: str, peer: str, other: str, kind: str, connections: int) -> float | None:
        """Give the median, over rounds that both have, of one server's value by another's."""
        ratios = self.ratios(value, peer, other, kind, connections)
        return median(ratios) if ratios else None

    def ratios(
        self, value: str, peer: str, other: str, kind: str, connections: int, cpus: int = 1
    ) -> list[float]:
        """Give one server's value by another's, of each round that both have.

        The two of a round were measured within a minute or two of each other: what else
        the machine did falls on both.
        """
        return _ratios(
            self.select(peer, kind, connections, cpus=cpus),
            self.select(other, kind, connections, cpus=cpus),
            value,
        )


def _ratios(ours: list[Point], theirs: list[Point], value: str) -> list[float]:
    numbers = {point.round: getattr(point, value) for point in theirs}
    return [
        getattr(point, value) / numbers[point.round] for point in ours if numbers.get(point.round)
    ]


def save(measurements: Measurements, path: Path) -> None:
    """Write as JSON."""
    path.write_text(json.dumps(asdict(measurements), indent=1) + "\n")


def load(path: Path) -> Measurements:
    """Read what `save` wrote."""
    data = json.loads(path.read_text())
    # Runs of before had as many cores as workers.
    data["points"] = [Point(**{"cpus": point["workers"]} | point) for point in data["points"]]
    data["overloads"] = [Overload(**overload) for overload in data["overloads"]]
    data["logs"] = [Logged(**logged) for logged in data.get("logs", ())]
    data["starts"] = [Start(**start) for start in data["starts"]]
    return Measurements(**data)
