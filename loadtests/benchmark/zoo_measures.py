"""What is found of each model of the zoo, and the goal that it is held to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from loadtests.benchmark.measurement import Measurements

US, DEFAULTS, PEER = "tabserve", "tabserve-defaults", "fastapi"

# A value of each round.
Find = Callable[[Measurements], list[float]]


@dataclass(frozen=True)
class Measure:
    """One column. `goal`: what the median over the rounds is held to; None where nothing is."""

    title: str
    find_all: Find
    goal: float | None = None
    is_least: bool = False
    form: str = "{:.2f}"

    def find(self, measured: Measurements) -> float | None:
        """Give the median over the rounds; None where it was not measured."""
        values = self.find_all(measured)
        return median(values) if values else None

    def is_met(self, found: float) -> bool:
        """Whether a value keeps the goal."""
        if self.goal is None:
            return True
        return found >= self.goal if self.is_least else found <= self.goal

    def describe(self, measured: Measurements) -> str:
        """Write the median, bold where it misses the goal, and the range of several rounds."""
        values = self.find_all(measured)
        if not values:
            return "-"
        text = self.form.format(median(values))
        text = text if self.is_met(median(values)) else f"**{text}**"
        if len(values) == 1:
            return text
        ends = " to ".join(self.form.format(value) for value in (min(values), max(values)))
        return f"{text} ({ends})"

    @property
    def bound(self) -> str:
        """The goal in words."""
        if self.goal is None:
            return "-"
        return f"{'at least' if self.is_least else 'at most'} {self.goal:g}"


def _ratio(us: str, kind: str, connections: int) -> Find:
    return lambda measured: measured.ratios("per_second", us, PEER, kind, connections)


def _tail(connections: int) -> Find:
    return lambda measured: [
        point.p99 / point.p50 for point in measured.select(DEFAULTS, "row", connections)
    ]


def _lost(kind: str, connections: int, *, value: str = "per_second", cpus: int = 1) -> Find:
    """How many per cent of the answers both logs cost."""
    return lambda measured: [
        100 * (1 - kept) for kept in measured.ratios(value, DEFAULTS, US, kind, connections, cpus)
    ]


def _added(kind: str, connections: int) -> Find:
    """How many CPU microseconds both logs add to a row, wherever in the process tree."""

    def find(measured: Measurements) -> list[float]:
        plain = {point.round: point for point in measured.select(US, kind, connections)}
        return [
            point.cpu_us_a_row - plain[point.round].cpu_us_a_row
            for point in measured.select(DEFAULTS, kind, connections)
            if point.round in plain
        ]

    return find


def _start(measured: Measurements) -> list[float]:
    return [start.seconds for start in measured.starts if start.peer == DEFAULTS]


def _memory(value: str) -> Find:
    def find(measured: Measurements) -> list[float]:
        sizes: dict[int, float] = {}
        for point in measured.points:
            if point.peer == DEFAULTS and point.cpus == 1:
                size = getattr(point, value) / 1e6
                sizes[point.round] = max(size, sizes.get(point.round, 0.0))
        return list(sizes.values())

    return find


def _two_workers(measured: Measurements) -> list[float]:
    return [2 * ratio for ratio in measured.workers_ratios("a_core_second", 32)]


RATIOS = (
    Measure("rows, 32 connections, defaults", _ratio(DEFAULTS, "row", 32), 2.5, is_least=True),
    Measure("rows, 32 connections, stripped", _ratio(US, "row", 32), 3.0, is_least=True),
    Measure("1,000 rows of JSON, defaults", _ratio(DEFAULTS, "batch", 1), 2.0, is_least=True),
    Measure("1,000 rows of JSON, stripped", _ratio(US, "batch", 1), 3.0, is_least=True),
)
SPEED = (
    *RATIOS,
    Measure("p99/p50, 32 connections, defaults", _tail(32), 2.0),
    Measure("p99/p50, 1 connection, defaults", _tail(1), 4.0),
    Measure("cold start, s", _start, 4.0, form="{:.1f}"),
    Measure("largest process, MB", _memory("largest_rss_bytes"), 130.0, form="{:.0f}"),
    Measure("all processes, MB", _memory("rss_bytes"), form="{:.0f}"),
    Measure("two workers by one", _two_workers, 1.85, is_least=True),
)
_WHOLE = "{:.0f}"
LOG = (
    Measure("rows lost, %", _lost("row", 32), 10.0, form=_WHOLE),
    Measure(
        "rows lost, %, delivery included",
        _lost("row", 32, value="delivered_per_second"),
        10.0,
        form=_WHOLE,
    ),
    Measure("rows, added CPU us", _added("row", 32), form="{:.1f}"),
    Measure("batches lost, %", _lost("batch", 1), 35.0, form=_WHOLE),
    Measure(
        "batches lost, %, delivery included",
        _lost("batch", 1, value="delivered_per_second"),
        35.0,
        form=_WHOLE,
    ),
    Measure("batches, added CPU us a row", _added("batch", 1), form="{:.1f}"),
    Measure("rows lost, %, second core", _lost("row", 32, cpus=2), 5.0, form=_WHOLE),
    Measure("batches lost, %, second core", _lost("batch", 1, cpus=2), 15.0, form=_WHOLE),
    Measure(
        "batches lost, %, second core, delivery included",
        _lost("batch", 1, value="delivered_per_second", cpus=2),
        15.0,
        form=_WHOLE,
    ),
)
MEASURES = (*SPEED, *LOG)
