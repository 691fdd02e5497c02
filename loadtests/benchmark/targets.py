"""The targets that the benchmark is held to, and whether a run met them.

All of them are ratios within one run, except the limits on start and memory, which are
what a cluster's probes and requests are set from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from loadtests.benchmark.measurement import Measurements, Overload

Found = float | None


@dataclass(frozen=True)
class Target:
    """One target: what is found in a run, and the bound it must keep."""

    text: str
    find: Callable[[Measurements], Found]
    at_least: float | None = None
    at_most: float | None = None
    form: str = "{:.2f}"


def _ratio(
    value: str, other: str, kind: str, connections: int, us: str = "tabserve"
) -> Callable[[Measurements], Found]:
    return lambda measured: measured.ratio(value, us, other, kind, connections)


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


def _two_workers(measured: Measurements) -> Found:
    """Give what two workers would answer by one, had they two cores for themselves.

    Twice the answers a core-second: where the generator shares their cores, requests/s
    say how the three of them divide two cores, not how workers scale.
    """
    found = measured.workers_ratio("a_core_second", 32)
    return None if found is None else 2 * found


def _overload(
    kind: str, multiple: float, value: Callable[[Overload], float]
) -> Callable[[Measurements], Found]:
    def find(measured: Measurements) -> Found:
        found = [
            value(overload)
            for overload in measured.overloads
            if (overload.kind, overload.multiple) == (kind, multiple) and overload.is_reached
        ]
        return median(found) if found else None

    return find


def _overload_targets(kind: str, multiple: float, name: str) -> tuple[Target, ...]:
    return (
        Target(
            f"{name} at {multiple:g} times the peak: accepted at least 0.8 of the peak",
            _overload(kind, multiple, lambda o: o.accepted_per_second / o.peak),
            at_least=0.8,
        ),
        Target(
            f"{name} at {multiple:g} times the peak: p99 of accepted within the timeout",
            _overload(kind, multiple, lambda o: o.accepted_p99 / o.timeout_ms),
            at_most=1.0,
            form="{:.2f} of it",
        ),
        Target(
            f"{name} at {multiple:g} times the peak: the rest told when to come again",
            _overload(kind, multiple, lambda o: o.retry_after / o.shed if o.shed else 0.0),
            at_least=1.0,
        ),
    )


TARGETS = (
    Target(
        "one row, 32 connections: at least 3.0 times FastAPI's requests/s",
        _ratio("per_second", "fastapi", "row", 32),
        at_least=3.0,
    ),
    Target(
        "one row as tensors, 32 connections: at least 3.0 times MLServer's requests/s",
        _ratio("per_second", "mlserver", "row", 32, us="tabserve-v2"),
        at_least=3.0,
    ),
    Target(
        "one row as tensors, 1 connection: at least 3.0 times MLServer's requests/s",
        _ratio("per_second", "mlserver", "row", 1, us="tabserve-v2"),
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
    Target(
        "one row, 32 connections: with every answer logged at least 0.85 of without",
        _ratio("per_second", "tabserve", "row", 32, us="tabserve-log"),
        at_least=0.85,
    ),
    Target(
        "1,000 rows a request: with every answer logged at least 0.85 of without",
        _ratio("per_second", "tabserve", "batch", 1, us="tabserve-log"),
        at_least=0.85,
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
    Target(
        "two workers: at least 1.7 times one, by answers a core-second",
        _two_workers,
        at_least=1.7,
    ),
    Target(
        "6,000 connections always asking for a row: accepted at least 0.8 of the peak",
        _overload("flood", 0.0, lambda o: o.accepted_per_second / o.peak),
        at_least=0.8,
    ),
    *_overload_targets("row", 2.0, "rows"),
    *_overload_targets("row", 4.0, "rows"),
    *_overload_targets("batch", 4.0, "batches of 1,000"),
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
