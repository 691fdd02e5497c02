"""Encoded rows through the model: lone ones batched, many as they are; counted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isfinite
from time import perf_counter

import msgspec

from bentos.errors import Fault, Problem
from bentos.ids import new_id
from bentos.model.json_rows import invalid
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Assessment, Batch, Scored, likeliest
from bentos.model.tables import table as tables
from bentos.model.validation import EncodedRow
from bentos.protocols.protocol import Reply, Results, Rows
from bentos.serving.batching import Batcher
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.http import Timing
from bentos.serving.readiness import Readiness
from bentos.serving.scored.table import (
    TableResult,
    count_assessment,
    list_ids,
    list_scored,
    no_number,
    not_scorable,
    score_table,
    warn_of,
)
from bentos.settings import Settings

UNENCODED = Problem("internal", "the results were not encoded")


class BatchResult(msgspec.Struct, gc=False):
    """The results of one request's rows, with what to count and what to log.

    `ids`, `rows` and `scored` are of the rows that got a score, for the log. `assessment`: None
    where it is counted already. `faults`: of the rejected rows. `unknown`: names of the
    features whose category was scored as missing, once for each time. `reply`: the results
    encoded, or why they cannot be. `table`: the same by column, of a request of many rows.
    `reasons`: codes of the reasons that rows got, of the rows that got a score; empty where no
    explanation was asked for.
    """

    results: Results
    total: int
    ids: Sequence[str]
    rows: Sequence[EncodedRow]
    scored: Sequence[Scored]
    assessment: Assessment | None = None
    rejected: int = 0
    faults: Sequence[Fault] = ()
    unknown: Sequence[str] = ()
    reply: Reply | Problem = UNENCODED
    table: TableResult | None = None
    reasons: Sequence[tuple[str, ...] | None] = ()


class Inference:
    """Scores the rows of one worker's requests."""

    def __init__(self, settings: Settings, metrics: Metrics, readiness: Readiness) -> None:
        self._metrics = metrics
        self._readiness = readiness
        self._batcher: Batcher[EncodedRow, tuple[Scored, float, float]] = Batcher(
            self._score_batch,
            max_rows=settings.batch_max_rows,
            wait_seconds=settings.batch_wait_ms / 1e3,
            timeout_seconds=settings.timeout_seconds,
            observe=partial(metrics.observe_batch, settings.batch_max_rows),
        )

    @property
    def oldest_wait_seconds(self) -> float:
        """How long the oldest waiting row has waited for its batch; 0 where none waits."""
        return self._batcher.oldest_wait_seconds

    async def score_row(
        self, row: EncodedRow, faults: list[Fault], timing: Timing, pointer: str = ""
    ) -> BatchResult:
        """Score one row together with those that wait at the same time.

        `pointer`: its place in the body, for a row that the model itself cannot score.

        Raises TimeoutError where its turn did not come in time, Problem where the model
        may no longer be served.
        """
        timing.decoded = perf_counter()
        scored, timing.dispatched, timing.scored = await self._batcher.submit(row)
        unknown: Sequence[str] = ()
        if scored.is_refused:
            fault = not_scorable(pointer)
            outcome = invalid([fault])
            results = Results((new_id(),), (outcome,))
            return BatchResult(results, 1, (), (), (), rejected=1, faults=(fault,))
        if faults:
            scored, unknown = _with_warnings(scored, faults)
        ids = (new_id(),)
        if not _is_finite(scored):
            return BatchResult(Results(ids, (no_number(),)), 1, (), (), (), unknown=unknown)
        outcomes = (scored,)
        return BatchResult(Results(ids, outcomes), 1, ids, (row,), outcomes, unknown=unknown)

    def _score_batch(self, rows: list[EncodedRow]) -> list[tuple[Scored, float, float]]:
        dispatched = perf_counter()
        model = self._readiness.require()
        batch = model.scorer.score(rows)
        done = perf_counter()
        self._count_batch(model, batch)
        return [(one, dispatched, done) for one in batch.scored]

    def count(self, model: LoadedModel, result: BatchResult) -> None:
        """Count the results of a request. Only on the event loop's thread."""
        if result.assessment is not None:
            count_assessment(self._metrics, model, result.assessment)
        if result.rejected:
            self._metrics.observe_rows("rejected", result.rejected)
            # Those of a problem are counted where it is answered.
            if not isinstance(result.reply, Problem):
                self._metrics.observe_faults(result.faults)
        for feature in result.unknown:
            self._metrics.observe_unknown_category(feature)

    def _count_batch(self, model: LoadedModel, batch: Batch) -> None:
        stored = model.stored
        self._metrics.observe_rows("scored", len(batch.scored) - batch.refused)
        self._metrics.observe_screening(batch.screening)
        self._metrics.observe_labels(stored.name, stored.version, batch.labels)
        self._metrics.observe_scores(stored.name, stored.version, likeliest(batch.scored))


def score_rows(model: LoadedModel, rows: Rows, timing: Timing) -> BatchResult:
    """Score the rows of one request, an error in the place of each that has faults.

    Counts nothing, so any thread may call it.
    """
    table = rows.table
    if table is None:
        table = tables.of_rows(model.contract, rows.encoded, rows.faults)
    result = score_table(model, table, 0, timing, rows.pointer_of)
    assessment = result.assessment
    if rows.is_all_or_nothing and assessment is not None and assessment.refused:
        # No row had faults, or the request would have been refused before.
        found = dict(table.tolerated)
        found |= {row: [not_scorable(rows.pointer_of(row))] for row in assessment.refused}
        faults = [fault for row in sorted(found) for fault in found[row]]
        return _refuse(len(table), faults, assessment)
    results, scored = result.results, list_scored(model, result)
    total = len(results)
    ids = list_ids(result)
    is_whole = len(result.kept) == total
    outcomes: Sequence[Scored | Problem] = scored if is_whole else _in_place(result, scored)
    return BatchResult(
        Results(ids if is_whole else results.id_texts, outcomes, table=results),
        total,
        ids,
        result.scored.rows,
        scored,
        assessment,
        result.rejected,
        result.faults,
        result.unknown,
        table=result,
    )


def refuse(rows: Rows) -> BatchResult:
    """Refuse all rows of one request, as one of them has faults."""
    return _refuse(len(rows.encoded), [fault for faults in rows.faults for fault in faults])


def _refuse(
    total: int, faults: Sequence[Fault], assessment: Assessment | None = None
) -> BatchResult:
    """`assessment`: where the rows were scored, and the model failed on some of them."""
    rejected = total if assessment is None else len(assessment.refused)
    problem = invalid(list(faults))
    return BatchResult(Results((), ()), total, (), (), (), assessment, rejected, reply=problem)


def _in_place(result: TableResult, scored: Sequence[Scored]) -> list[Scored | Problem]:
    following = iter(scored)
    problems = result.results.problems
    return [problems.get(row) or next(following) for row in range(len(result.results))]


def _is_finite(scored: Scored) -> bool:
    # The sum is finite exactly if every score is: probabilities cannot overflow it.
    value = scored.score if scored.scores is None else sum(scored.scores)
    return value is not None and isfinite(value)


def _with_warnings(scored: Scored, tolerated: Sequence[Fault]) -> tuple[Scored, list[str]]:
    warned, names = warn_of(tolerated)
    return msgspec.structs.replace(scored, warnings=(*warned, *scored.warnings)), names
