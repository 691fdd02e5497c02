"""The targets that the benchmark is held to, and whether a run met them.

All of them are ratios within one run, except the limits on start and memory, which are
what a cluster's probes and requests are set from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from loadtests.measurement import Measurements

Found = float | None


@dataclass(frozen=True)
class Target:
    """One target: what is found in a run, and the bound it must keep."""

    text: str
    find: Callable[[Measurements], Found]
    at_least: float | None = None
    at_most: float | None = None
    form: str = "{:.2f}"


def _ratio(value: str, other: str, kind: str, connections: int) -> Callable[[Measurements], Found]:
    return lambda measured: measured.ratio(value, "tabserve", other, kind, connections)


def _tail(connections: int) -> Callable[[Measurements], Found]:
    def find(measured: Measurements) -> Found:
        points = measured.select("tabserve", "row", connections)
        return median(p.p99 / p.p50 for p in points) if points else None

    return find


def _start(measured: Measurements) -> Found:
    seconds = [start.seconds for start in measured.starts if start.peer == "tabserve"]
    return median(seconds) if seconds else None


def _memory(measured: Measurements) -> Found:
    sizes = [p.largest_rss_bytes for p in measured.points if p.peer == "tabserve"]
    return max(sizes) / 1e6 if sizes else None


TARGETS = (
    Target(
        "one row, 32 connections: at least 3.0 times FastAPI's requests/s",
        _ratio("per_second", "fastapi", "row", 32),
        at_least=3.0,
    ),
    Target(
        "one row, 32 connections: at least 10 times stock BentoML's",
        _ratio("per_second", "bentoml-stock", "row", 32),
        at_least=10.0,
    ),
    Target(
        "stretch: at least 0.45 of the same uvicorn doing nothing",
        _ratio("per_second", "floor", "row", 32),
        at_least=0.45,
    ),
    Target("32 connections: p99 at most 2 times p50", _tail(32), at_most=2.0),
    Target(
        "one row, 1 connection: p50 at most 0.75 of FastAPI's",
        _ratio("p50", "fastapi", "row", 1),
        at_most=0.75,
    ),
    Target("1 connection: p99 at most 4 times p50", _tail(1), at_most=4.0),
    Target(
        "1,000 rows a request: at least 3.0 times FastAPI's rows/s",
        _ratio("per_second", "fastapi", "batch", 1),
        at_least=3.0,
    ),
    Target("cold start to ready under 5 s", _start, at_most=5.0, form="{:.1f} s"),
    Target("a worker under 250 MB resident", _memory, at_most=250.0, form="{:.0f} MB"),
)


def judge(measured: Measurements) -> Iterator[tuple[Target, str, bool | None]]:
    """Give each target, what was found, and whether it was met; None where not measured."""
    for target in TARGETS:
        found = target.find(measured)
        if found is None:
            yield target, "-", None
            continue
        is_low = target.at_least is not None and found < target.at_least
        is_high = target.at_most is not None and found > target.at_most
        yield target, target.form.format(found), not (is_low or is_high)
