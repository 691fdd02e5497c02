"""The report of a comparison: every load, what each step bought, what it lost, batching."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from loadtests.benchmark.report import table
from loadtests.judging import comparison
from loadtests.judging.comparison import BATCHING, Comparison, Profile, Value
from loadtests.traffic.recorder import Passage

# Near one core the generator is what was measured; it spins on its clock in open stages,
# so there it is its lateness that tells.
_MOST_LOAD_CORES = 0.9
_MOST_LATE_MS = 5.0
# Interrupts and the kernel's own threads take some of a core; more is another program.
_MOST_OTHER_CORES = 0.10
# What batching may cost a lone caller (issue "fast path").
_MOST_LONE_COST = 1.10
# The stage of the plan in which one caller is alone.
LONE = "1 at once"
# A ratio that prints as 1.00 is no difference.
_LEAST_DIFFERENCE = 0.005

_METHOD = """\
Every profile gets the same Locust plan: one server process on one core, Locust on another.
In a stage with users each sends its next request when it has its answer; in a stage with
a rate, requests arrive by a Poisson schedule whatever the server does, and latency counts
from the scheduled time. Every body is read and its score compared with the model's own, to
the last bit; a difference is a failure. A rate above what the profile answers at its best
is left out ("-").
All profiles are run in turn in each round; numbers are medians over the rounds, ratios
the median of the ratios within each round, with the lowest and the highest behind them.
"A core-second" is answers by the CPU seconds that the server used.
"""

_VALUES: tuple[tuple[str, Value, bool], ...] = (
    ("answers/s", comparison.per_second, True),
    ("a core-second", comparison.a_core_second, True),
    ("p50", comparison.p50, False),
    ("p99", comparison.p99, False),
    ("memory", comparison.memory, False),
)


def render(found: Comparison, charts: Sequence[str] = ()) -> str:
    """Render as Markdown; `charts` are names of pictures beside it."""
    parts = [
        "# What each optimisation buys",
        table(("", ""), found.environment.items()),
        f"```\n{found.command}\n```",
        _METHOD,
        *_doubts(found),
        "## Profiles",
        _profiles(found),
        *(f"![{name}]({name})" for name in charts),
        "## What each step bought",
        _bought(found),
        "## Where a step lost",
        _lost(found),
        *_batching(found),
        *_loads(found),
        *_failed(found),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _doubts(found: Comparison) -> list[str]:
    """Name the stages where the generator was at its own limit."""
    names = {
        f"{run.profile} at {passage.stage}"
        for run in found.runs
        for passage in run.passages
        if passage.is_measured and is_doubtful(passage)
    }
    others = max(
        (p.other_cores for run in found.runs for p in run.passages if p.is_measured), default=0.0
    )
    doubts = []
    if others > _MOST_OTHER_CORES:
        doubts.append(
            f"**Not for publication: other work took up to {others:.0%} of the server's core.**"
        )
    if names:
        doubts.append(_limited(names))
    return doubts


def _limited(names: set[str]) -> str:
    return (
        "**The generator itself was at its limit** (a whole core, or late by more than "
        f"{_MOST_LATE_MS:g} ms) in: {', '.join(sorted(names))}. These say little of the server."
    )


def is_doubtful(passage: Passage) -> bool:
    """Whether the generator and not the server made the numbers."""
    if passage.rate:
        return passage.late_p99 > _MOST_LATE_MS
    return passage.load_cores > _MOST_LOAD_CORES


def _profiles(found: Comparison) -> str:
    rows = []
    for profile in found.profiles:
        difference = found.differences.get(profile.name)
        starts = [run.ready_seconds for run in found.runs if run.profile == profile.name]
        rows.append(
            (
                profile.name,
                profile.what,
                " ".join(f"`{name}={value}`" for name, value in profile.settings.items()) or "-",
                "-" if difference is None else f"{difference:g}",
                f"{min(starts):.1f}" if starts else "-",
            )
        )
    return table(("profile", "what", "settings", "largest score difference", "start s"), rows)


def _bought(found: Comparison) -> str:
    stages = found.stages()
    busy = _busy([stage for stage in stages if not stage.rate])
    rows = [
        (
            profile.name,
            profile.against,
            _ratio(found, profile, busy, comparison.per_second),
            _ratio(found, profile, busy, comparison.a_core_second),
            _ratio(found, profile, busy, comparison.p99),
            _ratio(found, profile, LONE, comparison.p50),
            _ratio(found, profile, LONE, comparison.memory),
        )
        for profile in found.profiles
        if profile.against
    ]
    head = (
        *("step", "against", f"answers/s, {busy}", f"a core-second, {busy}", f"p99, {busy}"),
        *(f"p50, {LONE}", "memory"),
    )
    return table(head, rows)


def _busy(closed: Sequence[Passage]) -> str:
    """Name the stage that stands for a busy server: 64 users, or the most there are below."""
    names = [stage.stage for stage in closed if stage.users <= 64]
    return names[-1] if names else ""


def _ratio(found: Comparison, profile: Profile, stage: str, value: Value) -> str:
    return spread(found.ratios(profile.name, profile.against, stage, value))


def spread(ratios: Sequence[float]) -> str:
    """Write ratios as their median and, where there are several, their range."""
    if not ratios:
        return "-"
    middle = ratios[len(ratios) // 2]
    if len(ratios) % 2 == 0:
        middle = (middle + ratios[len(ratios) // 2 - 1]) / 2
    around = f" ({ratios[0]:.2f} to {ratios[-1]:.2f})" if len(ratios) > 1 else ""
    return f"{middle:.2f}{around}"


def _lost(found: Comparison) -> str:
    rows = []
    for profile in found.profiles:
        for stage in found.stages():
            for name, value, is_better_higher in _VALUES:
                # In an open stage the throughput is the schedule's.
                if stage.rate and name == "answers/s":
                    continue
                ratios = found.ratios(profile.name, profile.against, stage.stage, value)
                if not ratios:
                    continue
                middle = ratios[len(ratios) // 2]
                worse = 1 - middle if is_better_higher else middle - 1
                if worse >= _LEAST_DIFFERENCE:
                    sure = _is_sure(ratios, is_better_higher=is_better_higher)
                    rows.append(
                        (profile.name, profile.against, stage.stage, name, spread(ratios), sure)
                    )
    if not rows:
        return "Nowhere in this run."
    head = ("step", "against", "load", "value", "step by the other", "in")
    return table(head, rows)


def _is_sure(ratios: Sequence[float], *, is_better_higher: bool) -> str:
    worse = sum(ratio < 1 if is_better_higher else ratio > 1 for ratio in ratios)
    return f"{worse} of {len(ratios)} rounds"


def _batching(found: Comparison) -> Iterator[str]:
    yield "## Batching, on by off"
    names = {profile.name for profile in found.profiles}
    pairs = [pair for pair in BATCHING if set(pair) <= names]
    rows = []
    for off, on in pairs:
        for stage in found.stages():
            throughput = found.ratios(on, off, stage.stage, comparison.per_second)
            latency = found.ratios(on, off, stage.stage, comparison.p50)
            if not throughput:
                continue
            rows.append(
                (
                    f"{on} by {off}",
                    stage.stage,
                    "-" if stage.rate else spread(throughput),
                    spread(found.ratios(on, off, stage.stage, comparison.a_core_second)),
                    spread(latency),
                    spread(found.ratios(on, off, stage.stage, comparison.p99)),
                    _helps(throughput if not stage.rate else [], latency),
                )
            )
    head = ("profiles", "load", "answers/s", "a core-second", "p50", "p99", "batching")
    yield table(head, rows) if rows else "Not measured."
    for off, on in pairs:
        lone = found.ratios(on, off, LONE, comparison.p50)
        if lone:
            middle = lone[len(lone) // 2]
            is_met = middle <= _MOST_LONE_COST
            yield (
                f"A lone caller's p50 with batching ({on} by {off}): {spread(lone)}; at most "
                f"{_MOST_LONE_COST:.2f} is the limit: {'met' if is_met else '**missed**'}."
            )


def _helps(throughput: Sequence[float], latency: Sequence[float]) -> str:
    """Say whether batching helps: by throughput, or by latency where the rate is given."""
    ratios = throughput or [1 / ratio for ratio in reversed(latency)]
    if not ratios:
        return "-"
    middle = ratios[len(ratios) // 2]
    if len(ratios) == 1:
        return f"{middle - 1:+.0%} in one round"
    word = "helps" if ratios[0] > 1 else "costs" if ratios[-1] < 1 else "no clear difference"
    return f"{word} {middle - 1:+.0%}"


def _loads(found: Comparison) -> Iterator[str]:
    head = (
        *("profile", "answers/s", "a core-second", "p50 ms", "p95 ms", "p99 ms", "failures"),
        *("cores", "memory MB", "load's cores", "late p99 ms"),
    )
    for stage in found.stages():
        kind = "arrivals" if stage.rate else "closed loop"
        yield f"## {stage.stage}, {kind}"
        yield table(head, [_load(found, profile, stage.stage) for profile in found.profiles])


def _load(found: Comparison, profile: Profile, stage: str) -> tuple[str, ...]:
    passages = list(found.select(profile.name, stage).values())
    if not passages:
        return (profile.name, *("-",) * 10)

    def middle(value: Value, form: str) -> str:
        number = found.middle(profile.name, stage, value)
        return "-" if number is None or math.isnan(number) else form.format(number)

    return (
        profile.name,
        middle(comparison.per_second, "{:,.0f}"),
        middle(comparison.a_core_second, "{:,.0f}"),
        *(middle(value, "{:.2f}") for value in (comparison.p50, comparison.p95, comparison.p99)),
        str(sum(passage.failed for passage in passages)),
        middle(lambda p: p.cores, "{:.2f}"),
        middle(lambda p: p.rss_bytes / 1e6, "{:,.0f}"),
        middle(lambda p: p.load_cores, "{:.2f}"),
        middle(lambda p: p.late_p99, "{:.2f}"),
    )


def _failed(found: Comparison) -> list[str]:
    if not found.failed:
        return []
    rows = [(name, reason.replace("\n", " ")[:300]) for name, reason in found.failed.items()]
    return ["## Profiles without numbers", table(("profile", "why"), rows)]
