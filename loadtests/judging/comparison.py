"""Profiles (`profiles.yaml`) and what a comparison of them found, as data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from loadtests.peers.catalogue import BY_NAME
from loadtests.session import read_passages
from loadtests.traffic.recorder import Passage

FILE = Path(__file__).with_name("profiles.yaml")
# The pairs that show what batching does: without, with.
BATCHING = (("plain", "batching"), ("all-but-batching", "all"))

Value = Callable[[Passage], float]


@dataclass(frozen=True)
class Profile:
    """One way to run a server, and the one that it is measured against."""

    name: str
    server: str
    what: str
    against: str = ""
    settings: dict[str, str] = field(default_factory=dict)


@dataclass
class Run:
    """One profile under the plan in one round."""

    profile: str
    round: int
    ready_seconds: float
    passages: list[Passage]


@dataclass
class Comparison:
    """Everything that one comparison found.

    `differences`: the largest difference of a score from the model's own, by profile.
    `failed`: why a profile has no numbers.
    """

    environment: dict[str, str]
    command: str
    plan: str
    profiles: list[Profile]
    runs: list[Run] = field(default_factory=list)
    differences: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def stages(self) -> list[Passage]:
        """Give one passage of each measured stage, in the order of the plan."""
        found: dict[str, Passage] = {}
        for run in self.runs:
            for passage in run.passages:
                if passage.is_measured:
                    found.setdefault(passage.stage, passage)
        # A slow profile leaves out stages in the middle of nothing: closed ones come first.
        return sorted(found.values(), key=lambda p: (p.rate, p.users))

    def select(self, profile: str, stage: str) -> dict[int, Passage]:
        """Give a profile's passages through one stage, by round."""
        return {
            run.round: passage
            for run in self.runs
            if run.profile == profile
            for passage in run.passages
            if passage.stage == stage
        }

    def middle(self, profile: str, stage: str, value: Value) -> float | None:
        """Give the median of a value over the rounds; None where there is none."""
        values = [value(passage) for passage in self.select(profile, stage).values()]
        return median(values) if values else None

    def ratios(self, profile: str, other: str, stage: str, value: Value) -> list[float]:
        """Give one profile's value by another's in each round that both have, in order of size."""
        ours, theirs = self.select(profile, stage), self.select(other, stage)
        pairs = [(value(ours[r]), value(theirs[r])) for r in ours.keys() & theirs.keys()]
        return sorted(one / another for one, another in pairs if another > 0)


def per_second(passage: Passage) -> float:
    """Give good answers a second."""
    return passage.per_second


def a_core_second(passage: Passage) -> float:
    """Give good answers for each CPU second of the server."""
    return passage.per_second / passage.cores if passage.cores > 0 else 0.0


def p50(passage: Passage) -> float:
    """Give the median latency of single rows, milliseconds."""
    return _latency(passage, "p50")


def p95(passage: Passage) -> float:
    """Give the 95th percentile, milliseconds."""
    return _latency(passage, "p95")


def p99(passage: Passage) -> float:
    """Give the 99th percentile, milliseconds."""
    return _latency(passage, "p99")


def memory(passage: Passage) -> float:
    """Give the most that the server held, bytes."""
    return passage.rss_bytes


def _latency(passage: Passage, name: str) -> float:
    tally = passage.tallies.get("predict")
    value: float = getattr(tally, name) if tally else 0.0
    # Not a number where nothing was answered well: nothing to divide by, either.
    return value if value == value else 0.0  # noqa: PLR0124


def read(path: Path = FILE) -> list[Profile]:
    """Read profiles. Raises ValueError, TypeError for what is none."""
    profiles = [Profile(**entry) for entry in yaml.safe_load(path.read_text())]
    seen: set[str] = set()
    for profile in profiles:
        if profile.name in seen or profile.server not in BY_NAME:
            raise ValueError(f"{profile.name}: twice, or no server {profile.server}")
        if profile.against and profile.against not in seen:
            raise ValueError(f"{profile.name}: {profile.against} does not come before it")
        if not all(isinstance(value, str) for value in profile.settings.values()):
            raise ValueError(f"{profile.name}: settings are text, in quotes")
        seen.add(profile.name)
    return profiles


def save(comparison: Comparison, path: Path) -> None:
    """Write as JSON."""
    path.write_text(json.dumps(asdict(comparison), indent=1) + "\n")


def load(path: Path) -> Comparison:
    """Read what `save` wrote."""
    data: dict[str, Any] = json.loads(path.read_text())
    data["profiles"] = [Profile(**profile) for profile in data["profiles"]]
    data["runs"] = [
        Run(**{**run, "passages": read_passages(run["passages"])}) for run in data["runs"]
    ]
    return Comparison(**data)
