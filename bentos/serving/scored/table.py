"""Tables through the model: scored by column, counted and logged without an object a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.errors import MAX_LISTED, Fault, Problem
from bentos.model.frame import FeatureWarning
from bentos.model.json_rows import invalid
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Assessment, Scored
from bentos.model.tables.table import Lazy, Table
from bentos.protocols.formats.format import TableResults
from bentos.records.writer.scored_request import ScoredTable
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.http import Timing
from bentos.serving.scored.id_block import new_id_block


class TableResult(msgspec.Struct, gc=False):
    """The results of one table, with what to count and what to log.

    `assessment`: of the rows that the model was given; None for no row. `kept`: the places of
    the rows that got a score; `scored`: these rows, which the log writes. `faults`: of the
    rejected rows. `unknown`: names of the features whose category was scored as missing.
    """

    results: TableResults
    assessment: Assessment | None
    kept: NDArray[np.intp]
    scored: Table
    rejected: int
    faults: Sequence[Fault]
    unknown: Sequence[str]


def number(row: int) -> str:
    """The place of a row whose body is the rows."""
    return f"/{row}"


def score_table(
    model: LoadedModel,
    table: Table,
    first: int,
    timing: Timing,
    pointer_of: Callable[[int], str] = number,
) -> TableResult:
    """Score the rows of a table, an error in the place of each that has faults.

    `first`: the number of its first row. `pointer_of`: gives the place of a row by its number.
    Counts nothing, so any thread may call it.
    """
    timing.decoded = timing.dispatched = perf_counter()
    rows = len(table)
    places = table.good
    good = table if places is None else table.take(places)
    if places is None:
        places = np.arange(rows, dtype=np.intp)
    assessment = model.scorer.assess(good) if len(good) else None
    timing.scored = perf_counter()
    faults = dict(table.faults)
    classes = model.contract.classes
    shape = () if model.contract.task != "multiclass" else (len(classes or ()),)
    scores = np.full((rows, *shape), np.nan)
    decided = None if classes is None else np.zeros(rows, dtype=np.intp)
    problems: dict[int, Problem] = {}
    warnings: dict[int, tuple[FeatureWarning, ...]] = {}
    is_scored = np.zeros(rows, dtype=np.bool_)
    if assessment is not None:
        scores[places] = assessment.scores
        if decided is not None and assessment.decided is not None:
            decided[places] = assessment.decided
        for place in assessment.refused:
            row = int(places[place])
            faults[row] = [not_scorable(pointer_of(first + row))]
        is_scored[places] = True
        warnings = {
            int(places[place]): tuple(found)
            for place, found in assessment.screening.warnings.items()
        }
    is_scored[list(faults)] = False
    is_finite = np.isfinite(scores) if scores.ndim == 1 else np.isfinite(scores).all(axis=1)
    for row in np.flatnonzero(is_scored & ~is_finite).tolist():
        problems[row] = no_number()
        warnings.pop(row, None)
    is_scored &= is_finite
    # The limit is for the whole answer, not for each row.
    listed = MAX_LISTED
    for row in sorted(faults):
        problems[row] = invalid(faults[row], listed)
        listed = max(0, listed - len(faults[row]))
    unknown: list[str] = []
    for row, tolerated in table.tolerated.items():
        warned, names = warn_of(tolerated)
        unknown += names
        if is_scored[row]:
            warnings[row] = (*warned, *warnings.get(row, ()))
    kept = np.flatnonzero(is_scored)
    return TableResult(
        TableResults(first, new_id_block(rows), scores, decided, problems, warnings),
        assessment,
        kept,
        table if len(kept) == rows else table.take(kept),
        len(faults),
        [fault for row in sorted(faults) for fault in faults[row]],
        unknown,
    )


def count_table(metrics: Metrics, model: LoadedModel, result: TableResult) -> None:
    """Count the results of a table. Only on the event loop's thread."""
    if result.assessment is not None:
        count_assessment(metrics, model, result.assessment)
    if result.rejected:
        metrics.observe_rows("rejected", result.rejected)
        metrics.observe_faults(result.faults)
    for feature in result.unknown:
        metrics.observe_unknown_category(feature)


def count_assessment(metrics: Metrics, model: LoadedModel, assessment: Assessment) -> None:
    """Count what the model gave. Only on the event loop's thread."""
    stored, scores = model.stored, assessment.scores
    values = scores if scores.ndim == 1 else scores.max(axis=1)
    metrics.observe_rows("scored", len(scores) - len(assessment.refused))
    metrics.observe_screening(assessment.screening)
    metrics.observe_labels(stored.name, stored.version, assessment.labels)
    metrics.observe_scores(stored.name, stored.version, values[np.isfinite(values)])


def list_ids(result: TableResult) -> Sequence[str]:
    """The ids of the rows that got a score."""
    ids, kept = result.results, result.kept
    if len(kept) == len(ids):
        return Lazy(len(kept), lambda start, end: ids.id_texts[start:end])
    return Lazy(
        len(kept), lambda start, end: [ids.id_texts[row] for row in kept[start:end].tolist()]
    )


def list_scored(model: LoadedModel, result: TableResult) -> Sequence[Scored]:
    """The rows that got a score, made when they are read."""
    results, kept = result.results, result.kept
    classes = model.contract.classes

    def make(start: int, end: int) -> list[Scored]:
        some = kept[start:end]
        scores = results.scores[some].tolist()
        labels = (
            [None] * len(scores)
            if results.decided is None or classes is None
            else [classes[best] for best in results.decided[some].tolist()]
        )
        return [
            Scored(
                score=None if isinstance(score, list) else score,
                scores=tuple(score) if isinstance(score, list) else None,
                label=label,
                warnings=results.warnings.get(row, ()),
            )
            for row, score, label in zip(some.tolist(), scores, labels, strict=True)
        ]

    return Lazy(len(kept), make)


def to_log(
    result: TableResult,
    request_id: str,
    subject: str | None,
    timing: Timing,
    consumer: str | None,
    answers: Sequence[str] | None = None,
    reasons: Sequence[tuple[str, ...] | None] = (),
) -> ScoredTable:
    """Hand the scored rows over to the log."""
    results, kept = result.results, result.kept
    ids, scores, decided = results.ids, results.scores, results.decided
    warnings = results.warnings
    if len(kept) < len(results):
        ids, scores = ids[kept], scores[kept]
        decided = None if decided is None else decided[kept]
        warnings = {
            place: warnings[row] for place, row in enumerate(kept.tolist()) if row in warnings
        }
    return ScoredTable(
        request_id,
        ids,
        result.scored,
        scores,
        decided,
        warnings,
        subject,
        timing.stages(perf_counter()),
        consumer,
        answers,
        reasons,
    )


def not_scorable(pointer: str) -> Fault:
    """Make the fault of a row that the model itself failed on."""
    detail = "is not a row that the model can score: one of its values is unknown to the model"
    return Fault(pointer, "not_scorable", detail)


def no_number() -> Problem:
    """Make the problem of a row whose score is no number."""
    return Problem("internal", "the model gave a score that is not a finite number")


def warn_of(tolerated: Sequence[Fault]) -> tuple[list[FeatureWarning], list[str]]:
    """Make warnings of unknown categories that were scored as missing; and their features."""
    tokens = [fault.pointer.rpartition("/")[2] for fault in tolerated]
    detail = "is a category that training never saw"
    warned = [FeatureWarning(f"/{token}", "unknown_category", detail) for token in tokens]
    # RFC 6901, section 4: ~1 first, or ~01 would become a slash.
    return warned, [token.replace("~1", "/").replace("~0", "~") for token in tokens]
