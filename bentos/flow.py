"""Encoded rows through the model: batched, screened, counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from time import perf_counter

import msgspec

from bentos.answers import Prediction, prediction, rejection
from bentos.batching import Batcher
from bentos.errors import MAX_LISTED, Fault
from bentos.frame import Screening, Warned
from bentos.http import Timing
from bentos.loading import Served
from bentos.metrics import Metrics
from bentos.readiness import Readiness
from bentos.scoring import Scored
from bentos.settings import Settings
from bentos.validation import EncodedRow

# Rows scored by one call for a large request, so that other threads get their turn between.
_CHUNK_ROWS = 1024


class Flow:
    """Scores the rows of one worker's requests."""

    def __init__(self, settings: Settings, metrics: Metrics, readiness: Readiness) -> None:
        self._settings = settings
        self._metrics = metrics
        self._readiness = readiness
        self._batcher: Batcher[EncodedRow, tuple[Scored, float, float]] = Batcher(
            self._score_batch,
            max_rows=settings.batch_max_rows,
            wait_seconds=settings.batch_wait_ms / 1e3,
            timeout_seconds=settings.timeout_seconds,
            observe=metrics.observe_batch,
        )

    async def score_row(self, row: EncodedRow, tolerated: list[Fault], timing: Timing) -> Scored:
        """Score one row together with those that are there at the same time.

        Raises TimeoutError where its turn did not come in time, Problem where the model
        may no longer be served.
        """
        timing.decoded = perf_counter()
        scored, timing.dispatched, timing.scored = await self._batcher.submit(row)
        return self._with_tolerated(scored, tolerated) if tolerated else scored

    async def score_rows(
        self,
        served: Served,
        rows: list[EncodedRow | None],
        faults: list[list[Fault]],
        timing: Timing,
    ) -> list[Prediction]:
        """Score the rows of one request, an error in the place of each that has faults."""
        timing.decoded = timing.dispatched = perf_counter()
        good = [row for row in rows if row is not None]
        scored: list[Scored] = []
        # Up to the size of a batch of single rows, a turn of the event loop bears it too.
        if 0 < len(good) <= self._settings.batch_max_rows:
            scored = self._count(served, *served.scorer.score(good))
        else:
            for start in range(0, len(good), _CHUNK_ROWS):
                chunk = good[start : start + _CHUNK_ROWS]
                scored += self._count(served, *await asyncio.to_thread(served.scorer.score, chunk))
        timing.scored = perf_counter()
        if len(good) < len(rows):
            self._metrics.observe_rows("rejected", len(rows) - len(good))
        answers = iter(scored)
        listed = MAX_LISTED
        predictions: list[Prediction] = []
        for row, row_faults in zip(rows, faults, strict=True):
            if row is None:
                self._metrics.observe_faults(row_faults)
                predictions.append(rejection(row_faults, listed))
                listed = max(0, listed - len(row_faults))
            else:
                one = next(answers)
                if row_faults:
                    one = self._with_tolerated(one, row_faults)
                predictions.append(prediction(served.contract, one))
        return predictions

    def _score_batch(self, rows: list[EncodedRow]) -> list[tuple[Scored, float, float]]:
        dispatched = perf_counter()
        served = self._readiness.require()
        scored = self._count(served, *served.scorer.score(rows))
        done = perf_counter()
        return [(one, dispatched, done) for one in scored]

    def _count(self, served: Served, scored: list[Scored], screening: Screening) -> list[Scored]:
        self._metrics.observe_rows("scored", len(scored))
        self._metrics.observe_screening(screening)
        if served.contract.classes is not None:
            stored = served.stored
            labels = Counter(str(one.label) for one in scored)
            self._metrics.observe_labels(stored.name, stored.version, labels)
        return scored

    def _with_tolerated(self, scored: Scored, tolerated: Sequence[Fault]) -> Scored:
        warned = []
        for fault in tolerated:
            token = fault.pointer.rpartition("/")[2]
            # RFC 6901, section 4: ~1 first, or ~01 would become a slash.
            self._metrics.observe_unknown_category(token.replace("~1", "/").replace("~0", "~"))
            detail = "is a category that training never saw"
            warned.append(Warned(f"/{token}", "unknown_category", detail))
        return msgspec.structs.replace(scored, warnings=(*warned, *scored.warnings))
