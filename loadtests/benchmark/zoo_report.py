"""The report over all models of the zoo, from measurements alone: the worst model first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from loadtests.benchmark.measurement import Measurements
from loadtests.benchmark.report import table

US, DEFAULTS, PEER = "tabserve", "tabserve-defaults", "fastapi"
# Interrupts and the kernel's own threads take some; more is another program.
_MOST_OTHER_CORES = 0.10

_METHOD = """\
For each model: tabserve stripped (prediction log and access log off), tabserve as it comes
(both on, SQLite on the same core), a careful FastAPI server with the library that made the model
(strict pydantic, one thread, uvloop, httptools). One server at a time on one core, wrk (closed
loop) on another. Before its load each server's scores are compared with the model's own on
10,000 rows that training never saw: to the last bit, or it has no numbers. Ratios are those of
answers a second within one round; above 1, tabserve is better.
"""


@dataclass(frozen=True)
class Measure:
    """One column: what is found of a model, and the goal that it is held to."""

    title: str
    find: Callable[[Measurements], float | None]
    goal: float
    is_least: bool = True
    form: str = "{:.2f}"

    def is_met(self, found: float) -> bool:
        """Whether a value keeps the goal."""
        return found >= self.goal if self.is_least else found <= self.goal


def _ratio(us: str, kind: str, connections: int) -> Callable[[Measurements], float | None]:
    return lambda measured: measured.ratio("per_second", us, PEER, kind, connections)


def _tail(connections: int) -> Callable[[Measurements], float | None]:
    def find(measured: Measurements) -> float | None:
        points = measured.select(DEFAULTS, "row", connections)
        return median(point.p99 / point.p50 for point in points) if points else None

    return find


def _lost(kind: str, connections: int) -> Callable[[Measurements], float | None]:
    """How many per cent of the answers both logs cost."""

    def find(measured: Measurements) -> float | None:
        kept = measured.ratio("per_second", DEFAULTS, US, kind, connections)
        return None if kept is None else 100 * (1 - kept)

    return find


def _start(measured: Measurements) -> float | None:
    seconds = [start.seconds for start in measured.starts if start.peer == DEFAULTS]
    return median(seconds) if seconds else None


def _memory(measured: Measurements) -> float | None:
    sizes = [point.largest_rss_bytes for point in measured.points if point.peer == DEFAULTS]
    return max(sizes) / 1e6 if sizes else None


MEASURES = (
    Measure("rows, 32 connections, defaults", _ratio(DEFAULTS, "row", 32), 2.5),
    Measure("the same, stripped", _ratio(US, "row", 32), 3.0),
    Measure("1,000 rows of JSON, defaults", _ratio(DEFAULTS, "batch", 1), 2.0),
    Measure("the same, stripped", _ratio(US, "batch", 1), 3.0),
    Measure("p99/p50, 32 connections, defaults", _tail(32), 2.0, is_least=False),
    Measure("p99/p50, 1 connection, defaults", _tail(1), 4.0, is_least=False),
    Measure("both logs cost rows, %", _lost("row", 32), 10.0, is_least=False, form="{:.0f}"),
    Measure("both logs cost batches, %", _lost("batch", 1), 35.0, is_least=False, form="{:.0f}"),
    Measure("cold start, s", _start, 4.0, is_least=False, form="{:.1f}"),
    Measure("largest process, MB", _memory, 130.0, is_least=False, form="{:.0f}"),
)


def render(found: Mapping[str, Measurements], pictures: Sequence[str]) -> str:
    """Render the report as Markdown."""
    found = {name: measured for name, measured in found.items() if measured.points}
    if not found:
        return "# The zoo\n\nNothing was measured.\n"
    first = next(iter(found.values()))
    about = ("model", "engine", "flavor", "task", "features")
    shared = [pair for pair in first.environment.items() if pair[0] not in about]
    names = worst_first(found)
    parts = [
        "# Every model of the zoo",
        table(("", ""), shared),
        f"```\n{first.command}\n```",
        _METHOD,
        *_disturbed(found),
        "## Worst to best",
        "Goals are in the second line; **bold** is missed.",
        _ratios(found, names),
        "## The range",
        _range(found),
        *(f"![{picture}]({picture})" for picture in pictures),
        "## The models",
        _models(found, names),
        "## All loads, losing rows first",
        _loads(found),
        *_failed(found),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def worst_first(found: Mapping[str, Measurements]) -> list[str]:
    """The models by the least of their four ratios to the peer; those without one last."""

    def least(name: str) -> float:
        ratios = [measure.find(found[name]) for measure in MEASURES[:4]]
        return min((ratio for ratio in ratios if ratio is not None), default=float("inf"))

    return sorted(found, key=least)


def _disturbed(found: Mapping[str, Measurements]) -> list[str]:
    worst = max(point.other_cores for measured in found.values() for point in measured.points)
    if worst <= _MOST_OTHER_CORES:
        return []
    return [
        f"**Not for publication: other work took up to {worst:.0%} of the server's core.** "
        "Absolute numbers are too low by as much, and ratios are uncertain."
    ]


def _cell(measure: Measure, value: float | None) -> str:
    if value is None:
        return "-"
    text = measure.form.format(value)
    return text if measure.is_met(value) else f"**{text}**"


def _ratios(found: Mapping[str, Measurements], names: Sequence[str]) -> str:
    signs = [
        f"{'at least' if measure.is_least else 'at most'} {measure.goal:g}" for measure in MEASURES
    ]
    rows = [
        (
            name,
            found[name].environment.get("engine", "-"),
            *(_cell(measure, measure.find(found[name])) for measure in MEASURES),
        )
        for name in names
    ]
    head = ("model", "engine", *(measure.title for measure in MEASURES))
    return table(head, [("*goal*", "accelerated", *signs), *rows])


def _range(found: Mapping[str, Measurements]) -> str:
    rows = []
    for measure in MEASURES:
        values = {
            name: value
            for name, measured in found.items()
            if (value := measure.find(measured)) is not None
        }
        if not values:
            continue
        ordered = sorted(values, key=values.__getitem__, reverse=not measure.is_least)
        met = sum(measure.is_met(value) for value in values.values())
        ends = [f"{measure.form.format(values[n])} ({n})" for n in (ordered[0], ordered[-1])]
        middle = measure.form.format(median(values.values()))
        rows.append((measure.title, ends[0], middle, ends[1], f"{met} of {len(values)}"))
    return table(("", "worst", "median", "best", "goal met"), rows)


def _models(found: Mapping[str, Measurements], names: Sequence[str]) -> str:
    keys = ("model", "flavor", "task", "features", "engine")
    rows = [
        (name, *(found[name].environment.get(key, "-") for key in keys), _differences(found[name]))
        for name in names
    ]
    return table(("name", *keys, "largest score difference"), rows)


def _differences(measured: Measurements) -> str:
    values = [value for key, value in measured.differences.items() if key.startswith(US)]
    return f"{max(values):g}" if values else "-"


def _loads(found: Mapping[str, Measurements]) -> str:
    lines = []
    for name, measured in found.items():
        for point in measured.points:
            ratio = measured.ratio("per_second", point.peer, PEER, point.kind, point.connections)
            cells = (
                *(name, point.peer, point.kind, str(point.connections)),
                f"{point.per_second * point.rows:,.0f}",
                "-" if ratio is None else f"{ratio:.2f}",
                *(f"{value:.2f}" for value in (point.p50, point.p99)),
                *(str(point.failures), f"{point.cores:.2f}", f"{point.other_cores:.2f}"),
                f"{point.rss_bytes / 1e6:,.0f}",
            )
            is_ours = point.peer.startswith(US)
            lines.append((not is_ours, 9e9 if ratio is None else ratio, cells))
    head = (
        *("model", "server", "kind", "connections", "rows/s", "to FastAPI", "p50 ms", "p99 ms"),
        *("failures", "cores", "others on its core", "memory MB"),
    )
    return table(head, [cells for _, _, cells in sorted(lines)])


def _failed(found: Mapping[str, Measurements]) -> list[str]:
    rows = [
        (name, peer, reason.replace("\n", " ")[:300])
        for name, measured in found.items()
        for peer, reason in measured.failed.items()
    ]
    if not rows:
        return []
    return ["## Servers without numbers", table(("model", "server", "why"), rows)]
