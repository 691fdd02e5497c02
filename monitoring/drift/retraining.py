"""When drift asks for another training: a rule over the last runs of a version.

A run asks where the scores drifted, or features that together carry enough of the model's
importance. Enough such runs in a row are the signal; a run that could not tell is passed
over, as it says neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitoring.drift.findings import Findings, Outcome, Retraining


class Past(Protocol):
    """What the rule needs of an earlier run."""

    @property
    def outcome(self) -> str: ...

    @property
    def signal(self) -> bool: ...


TOLD: tuple[Outcome, ...] = ("drift", "no_drift")


def judge(findings: Findings, past: Sequence[Past], *, importance: float, runs: int) -> Retraining:
    """Apply the rule. `past`: earlier runs of the same version, the latest first."""
    scores = findings.score is not None and findings.score.drifted
    drifted = [feature for feature in findings.features if feature.drifted]
    carried = sum(feature.importance for feature in drifted)
    why = []
    if scores:
        why.append("the scores drifted")
    if carried >= importance:
        why.append(f"features with {carried:.0%} of the importance drifted")
    signal = bool(why)
    in_a_row = 0
    for has_signal in [signal, *(run.signal for run in past if run.outcome in TOLD)]:
        if not has_signal:
            break
        in_a_row += 1
    if findings.outcome not in TOLD:
        return Retraining(reason="this run could not tell")
    if not signal:
        return Retraining(reason="neither the scores nor enough important features drifted")
    reason = f"{' and '.join(why)}, {in_a_row} of {runs} runs in a row"
    return Retraining(in_a_row >= runs, signal, in_a_row, reason)
