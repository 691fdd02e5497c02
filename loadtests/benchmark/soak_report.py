"""The report of a soak over models of the zoo, from what was found alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from loadtests.benchmark.report import table
from loadtests.benchmark.soak import MOST_GROWTH, MOST_LATE_MS, Soak

# Interrupts and the kernel's own threads take some; more is another program.
_MOST_OTHER_CORES = 0.10

_METHOD = """\
tabserve as it comes, prediction log (SQLite) and access log on, on one core. The peak is that of a
closed loop (wrk, 32 connections) just before; then requests arrive by a Poisson schedule at a share
of it, whatever the server does, from one Python process on another core. Every answer is read and
its score compared with the model's own, to the last bit; latency counts from the scheduled time.
Memory is resident, of all processes of the server, looked at every second: at minute 1, when
buffers are full, and at the end. After the load the log has the time that it needs; then the rows
in its file are counted. A run is good without a failure, with memory within {growth:.0%}, every row
in the log, and a generator that was on time (99 % of the requests less than {late:g} ms late).
"""


def render(environment: Mapping[str, str], command: str, found: Sequence[Soak]) -> str:
    """Render the report as Markdown; models that broke a rule come first."""
    ordered = sorted(found, key=lambda soak: (not soak.broken, -soak.growth))
    broken = sum(bool(soak.broken) for soak in ordered)
    parts = [
        "# Soak of models of the zoo, with the log on",
        f"**{broken} of {len(ordered)} runs are not good.**"
        if broken
        else f"All {len(ordered)} runs are good.",
        table(("", ""), environment.items()),
        f"```\n{command}\n```",
        _METHOD.format(growth=MOST_GROWTH, late=MOST_LATE_MS).strip(),
        *_disturbed(ordered),
        table(_HEAD, [_row(soak) for soak in ordered]),
        *_reasons(ordered),
        "## Memory of all processes, MB, minute by minute",
        _minutes(ordered),
    ]
    return "\n\n".join(parts) + "\n"


_HEAD = (
    *("model", "engine", "peak/s", "offered/s", "seconds", "answered", "failures", "p50 ms"),
    *("p99 ms", "longest ms", "late p99 ms", "cores", "others", "MB at minute 1", "MB at the end"),
    *("growth", "rows waiting, most", "at the end", "in the store after, s", "rows in the log"),
)


def _row(soak: Soak) -> tuple[str, ...]:
    is_whole = soak.stored == soak.answered and not soak.dropped
    failures = sum(soak.failures.values())
    return (
        *(soak.model, soak.engine, f"{soak.peak:,.0f}", f"{soak.rate:,.0f}", f"{soak.seconds:.0f}"),
        f"{soak.answered:,}",
        f"**{failures}**" if failures else "0",
        *(f"{value:.2f}" for value in (soak.p50, soak.p99, soak.longest, soak.late_p99)),
        *(f"{soak.cores:.2f}", f"{soak.other_cores:.2f}"),
        *(f"{size / 1e6:.0f}" for size in (soak.first_bytes, soak.last_bytes)),
        f"{soak.growth:+.1%}" if abs(soak.growth) <= MOST_GROWTH else f"**{soak.growth:+.1%}**",
        *(f"{soak.most_waiting:,}", f"{soak.waiting_rows:,}", f"{soak.drain_seconds:.2f}"),
        f"{soak.stored:,}" if is_whole else f"**{soak.stored:,}**",
    )


def _disturbed(found: Sequence[Soak]) -> list[str]:
    worst = max((soak.other_cores for soak in found), default=0.0)
    if worst <= _MOST_OTHER_CORES:
        return []
    return [f"**Not for publication: other work took up to {worst:.0%} of the server's core.**"]


def _reasons(found: Sequence[Soak]) -> list[str]:
    rows = [(soak.model, reason) for soak in found for reason in soak.broken]
    return ["## Not as it must be", table(("model", ""), rows)] if rows else []


def _minutes(found: Sequence[Soak]) -> str:
    count = max((math.ceil(soak.seconds / 60) for soak in found), default=0)
    rows = []
    for soak in found:
        cells = []
        for minute in range(count):
            part = [m.rss_bytes for m in soak.moments if minute <= m.seconds / 60 < minute + 1]
            cells.append(f"{part[-1] / 1e6:.0f}" if part else "-")
        rows.append((soak.model, *cells))
    return table(("model", *(str(minute + 1) for minute in range(count))), rows)
