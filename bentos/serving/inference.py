"""Encoded rows through the model: single ones batched, whole requests as they are; counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from time import perf_counter

import msgspec

from bentos.errors import MAX_LISTED, Fault, Problem
from bentos.model import json_rows
from bentos.model.frame import FeatureWarning
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Batch, Scored
from bentos.model.validation import EncodedRow
from bentos.protocols.answers import (
    BatchAnswer,
    Prediction,
    has_finite_score,
    prediction,
    predictions,
    rejection,
)
from bentos.serving.batching import Batcher
from bentos.serving.http import Timing
from bentos.serving.metrics import Metrics
from bentos.serving.readiness import Readiness
from bentos.settings import Settings

# Ids, encoded rows and what they scored, of the same length.
AnsweredRows = tuple[list[str], list[EncodedRow], list[Scored]]


class BatchResult(msgspec.Struct):
    """What the rows of one request came to: the answer, or the problem, and what to count.

    `faults`: of the rejected rows. `unknown`: names of the features whose category was
    scored as missing, once for each time. `answered`: what got a score, for the log.
    """

    rows: int = 0
    answer: BatchAnswer | None = None
    problem: Problem | None = None
    batch: Batch | None = None
    rejected: int = 0
    faults: list[Fault] = []
    unknown: list[str] = []
    answered: AnsweredRows = ([], [], [])


class Flow:
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
    def wait_seconds(self) -> float:
        """How long a row has been waiting for its batch at this moment."""
        return self._batcher.oldest_wait_seconds

    async def score_row(self, row: EncodedRow, tolerated: list[Fault], timing: Timing) -> Scored:
        """Score one row together with those that are there at the same time.

        Raises TimeoutError where its turn did not come in time, Problem where the model
        may no longer be served.
        """
        timing.decoded = perf_counter()
        scored, timing.dispatched, timing.scored = await self._batcher.submit(row)
        if not tolerated:
            return scored
        scored, unknown = _with_tolerated(scored, tolerated)
        for feature in unknown:
            self._metrics.observe_unknown_category(feature)
        return scored

    def _score_batch(self, rows: list[EncodedRow]) -> list[tuple[Scored, float, float]]:
        dispatched = perf_counter()
        served = self._readiness.require()
        batch = served.scorer.score(rows)
        done = perf_counter()
        self._count_batch(served, batch)
        return [(one, dispatched, done) for one in batch.scored]

    def count(self, served: LoadedModel, work: BatchResult) -> None:
        """Count what became of a request's rows. Only on the event loop's thread."""
        if work.batch is not None:
            self._count_batch(served, work.batch)
        if work.rejected:
            self._metrics.observe_rows("rejected", work.rejected)
            self._metrics.observe_faults(work.faults)
        for feature in work.unknown:
            self._metrics.observe_unknown_category(feature)

    def _count_batch(self, served: LoadedModel, batch: Batch) -> None:
        stored = served.stored
        self._metrics.observe_rows("scored", len(batch.scored))
        self._metrics.observe_screening(batch.screening)
        self._metrics.observe_labels(stored.name, stored.version, batch.labels)


def score_body(
    served: LoadedModel, body: bytes, max_rows: int, timing: Timing, *, is_rejecting: bool
) -> tuple[BatchResult, bytes]:
    """Read, score and encode a batch request whole; counts nothing, so any thread may.

    With `is_rejecting`, one row with faults refuses the request. Raises Problem where the
    envelope is wrong.
    """
    rows, faults = served.reader.read_instances(body, max_rows)
    if is_rejecting and None in rows:
        listed = [fault for row in faults for fault in row]
        return BatchResult(
            rows=len(rows), problem=json_rows.invalid(listed), rejected=len(rows)
        ), b""
    work = score_rows(served, rows, faults, timing)
    return work, json_rows.encode(work.answer)


def score_rows(
    served: LoadedModel,
    rows: list[EncodedRow | None],
    faults: list[list[Fault]],
    timing: Timing,
) -> BatchResult:
    """Score the rows of one request, an error in the place of each that has faults."""
    timing.decoded = timing.dispatched = perf_counter()
    good = [row for row in rows if row is not None]
    batch = served.scorer.score(good) if good else None
    timing.scored = perf_counter()
    work = BatchResult(rows=len(rows), batch=batch, rejected=len(rows) - len(good))
    scored = batch.scored if batch is not None else []
    if any(faults):
        good_faults = [found for row, found in zip(rows, faults, strict=True) if row is not None]
        for place, tolerated in enumerate(good_faults):
            if tolerated:
                scored[place], unknown = _with_tolerated(scored[place], tolerated)
                work.unknown += unknown
        answers = list(_with_faults(served, rows, faults, iter(scored), work))
    else:
        answers = predictions(served.contract, scored)
    work.answer = BatchAnswer(served.reference, answers)
    work.answered = _answered(answers, good, scored)
    return work


def _answered(
    answers: list[Prediction], good: list[EncodedRow], scored: list[Scored]
) -> AnsweredRows:
    if len(answers) == len(good) and all(one.error is msgspec.UNSET for one in answers):
        return [one.id for one in answers], good, scored
    # A good row may still have got an error in its place: a score that is no number.
    ids = [one.id for one in answers if one.error is msgspec.UNSET]
    kept = [(row, one) for row, one in zip(good, scored, strict=True) if has_finite_score(one)]
    return ids, [row for row, _ in kept], [one for _, one in kept]


def _with_faults(
    served: LoadedModel,
    rows: list[EncodedRow | None],
    faults: list[list[Fault]],
    scored: Iterator[Scored],
    work: BatchResult,
) -> Iterator[Prediction]:
    listed = MAX_LISTED
    for row, row_faults in zip(rows, faults, strict=True):
        if row is None:
            yield rejection(row_faults, listed)
            listed = max(0, listed - len(row_faults))
            work.faults += row_faults
        else:
            yield prediction(served.contract, next(scored))


def _with_tolerated(scored: Scored, tolerated: Sequence[Fault]) -> tuple[Scored, list[str]]:
    tokens = [fault.pointer.rpartition("/")[2] for fault in tolerated]
    detail = "is a category that training never saw"
    warned = [FeatureWarning(f"/{token}", "unknown_category", detail) for token in tokens]
    # RFC 6901, section 4: ~1 first, or ~01 would become a slash.
    names = [token.replace("~1", "/").replace("~0", "~") for token in tokens]
    return msgspec.structs.replace(scored, warnings=(*warned, *scored.warnings)), names
