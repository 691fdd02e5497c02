"""Results and budgets -> a table and an exit code: `python -m loadtests.check RESULT.json`.

Exit code 0: every limit was kept. 1: one was not, or was not measured. 2: nothing to judge.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from loadtests import session
from loadtests.benchmark.report import table
from loadtests.judging import budget
from loadtests.judging.budget import Verdict
from loadtests.session import Session
from loadtests.traffic.recorder import Passage

_METHOD = """\
Server and generator (Locust, one process) each have a core of their own. Every body is
read: status, shape, and the score itself where the model's own is known; anything else is
a failure. In a stage with a rate, requests arrive by a Poisson schedule whatever the
server does, and latency counts from the scheduled time. "Late" is the generator's own
lateness, "behind" what was due and not sent by the end.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge a result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path, help="what loadtests.session wrote")
    parser.add_argument("--budgets", type=Path, default=budget.FILE)
    parser.add_argument("--report", action="store_true", help="write a .md beside the result too")
    options = parser.parse_args(arguments)
    try:
        found = session.load(options.result)
        verdicts = list(budget.judge(found, budget.read(options.budgets)))
    except (OSError, ValueError, budget.Malformed) as error:
        print(f"{options.result.name}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    if not verdicts:
        print(f"no budget is for the plan {found.plan}", file=sys.stderr)  # noqa: T201
        return 2
    print(_stages(found), _verdicts(verdicts), sep="\n\n")  # noqa: T201
    if options.report:
        options.result.with_suffix(".md").write_text(render(found, verdicts))
    return 0 if all(verdict.is_met for verdict in verdicts) else 1


def render(found: Session, verdicts: Sequence[Verdict]) -> str:
    """Render a report as Markdown."""
    missed = sum(not verdict.is_met for verdict in verdicts)
    parts = [
        f"# Load test: {found.plan}",
        f"**{missed} of {len(verdicts)} limits not kept.**"
        if missed
        else f"All {len(verdicts)} limits kept.",
        table(("", ""), found.environment.items()),
        f"```\n{found.command}\n```",
        _METHOD.strip(),
        "## Stages",
        _stages(found),
        *_reasons(found),
        "## Budgets",
        _verdicts(verdicts),
        *(f"- {why}" for why in dict.fromkeys(v.budget.why.strip() for v in verdicts)),
    ]
    return "\n\n".join(parts) + "\n"


def _stages(found: Session) -> str:
    head = (
        *("stage", "users", "rate", "request", "answers/s", "p50 ms", "p95 ms", "p99 ms"),
        *("longest", "failures", "behind", "late p99", "cores", "load", "other", "MB", "growth"),
    )
    rows = [row for passage in found.passages for row in _rows(passage)]
    return table(head, rows)


def _rows(passage: Passage) -> Iterator[tuple[str, ...]]:
    seconds = passage.ended - passage.started
    for place, (name, tally) in enumerate(sorted(passage.tallies.items())):
        # What is the stage's and not the request's stands in its first line.
        of_stage = (
            f"{passage.behind}" if passage.rate else "-",
            _text(passage.late_p99, "{:.2f}"),
            _text(passage.cores, "{:.2f}"),
            _text(passage.load_cores, "{:.2f}"),
            f"{passage.other_cores:.2f}",
            f"{passage.rss_bytes / 1e6:.0f}" if passage.rss_bytes else "-",
            _text(passage.rss_growth, "{:+.1%}"),
        )
        yield (
            passage.stage if place == 0 else "",
            str(passage.users),
            f"{passage.rate:,.0f}" if passage.rate else "-",
            name,
            f"{tally.good / seconds:,.0f}" if seconds > 0 else "-",
            *(_text(value, "{:.2f}") for value in (tally.p50, tally.p95, tally.p99, tally.longest)),
            str(tally.failed),
            *(of_stage if place == 0 else ("",) * len(of_stage)),
        )


def _reasons(found: Session) -> list[str]:
    rows = [
        (passage.stage, request, reason, str(times))
        for passage in found.passages
        for request, tally in passage.tallies.items()
        for reason, times in tally.failures.items()
    ]
    return [table(("stage", "request", "failure", "times"), rows)] if rows else []


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    rows = [
        (
            "kept"
            if verdict.is_met
            else "**not measured**"
            if verdict.found is None
            else "**broken**",
            verdict.stage,
            verdict.request,
            verdict.budget.value,
            _text(math.nan if verdict.found is None else verdict.found, "{:,.6g}"),
            _bounds(verdict.budget),
        )
        for verdict in verdicts
    ]
    return table(("", "stage", "request", "value", "found", "limit"), rows)


def _bounds(limit: budget.Budget) -> str:
    parts = []
    if limit.at_least > -math.inf:
        parts.append(f"at least {limit.at_least:,g}")
    if limit.at_most < math.inf:
        parts.append(f"at most {limit.at_most:,g}")
    return ", ".join(parts)


def _text(value: float, form: str) -> str:
    return "-" if math.isnan(value) else form.format(value)


if __name__ == "__main__":
    sys.exit(main())
