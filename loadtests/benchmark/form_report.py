"""What each form of a request costs, as ratios to a JSON batch of the same run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from loadtests.benchmark.report import table
from loadtests.traffic.forms import BASE, FORMS

# Interrupts and the kernel's own threads take some; more is another program.
_MOST_OTHER_CORES = 0.10

_METHOD = """\
One tabserve at a time on one core, wrk (closed loop, one connection) on another. Every form sends
the same rows: 1,000 a request, where its name says nothing else. Before its load the scores of ten
bodies are compared with the model's own, to the last bit; MLflow's CSV and Parquet cannot ask for
probabilities, so of a classifier their answers are counted. The ratio is that of rows a second to
JSON batches of the same server, model and round: below 1, the form is dearer. An explanation runs
on a thread that gives way to everything else. The server runs in the project's development
environment, which has pyarrow, and not in that of the other benchmarks.
"""


@dataclass(frozen=True)
class FormPoint:
    """One form of one model on one server in one round.

    `per_second`: good answers. `rows`, `body_bytes`: of a request. Latencies in milliseconds.
    CPU seconds a second: `cores` of the server, `other_cores` of all else on its core.
    """

    model: str
    server: str
    form: str
    round: int
    rows: int
    body_bytes: int
    per_second: float
    p50: float
    p99: float
    failures: int
    cores: float
    other_cores: float

    @property
    def rows_per_second(self) -> float:
        """Rows of good answers."""
        return self.per_second * self.rows

    @property
    def cpu_us_a_row(self) -> float:
        """CPU microseconds of the server for a row."""
        return self.cores / self.rows_per_second * 1e6 if self.rows_per_second else 0.0


@dataclass
class Forms:
    """Everything that one run found. `failed`: why a form of a model and server has no numbers."""

    environment: dict[str, str]
    command: str
    points: list[FormPoint] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def ratio(self, model: str, server: str, form: str) -> float | None:
        """The median, over rounds, of a form's rows a second by those of JSON batches."""
        base = {p.round: p.rows_per_second for p in self.select(model, server, BASE)}
        ratios = [
            point.rows_per_second / base[point.round]
            for point in self.select(model, server, form)
            if base.get(point.round)
        ]
        return median(ratios) if ratios else None

    def select(self, model: str, server: str, form: str) -> list[FormPoint]:
        """The points of one form, a round each."""
        key = (model, server, form)
        return [p for p in self.points if (p.model, p.server, p.form) == key]


def render(found: Forms) -> str:
    """Render the report as Markdown."""
    parts = [
        "# What each form of a request costs",
        table(("", ""), found.environment.items()),
        f"```\n{found.command}\n```",
        _METHOD.strip(),
        *_disturbed(found),
    ]
    for server in dict.fromkeys(point.server for point in found.points):
        parts += [f"## {server}: rows a second, to those of JSON batches", _ratios(found, server)]
    parts += ["## All of them, the dearest first", _all(found)]
    if found.failed:
        parts += ["## Without numbers", table(("what", "why"), found.failed.items())]
    return "\n\n".join(parts) + "\n"


def _disturbed(found: Forms) -> list[str]:
    worst = max((point.other_cores for point in found.points), default=0.0)
    if worst <= _MOST_OTHER_CORES:
        return []
    return [f"**Not for publication: other work took up to {worst:.0%} of the server's core.**"]


def _ratios(found: Forms, server: str) -> str:
    models = list(dict.fromkeys(point.model for point in found.points))
    rows = []
    for form in FORMS:
        ratios = [found.ratio(model, server, form.name) for model in models]
        if any(ratio is not None for ratio in ratios):
            rows.append((form.name, *("-" if r is None else f"{r:.3g}" for r in ratios)))
    return table(("form", *models), rows)


def _all(found: Forms) -> str:
    lines = []
    for key in dict.fromkeys((p.model, p.server, p.form) for p in found.points):
        points, ratio = found.select(*key), found.ratio(*key)
        cells = (
            *key,
            _middle([point.rows_per_second for point in points], "{:,.0f}"),
            "-" if ratio is None else f"{ratio:.3g}",
            f"{points[0].body_bytes / 1e3:,.1f}",
            _middle([point.p50 for point in points], "{:.2f}"),
            _middle([point.p99 for point in points], "{:.2f}"),
            str(sum(point.failures for point in points)),
            _middle([point.cores for point in points], "{:.2f}"),
            _middle([point.cpu_us_a_row for point in points], "{:,.1f}"),
        )
        lines.append((9e9 if ratio is None else ratio, cells))
    head = (
        *("model", "server", "form", "rows/s", "to JSON batches", "body kB", "p50 ms", "p99 ms"),
        *("failures", "cores", "CPU us a row"),
    )
    return table(head, [cells for _, cells in sorted(lines)])


def _middle(values: Sequence[float], form: str) -> str:
    return form.format(median(values))
