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


@dataclass(frozen=True)
class Start:
    """One cold start: seconds until the server said that it is ready."""

    peer: str
    round: int
    seconds: float


@dataclass
class Measurements:
    """Everything that one run of the benchmark found."""

    environment: dict[str, str]
    command: str
    points: list[Point] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    # The largest difference of a score from the model's own, by server and kind.
    differences: dict[str, float] = field(default_factory=dict)
    # Why a server has no numbers.
    failed: dict[str, str] = field(default_factory=dict)

    def select(self, peer: str, kind: str, connections: int, workers: int = 1) -> list[Point]:
        """Give the points of one server under one load, a round each."""
        return [
            point
            for point in self.points
            if (point.peer, point.kind, point.connections, point.workers)
            == (peer, kind, connections, workers)
        ]

    def ratio(self, value: str, peer: str, other: str, kind: str, connections: int) -> float | None:
        """Give the median, over rounds that both have, of one server's value by another's.

        The two of a round were measured within a minute or two of each other: what else
        the machine did falls on both.
        """
        ours = {p.round: getattr(p, value) for p in self.select(peer, kind, connections)}
        theirs = {p.round: getattr(p, value) for p in self.select(other, kind, connections)}
        ratios = [ours[r] / theirs[r] for r in ours.keys() & theirs.keys() if theirs[r]]
        return median(ratios) if ratios else None


def save(measurements: Measurements, path: Path) -> None:
    """Write as JSON."""
    path.write_text(json.dumps(asdict(measurements), indent=1) + "\n")


def load(path: Path) -> Measurements:
    """Read what `save` wrote."""
    data = json.loads(path.read_text())
    data["points"] = [Point(**point) for point in data["points"]]
    data["starts"] = [Start(**start) for start in data["starts"]]
    return Measurements(**data)
