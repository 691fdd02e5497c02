"""When drift asks for another training: a rule over the last windows of a version.

A window asks where the scores drifted, or features that together carry enough of the model's
importance. Enough such windows in a row are the signal; their order is that of the windows,
whenever the runs were made. Runs that could not tell are not among them, as they say neither;
and a window counts only if it hardly overlaps those counted before it: hourly runs over a day
see the same rows 24 times. A twentieth may be shared, as a daily run starts some seconds
earlier or later than the day before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from bentos.records.drift import CONCLUSIVE
from monitoring.drift.decision.findings import Findings, Retraining, Span

if TYPE_CHECKING:
    from datetime import datetime


# How much of a window two runs may share and still be two.
_SHARED = 0.05


class Past(Protocol):
    """What the rule needs of an earlier run."""

    @property
    def signal(self) -> bool: ...

    @property
    def since(self) -> datetime: ...

    @property
    def until(self) -> datetime: ...


def judge(
    findings: Findings, window: Span, past: Iterable[Past], *, importance: float, runs: int
) -> Retraining:
    """Apply the rule.

    `window`: of this run. `past`: results of the same version that found drift or none, of windows
    that end with this one or before; the window that ends last first, and of one window the run
    that was last. No more of them are taken than the answer needs.
    """
    scores = findings.score is not None and findings.score.drifted
    drifted = [feature for feature in findings.features if feature.drifted]
    carried = sum(feature.importance for feature in drifted)
    why = []
    if scores:
        why.append("the scores drifted")
    if carried >= importance:
        why.append(f"features with {carried:.0%} of the importance drifted")
    if findings.outcome not in CONCLUSIVE:
        return Retraining(reason="this run could not tell")
    if not why:
        return Retraining(reason="neither the scores nor enough important features drifted")
    in_a_row = _count(window, past, runs)
    reason = f"{' and '.join(why)}, {in_a_row} of {runs} windows in a row"
    return Retraining(in_a_row >= runs, True, in_a_row, reason)


def _count(window: Span, past: Iterable[Past], most: int) -> int:
    count, since = 1, window.since
    shared = (window.until - window.since) * _SHARED
    seen = (window.since, window.until)
    for run in past:
        # Of a window that was compared several times the last run counts, here the first seen.
        if (run.since, run.until) == seen:
            continue
        seen = (run.since, run.until)
        if count == most or not run.signal:
            break
        if run.until <= since + shared:
            count, since = count + 1, run.since
    return count
