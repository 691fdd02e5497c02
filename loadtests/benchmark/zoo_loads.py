"""Tables of the zoo's report that go load by load: all of them, by peer, and into the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from loadtests.benchmark.measurement import Measurements, Point
from loadtests.benchmark.report import table
from loadtests.benchmark.zoo_measures import DEFAULTS, PEER, US

_DELIVERIES = """\
Rows that were not in the store when a load ended, the age of the oldest as the service said it, and
how long it took until all of them were there; the most of all rounds. "Rows" are those of one load.
"""
_WHOLE = """\
Rows in the store's file at the end of each visit, beside the rows that clients had an answer for
and those that the service says it scored. A closed loop that is stopped leaves requests under way:
they are scored, and no client counts them. Any other difference ends the run with exit code 1.
"""


def loads(found: Mapping[str, Measurements]) -> str:
    """Every load of every server, medians over the rounds, those that lose to FastAPI first."""
    lines = []
    for name, measured in found.items():
        for points in _grouped(measured):
            first = points[0]
            ratio = (
                measured.ratio("per_second", first.peer, PEER, first.kind, first.connections)
                if first.cpus == 1
                else None
            )
            cells = (
                *(name, _title(first), first.kind, str(first.connections)),
                f"{_middle(points, lambda p: p.per_second * p.rows):,.0f}",
                "-" if ratio is None else f"{ratio:.2f}",
                f"{_middle(points, lambda p: p.p50):.2f}",
                f"{_middle(points, lambda p: p.p99):.2f}",
                str(sum(point.failures for point in points)),
                f"{_middle(points, lambda p: p.cores):.2f}",
                f"{_middle(points, lambda p: p.load_cores):.2f}",
                f"{max(point.other_cores for point in points):.2f}",
                f"{_middle(points, lambda p: p.rss_bytes) / 1e6:,.0f}",
            )
            is_ours = first.peer.startswith(US)
            lines.append((not is_ours, 9e9 if ratio is None else ratio, cells))
    head = (
        *("model", "server", "kind", "connections", "rows/s", "to FastAPI", "p50 ms", "p99 ms"),
        *("failures", "cores", "load's cores", "others on its core", "memory MB"),
    )
    return table(head, [cells for _, _, cells in sorted(lines)])


def by_peer(found: Mapping[str, Measurements]) -> list[str]:
    """How tabserve stands beside each other server, model by model, the worst first."""
    rows = []
    peers = dict.fromkeys(point.peer for measured in found.values() for point in measured.points)
    for peer in peers:
        if peer.startswith(US):
            continue
        for name, measured in found.items():
            ratios = [
                measured.ratio("per_second", us, peer, kind, connections)
                for kind, connections in (("row", 32), ("batch", 1))
                for us in (DEFAULTS, US)
            ]
            known = [ratio for ratio in ratios if ratio is not None]
            if known:
                cells = ("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
                rows.append((min(known), (name, peer, *cells)))
    if not rows:
        return []
    head = (
        *("model", "server", "rows, 32 connections, defaults", "stripped"),
        *("1,000 rows of JSON, defaults", "stripped"),
    )
    return ["## Beside each server, worst first", table(head, [cells for _, cells in sorted(rows)])]


def deliveries(found: Mapping[str, Measurements], names: Sequence[str]) -> list[str]:
    """What was left to do for the log after each load, and whether every row is in it."""
    waits = [
        (
            *(name, _title(points[0]), points[0].kind, str(points[0].connections)),
            f"{_middle(points, lambda p: p.per_second * p.seconds * p.rows):,.0f}",
            f"{max(point.waiting_rows for point in points):,}",
            f"{max(point.oldest_seconds for point in points):.2f}",
            f"{max(point.drain_seconds for point in points):.2f}",
        )
        for name in names
        for points in _grouped(found[name])
        if points[0].peer in {logged.peer for logged in found[name].logs}
    ]
    whole = [
        (
            *(name, logged.peer, str(logged.round + 1), str(logged.cpus)),
            *(f"{logged.answered:,}", f"{logged.cut_off:,}", f"{logged.scored:,}"),
            *(f"{logged.dropped:,}", f"{logged.stored:,}"),
            "yes" if logged.is_whole else "**no**",
        )
        for name in names
        for logged in found[name].logs
    ]
    if not whole:
        return []
    head = (
        *("model", "server", "kind", "connections", "rows", "waiting at its end"),
        *("oldest, s", "in the store after, s"),
    )
    whole_head = (
        *("model", "server", "round", "cores", "answered", "under way at most", "scored"),
        *("dropped", "in the store", "every row"),
    )
    return [
        "## The log after each load",
        _DELIVERIES,
        table(head, waits),
        "## Every row in the log",
        _WHOLE,
        table(whole_head, whole),
    ]


def _title(point: Point) -> str:
    more = f", {point.workers} workers" if point.workers > 1 else ""
    return f"{point.peer}{more}{', second core' if point.cpus > point.workers else ''}"


def _grouped(measured: Measurements) -> Iterator[list[Point]]:
    groups: dict[tuple[object, ...], list[Point]] = {}
    for point in measured.points:
        key = (point.peer, point.kind, point.connections, point.workers, point.cpus)
        groups.setdefault(key, []).append(point)
    yield from groups.values()


def _middle(points: Sequence[Point], value: Callable[[Point], float]) -> float:
    return median(value(point) for point in points)
