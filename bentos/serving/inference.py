"""Encoded rows through the model: lone ones batched, many as they are; counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import isfinite
from time import perf_counter

import msgspec

from bentos.errors import MAX_LISTED, Fault, Problem
from bentos.ids import new_id, new_ids
from bentos.model.frame import FeatureWarning
from bentos.model.json_rows import invalid
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Batch, Scored, likeliest
from bentos.model.validation import EncodedRow
from bentos.protocols.protocol import Reply, Results, Rows
from bentos.serving.batching import Batcher
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.http import Timing
from bentos.serving.readiness import Readiness
from bentos.settings import Settings

UNENCODED = Problem("internal", "the results were not encoded")


class BatchResult(msgspec.Struct, gc=False):
    """The results of one request's rows, with what to count and what to log.

    `ids`, `rows` and `scored` are of the rows that got a score, for the log. `batch`: None
    where it is counted already. `faults`: of the rejected rows. `unknown`: names of the
    features whose category was scored as missing, once for each time. `reply`: the results
    encoded, or why they cannot be. `reasons`: codes of the reasons that rows got, of the rows that
    got a score; empty where no explanation was asked for.
    """

    results: Results
    total: int
    ids: Sequence[str]
    rows: Sequence[EncodedRow]
    scored: Sequence[Scored]
    batch: Batch | None = None
    rejected: int = 0
    faults: Sequence[Fault] = ()
    unknown: Sequence[str] = ()
    reply: Reply | Problem = UNENCODED
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
        if result.batch is not None:
            self._count_batch(model, result.batch)
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
    timing.decoded = timing.dispatched = perf_counter()
    good = [row for row in rows.encoded if row is not None]
    batch = model.scorer.score(good) if good else None
    timing.scored = perf_counter()
    scored = batch.scored if batch is not None else []
    if batch is not None and batch.refused:
        rows, good, scored = _without_refused(rows, scored)
        if rows.is_all_or_nothing:
            return refuse(rows, batch)
    unknown: list[str] = []
    if any(rows.faults):
        good_faults = [
            faults for row, faults in zip(rows.encoded, rows.faults, strict=True) if row is not None
        ]
        for place, tolerated in enumerate(good_faults):
            if tolerated:
                scored[place], names = _with_warnings(scored[place], tolerated)
                unknown += names
    ids = new_ids(len(rows.encoded))
    total = len(ids)
    rejected = total - len(good)
    if not rejected and _are_finite(scored):
        return BatchResult(Results(ids, scored), total, ids, good, scored, batch, unknown=unknown)
    outcomes = list(_in_place(rows, iter(scored)))
    kept = [
        (one_id, row, outcome)
        for one_id, row, outcome in zip(ids, rows.encoded, outcomes, strict=True)
        if row is not None and isinstance(outcome, Scored)
    ]
    return BatchResult(
        Results(ids, outcomes),
        total,
        [one_id for one_id, _, _ in kept],
        [row for _, row, _ in kept],
        [outcome for _, _, outcome in kept],
        batch,
        rejected,
        [
            fault
            for row, faults in zip(rows.encoded, rows.faults, strict=True)
            if row is None
            for fault in faults
        ],
        unknown,
    )


def refuse(rows: Rows, batch: Batch | None = None) -> BatchResult:
    """Refuse all rows of one request, as one of them has faults.

    `batch`: where the rows were scored, and the model failed on some of them.
    """
    total = len(rows.encoded)
    problem = invalid([fault for faults in rows.faults for fault in faults])
    rejected = total if batch is None else batch.refused
    return BatchResult(Results((), ()), total, (), (), (), batch, rejected, reply=problem)


def _without_refused(
    rows: Rows, scored: Sequence[Scored]
) -> tuple[Rows, list[EncodedRow], list[Scored]]:
    """Make rows that the model failed on rows with faults. `scored`: of the encoded rows."""
    encoded: list[EncodedRow | None] = []
    faults: list[list[Fault]] = []
    kept: list[Scored] = []
    outcomes = iter(scored)
    for number, (row, found) in enumerate(zip(rows.encoded, rows.faults, strict=True)):
        outcome = None if row is None else next(outcomes)
        if outcome is not None and outcome.is_refused:
            encoded.append(None)
            faults.append([not_scorable(rows.pointer_of(number))])
            continue
        encoded.append(row)
        faults.append(found)
        if outcome is not None:
            kept.append(outcome)
    apart = msgspec.structs.replace(rows, encoded=encoded, faults=faults)
    return apart, [row for row in encoded if row is not None], kept


def not_scorable(pointer: str) -> Fault:
    """Make the fault of a row that the model itself failed on."""
    detail = "is not a row that the model can score: one of its values is unknown to the model"
    return Fault(pointer, "not_scorable", detail)


def _in_place(rows: Rows, scored: Iterator[Scored]) -> Iterator[Scored | Problem]:
    # The limit is for the whole answer, not for each row.
    listed = MAX_LISTED
    for row, faults in zip(rows.encoded, rows.faults, strict=True):
        if row is None:
            yield invalid(faults, listed)
            listed = max(0, listed - len(faults))
        else:
            outcome = next(scored)
            yield outcome if _is_finite(outcome) else no_number()


def no_number() -> Problem:
    """Make the problem of a row whose score is no number."""
    return Problem("internal", "the model gave a score that is not a finite number")


def _are_finite(scored: Sequence[Scored]) -> bool:
    # One sum for all rows costs a tenth of a look at each. It is not finite where a score is
    # not, and rarely where all are: then each is looked at.
    scores = [one.score for one in scored if one.score is not None]
    return (len(scores) == len(scored) and isfinite(sum(scores))) or all(map(_is_finite, scored))


def _is_finite(scored: Scored) -> bool:
    # The sum is finite exactly if every score is: probabilities cannot overflow it.
    value = scored.score if scored.scores is None else sum(scored.scores)
    return value is not None and isfinite(value)


def _with_warnings(scored: Scored, tolerated: Sequence[Fault]) -> tuple[Scored, list[str]]:
    warned, names = warn_of(tolerated)
    return msgspec.structs.replace(scored, warnings=(*warned, *scored.warnings)), names


def warn_of(tolerated: Sequence[Fault]) -> tuple[list[FeatureWarning], list[str]]:
    """Make warnings of unknown categories that were scored as missing; and their features."""
    tokens = [fault.pointer.rpartition("/")[2] for fault in tolerated]
    detail = "is a category that training never saw"
    warned = [FeatureWarning(f"/{token}", "unknown_category", detail) for token in tokens]
    # RFC 6901, section 4: ~1 first, or ~01 would become a slash.
    return warned, [token.replace("~1", "/").replace("~0", "~") for token in tokens]
