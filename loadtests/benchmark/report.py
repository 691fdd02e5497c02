"""The benchmark's report, from measurements alone: environment first, losing rows too.

Medians over the rounds; a ratio is the median of the ratios within each round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import median

from loadtests.benchmark import targets
from loadtests.benchmark.measurement import Measurements, Point
from loadtests.peers.catalogue import BY_NAME

US, FASTAPI, STOCK = "tabserve", "fastapi", "bentoml-stock"

# Interrupts and the kernel's own threads take some; more is another program.
_MOST_OTHER_CORES = 0.10

_METHOD = """\
Every server runs on one core, the load generator (wrk, closed loop) on another. Each round
starts every server in turn, compares its scores with the model's own, warms it up, loads it
and stops it. Rows are real and differ from request to request. Failures are answers of 400
and above, broken connections and answers that took more than ten seconds. "A core-second"
is good answers divided by the CPU seconds that the server used: what is left where other
work takes turns on the core. Memory is resident, of the whole process tree.
"""


def render(measured: Measurements) -> str:
    """Render the report as Markdown."""
    peers = list(dict.fromkeys(point.peer for point in measured.points))
    parts = [
        "# tabserve beside its peers",
        table(("", ""), measured.environment.items()),
        f"```\n{measured.command}\n```",
        _METHOD,
        *_disturbed(measured),
        *_targets(measured),
        *_servers(measured, peers),
        *_loads(measured, "row", peers),
        *_loads(measured, "batch", peers),
        *_workers(measured),
        *_overloads(measured),
        *_starts(measured, peers),
        *_lost(measured, peers),
        *_failed(measured),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Render a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _disturbed(measured: Measurements) -> list[str]:
    """Say so where something else ran on the server's core: such numbers are for nobody."""
    worst = max((point.other_cores for point in measured.points), default=0.0)
    if worst <= _MOST_OTHER_CORES:
        return []
    return [
        f"**Not for publication: other work took up to {worst:.0%} of the server's core.** "
        "Ratios of requests/s are off by as much; those a core-second are less so."
    ]


def _targets(measured: Measurements) -> list[str]:
    rows = [
        (target.text, found, "not measured" if met is None else "met" if met else "**missed**")
        for target, found, met in targets.judge(measured)
    ]
    return ["## Targets", table(("target", "found", ""), rows)]


def _servers(measured: Measurements, peers: Sequence[str]) -> list[str]:
    def difference(peer: str) -> str:
        found = [value for key, value in measured.differences.items() if key.split(" ")[0] == peer]
        return f"{max(found):g}" if found else "no scores"

    rows = [(name, BY_NAME[name].title, BY_NAME[name].note, difference(name)) for name in peers]
    head = ("server", "what it is", "what it does", "largest score difference")
    return ["## Servers", table(head, rows)]


def _loads(measured: Measurements, kind: str, peers: Sequence[str]) -> list[str]:
    loads = sorted({p.connections for p in measured.points if p.kind == kind and p.workers == 1})
    parts = []
    for connections in loads:
        title = "One row a request" if kind == "row" else "1,000 rows a request"
        parts.append(f"## {title}, {connections} connection{'s' if connections > 1 else ''}")
        rows = [
            _load(measured, kind, name, points)
            for name in peers
            if (points := measured.select(name, kind, connections))
        ]
        unit = "requests/s" if kind == "row" else "rows/s"
        head = (
            *("server", unit, "a core-second", "to FastAPI", "to stock BentoML"),
            *("p50 ms", "p95 ms", "p99 ms", "failures", "cores", "memory MB"),
        )
        parts.append(table(head, rows))
    return parts


def _load(measured: Measurements, kind: str, name: str, points: list[Point]) -> tuple[str, ...]:
    def middle(value: Callable[[Point], float]) -> float:
        return median(value(point) for point in points)

    def ratio(other: str) -> str:
        found = measured.ratio("per_second", name, other, kind, points[0].connections)
        return "-" if found is None else f"{found:.2f}"

    return (
        name,
        f"{middle(lambda p: p.per_second * p.rows):,.0f}",
        f"{middle(lambda p: p.per_second * p.rows / p.cores if p.cores else 0.0):,.0f}",
        ratio(FASTAPI),
        ratio(STOCK),
        *(f"{middle(value):.2f}" for value in (_p50, _p95, _p99)),
        str(sum(point.failures for point in points)),
        f"{middle(lambda p: p.cores):.2f}",
        f"{middle(lambda p: p.rss_bytes) / 1e6:,.0f}",
    )


def _p50(point: Point) -> float:
    return point.p50


def _p95(point: Point) -> float:
    return point.p95


def _p99(point: Point) -> float:
    return point.p99


def _starts(measured: Measurements, peers: Sequence[str]) -> list[str]:
    rows = []
    for name in peers:
        seconds = [start.seconds for start in measured.starts if start.peer == name]
        if seconds:
            rows.append((name, f"{median(seconds):.1f}", f"{max(seconds):.1f}"))
    return ["## Cold start to ready, seconds", table(("server", "median", "longest"), rows)]


def _workers(measured: Measurements) -> list[str]:
    rows = [
        (
            str(point.workers),
            str(point.connections),
            f"{point.per_second:,.0f}",
            f"{point.a_core_second:,.0f}",
            f"{point.p50:.2f}",
            f"{point.p99:.2f}",
            str(point.failures),
            f"{point.cores:.2f}",
            f"{point.load_cores:.2f}",
            f"{point.rss_bytes / 1e6:,.0f}",
        )
        for connections in dict.fromkeys(p.connections for p in measured.points if p.workers == 2)
        for workers in (1, 2)
        for point in measured.select(US, "row", connections, workers)
    ]
    if not rows:
        return []
    head = (
        *("workers", "connections", "requests/s", "a core-second", "p50 ms", "p99 ms"),
        *("failures", "cores", "load's cores", "memory MB"),
    )
    return ["## tabserve with two workers, each round", _WORKERS, table(head, rows)]


_WORKERS = """\
One worker has a core for itself and the load generator another. Two workers run on both,
so on a machine of two cores the generator takes its share out of theirs, and requests/s
cannot double. What shows whether workers scale is what each of them answers a core-second.
"""

_OVERLOADS = """\
Arrivals by schedule, whatever the server does, at a multiple of what it answered in a
closed loop just before; latency counts from the scheduled time, and every answer is read.
"Offered" is what really left: the rest waited in the generator, one Python process, or for
a free connection. Below nine tenths of the multiple a line is no proof, and its target counts
as not measured. "Flood" is wrk with 6,000 connections, each always asking: a closed loop,
but one that a fast refusal only makes ask faster; its answers are counted by status alone.
Refusing costs, too: a refused request is parsed, answered and counted like any other, and with
one row in it nearly all of that is HTTP itself. The last column says what one refusal took of
what an accepted one takes, if the whole loss of throughput is laid on refusals; above one, the
many connections themselves cost more than the refusals. Four times the peak can leave 80 % of
it only where a refusal costs less than a sixteenth of an accepted request: large ones come near.
Such a load of single rows needs more replicas, or a proxy in front that refuses more cheaply.
"""


def _overloads(measured: Measurements) -> list[str]:
    rows = [
        (
            f"{overload.kind} x {overload.multiple:g}" if overload.multiple else overload.kind,
            f"{overload.peak:,.0f}",
            f"{overload.offered:,.0f} ({overload.offered / overload.peak:.1f} x)",
            f"{overload.accepted_per_second:,.0f}",
            f"{overload.accepted_per_second / overload.peak:.2f}",
            _whole(overload.accepted_p50),
            _whole(overload.accepted_p99),
            f"{overload.shed / overload.scheduled:.0%}",
            _whole(overload.shed_p99),
            f"{overload.retry_after} of {overload.shed}" if overload.multiple else "not read",
            ", ".join(f"{times} {what}" for what, times in overload.failures.items()) or "0",
            _whole(overload.late_p99),
            "-" if math.isnan(overload.refusal_cost) else f"{overload.refusal_cost:.2f}",
        )
        for overload in sorted(measured.overloads, key=lambda o: (o.rows, o.multiple))
    ]
    if not rows:
        return []
    head = (
        *("load", "peak/s", "offered/s", "accepted/s", "to peak", "accepted p50 ms"),
        *("accepted p99 ms", "shed", "shed p99 ms", "with Retry-After", "failed", "late p99 ms"),
        "a refusal's cost",
    )
    return ["## Overload, each round", _OVERLOADS, table(head, rows)]


def _whole(milliseconds: float) -> str:
    return "-" if math.isnan(milliseconds) else f"{milliseconds:,.0f}"


def _is_lower(ratio: float) -> bool:
    return ratio < 1


def _is_higher(ratio: float) -> bool:
    return ratio > 1


def _lost(measured: Measurements, peers: Sequence[str]) -> list[str]:
    """List every load and value where a server that does the work is better than tabserve."""
    rows = []
    rivals = [
        name for name in peers if not BY_NAME[name].is_project and BY_NAME[name].scores is not None
    ]
    loads = dict.fromkeys((point.kind, point.connections) for point in measured.points)
    for kind, connections in loads:
        for name in rivals:
            for value, word, is_better in (
                ("per_second", "throughput", _is_lower),
                ("p50", "p50", _is_higher),
                ("p99", "p99", _is_higher),
                ("rss_bytes", "memory", _is_higher),
            ):
                ratio = measured.ratio(value, US, name, kind, connections)
                if ratio is not None and is_better(ratio):
                    rows.append((kind, str(connections), word, name, f"{ratio:.2f}"))
    head = ("kind", "connections", "value", "better than tabserve", "tabserve by it")
    body = table(head, rows) if rows else "None in this run."
    return ["## Where tabserve loses", body]


def _failed(measured: Measurements) -> list[str]:
    rows = [
        (name, what, reason.replace("\n", " ")[:300])
        for what, reasons in (("failed", measured.failed), ("cannot serve it", measured.cannot))
        for name, reason in reasons.items()
    ]
    if not rows:
        return []
    return ["## Servers without numbers", table(("server", "", "why"), rows)]
