"""The report over all models of the zoo, from measurements alone: the worst model first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from loadtests.benchmark import zoo_loads
from loadtests.benchmark.measurement import Measurements
from loadtests.benchmark.report import table
from loadtests.benchmark.zoo_measures import LOG, MEASURES, RATIOS, SPEED, US, Measure

# Interrupts and the kernel's own threads take some; more is another program.
_MOST_OTHER_CORES = 0.10

_METHOD = """\
For each model: tabserve stripped (prediction log and access log off), tabserve as it comes
(both on, SQLite on the same core), a careful FastAPI server with the library that made the model
(strict pydantic, one thread, uvloop, httptools). One server at a time on one core, wrk (closed
loop) on another. Before its load each server's scores are compared with the model's own on
10,000 rows that training never saw, in batches of 1,000 and the first thousand one by one: to the
last bit, or it has no numbers. Ratios are those of answers a second within one round; above 1,
tabserve is better. Of several rounds the median stands first, then the range. CPU and memory are of
the whole process tree of a server, children that have ended included; no process of it may run on
another core.
"""
_TWO_WORKERS = """\
"Two workers by one" is twice the ratio of answers a core-second, stripped, on two cores, {load}.
"""
_LOG = """\
Tabserve as it comes beside tabserve stripped, of one round: what the prediction log and the access
log cost. An answer does not wait for the store, so a load ends with rows that are on their way.
"Delivery included" counts the seconds after the load, too, until the last row was in the store, and
the added CPU is that of all processes until then. With a second core both servers may use two
cores, {load}.
"""


def render(found: Mapping[str, Measurements], pictures: Sequence[str]) -> str:
    """Render the report as Markdown."""
    found = {name: measured for name, measured in found.items() if measured.points}
    if not found:
        return "# The zoo\n\nNothing was measured.\n"
    first = next(iter(found.values()))
    about = ("model", "engine", "flavor", "task", "features", "second core")
    shared = [pair for pair in first.environment.items() if pair[0] not in about]
    load = first.environment.get("second core", "which this run has not measured")
    names = worst_first(found)
    is_twice = any(point.workers == 2 for one in found.values() for point in one.points)
    parts = [
        "# Every model of the zoo",
        table(("", ""), shared),
        f"```\n{first.command}\n```",
        _METHOD,
        *_disturbed(found),
        "## Worst to best",
        "Goals are in the second line; **bold** is missed.",
        _measures(found, names, SPEED),
        *([_TWO_WORKERS.format(load=load)] if is_twice else []),
        "## What the logs cost",
        _LOG.format(load=load),
        _measures(found, names, LOG),
        "## The range",
        _range(found),
        *(f"![{picture}]({picture})" for picture in pictures),
        *zoo_loads.by_peer(found),
        "## The models",
        _models(found, names),
        *zoo_loads.deliveries(found, names),
        "## All loads, losing rows first",
        zoo_loads.loads(found),
        *_failed(found),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def worst_first(found: Mapping[str, Measurements]) -> list[str]:
    """The models by the least of their four ratios to the peer; those without one last."""

    def least(name: str) -> float:
        ratios = [measure.find(found[name]) for measure in RATIOS]
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


def _measures(
    found: Mapping[str, Measurements], names: Sequence[str], measures: Sequence[Measure]
) -> str:
    measures = [
        measure
        for measure in measures
        if any(measure.find(one) is not None for one in found.values())
    ]
    if not measures:
        return "Not measured."
    rows = [
        (
            name,
            found[name].environment.get("engine", "-"),
            *(measure.describe(found[name]) for measure in measures),
        )
        for name in names
    ]
    head = ("model", "engine", *(measure.title for measure in measures))
    return table(head, [("*goal*", "accelerated", *(one.bound for one in measures)), *rows])


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
        kept = "-" if measure.goal is None else f"{met} of {len(values)}"
        rows.append((measure.title, ends[0], middle, ends[1], kept))
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


def _failed(found: Mapping[str, Measurements]) -> list[str]:
    rows = [
        (name, peer, what, reason.replace("\n", " ")[:300])
        for name, measured in found.items()
        for what, reasons in (("failed", measured.failed), ("cannot serve it", measured.cannot))
        for peer, reason in reasons.items()
    ]
    if not rows:
        return []
    return ["## Servers without numbers", table(("model", "server", "", "why"), rows)]
