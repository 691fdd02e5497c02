"""Whether another model does better on recorded rows whose outcome is known.

Both models are measured on the same rows: the one by its recorded answers, the other by
scoring them again. Intervals are those of the difference, from resamples of the rows.
"""

from __future__ import annotations

import msgspec
import numpy as np

from bentos.audit import rescoring, streams
from bentos.audit.opened import OpenedLog
from bentos.audit.quality import bootstrap, measures
from bentos.audit.quality.collecting import Collected
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Scored
from bentos.records.record import Record, Window

# The metric that decides for each task, and whether more of it is better.
DECIDING = {
    "binary": ("roc_auc", True),
    "multiclass": ("log_loss", False),
    "regression": ("mae", False),
}

# Fewer labelled rows leave intervals that exclude nothing of interest.
MIN_ROWS = 100


class Difference(msgspec.Struct, frozen=True):
    """One metric of both models on the same rows; `change` is new minus old.

    `low`, `high`: the 95 % interval of the change, None where it cannot be computed.
    """

    old: float
    new: float
    change: float
    low: float | None
    high: float | None


class Challenge(msgspec.Struct, frozen=True):
    """Both models on labelled rows. `metric` is the one that decides."""

    rows: int
    metric: str
    is_more_better: bool
    differences: dict[str, Difference]

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `no difference` that the rows can show; `too few rows`."""
        found = self.differences.get(self.metric)
        if found is None or found.low is None or found.high is None:
            return "too few rows"
        if found.low <= 0.0 <= found.high:
            return "no difference"
        return "better" if (found.change > 0.0) == self.is_more_better else "worse"


def challenge(
    log: OpenedLog, window: Window, served: LoadedModel, resamples: int = bootstrap.RESAMPLES
) -> Challenge:
    """Measure the recorded answers of a window against those of another model.

    Only rows of versions with the same task and classes, with an outcome and accepted by the
    new contract are compared.
    """
    made = served.contract
    old, new = Collected(made), Collected(made)
    for part in streams.chunk(streams.read_labelled(log, window)):
        labelled = [
            (record, outcome)
            for record, outcome in part
            if outcome is not None and _is_alike(log, record, served)
        ]
        answers = rescoring.score_rows(served, [record for record, _ in labelled])
        for (record, outcome), answer in zip(labelled, answers, strict=True):
            if isinstance(answer, Scored):
                old.add(record, outcome)
                new.add(_as_record(record, answer, served), outcome)
    return _compare(old, new, made.task, resamples)


def _is_alike(log: OpenedLog, record: Record, served: LoadedModel) -> bool:
    theirs, ours = log.contract(record.model, record.version), served.contract
    return (
        theirs is not None
        and theirs.task == ours.task
        and list(map(str, theirs.classes or ())) == list(map(str, ours.classes or ()))
    )


def _as_record(record: Record, answer: Scored, served: LoadedModel) -> Record:
    return msgspec.structs.replace(
        record,
        score=answer.score,
        label=None if answer.label is None else str(answer.label),
        scores=rescoring.scores_by_class(served.contract, answer),
    )


def _compare(old: Collected, new: Collected, task: str, resamples: int) -> Challenge:
    metric, is_more_better = DECIDING[task]
    outcomes = new.outcomes
    # A row that one of the two leaves out would shift the other's rows against them.
    if len(old.outcomes) != len(outcomes):
        return Challenge(0, metric, is_more_better, {})
    known = np.flatnonzero(~np.isnan(outcomes))
    is_enough = len(known) >= MIN_ROWS and (task == "regression" or len(set(outcomes[known])) > 1)
    if not is_enough:
        return Challenge(len(known), metric, is_more_better, {})

    def measure(rows: np.ndarray) -> dict[str, float]:
        chosen = known[rows]
        before, after = _measure(old, chosen, task), _measure(new, chosen, task)
        return {name: after[name] - before[name] for name in after}

    before, after = _measure(old, known, task), _measure(new, known, task)
    intervals = bootstrap.find_intervals(measure, len(known), resamples)
    differences = {
        name: Difference(
            before[name],
            after[name],
            after[name] - before[name],
            *(intervals[name] or (None, None)),
        )
        for name in after
        if np.isfinite(before[name]) and np.isfinite(after[name])
    }
    return Challenge(len(known), metric, is_more_better, differences)


def _measure(collected: Collected, rows: np.ndarray, task: str) -> dict[str, float]:
    scores, outcomes = collected.scores[rows], collected.outcomes[rows]
    if task == "binary":
        decided = collected.decided[rows].astype(np.float64)
        return measures.measure_binary(scores, outcomes, decided)
    if task == "multiclass":
        return measures.measure_multiclass(
            scores, outcomes.astype(np.int64), collected.decided[rows]
        )
    return measures.measure_regression(scores, outcomes)
