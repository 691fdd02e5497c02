"""Outcomes into the log: read, checked, looked up, stored, answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from math import ceil
from time import perf_counter
from typing import Any

from bentos.errors import MAX_LISTED, Fault, Problem, StoreDown
from bentos.ids import time_of
from bentos.model import json_rows
from bentos.model.contract import Contract
from bentos.model.validation import JsonObject
from bentos.protocols import feedback as documents
from bentos.protocols.feedback import (
    FeedbackAnswer,
    OutcomeAnswer,
    SubmittedOutcome,
    accepted,
    refused,
)
from bentos.protocols.protocol import JSON, Reply
from bentos.records.record import MOST_REVISIONS, OutcomeStatus
from bentos.records.writer.log import Log
from bentos.records.writer.outcomes import Feedback
from bentos.serving.admission import LARGE_BODY, Admission
from bentos.serving.body import BodyReader
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.exposition.table import OutcomeResult
from bentos.serving.http import Request, read_query
from bentos.serving.readiness import RETRY_AFTER
from bentos.settings import Settings

# A prediction reaches the log some hundred milliseconds after its answer. An outcome that is
# reported earlier waits: this many looks, this long between them.
_FRESH = timedelta(seconds=10)
_LOOKS = 4
_LOOK_SECONDS = 0.25

# Members of a document that may be mistakes: an answer lists no more faults.
_SPARE_MEMBERS = MAX_LISTED


# Problems that a client could not have avoided, apart from those that it could.
_REFUSALS: dict[str, OutcomeResult] = {
    "unknown-prediction": "unknown",
    "not-yet-logged": "not_yet",
}


class FeedbackRoute:
    """`POST /v1/feedback`: what turned out to be true of predictions."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        log: Log,
        admission: Admission,
        bodies: BodyReader,
    ) -> None:
        self._metrics = metrics
        self._max_items = settings.max_rows
        self._timeout_seconds = settings.timeout_seconds
        self._log = log
        self._admission = admission
        self._bodies = bodies

    async def answer(self, request: Request) -> Reply:
        """Record the outcomes of a body. Raises Problem, ClientGone."""
        read_query(request, {})
        self._admission.require_room(is_large=request.announced_bytes > LARGE_BODY)
        body = await self._bodies.read(request, (JSON,))
        # Two members each, so an array of the largest size has no more than these.
        limits = (self._max_items + 1, 2 * self._max_items + _SPARE_MEMBERS)
        with self._admission.admit():
            if len(body) > LARGE_BODY:
                parsing = self._admission.run_in_thread(json_rows.parse, body, *limits)
                document = await parsing
            else:
                document = json_rows.parse(body, *limits)
            count = len(document) if isinstance(document, list) else 1
            request.client.charge(count, perf_counter())
            made = await self._record(document, request.id)
            return Reply(json_rows.encode(made), status=HTTPStatus.ACCEPTED)

    async def record_values(self, outcomes: list[Any], request_id: str) -> Reply:
        """Record outcomes given as plain values. Raises Problem."""
        document = [JsonObject(one) if isinstance(one, dict) else one for one in outcomes]
        with self._admission.admit():
            return Reply(json_rows.encode(await self._record(document, request_id)))

    async def _record(self, document: object, request_id: str) -> OutcomeAnswer | FeedbackAnswer:
        feedback, recorder = self._log.feedback, self._log.recorder
        if feedback is None:
            raise Problem("no-log", "outcomes have no prediction to belong to")
        try:
            async with asyncio.timeout(self._timeout_seconds):
                made = await record_outcomes(
                    feedback,
                    document,
                    self._max_items,
                    request_id,
                    0.0 if recorder is None else recorder.oldest_age_seconds(datetime.now(UTC)),
                )
        except Problem as problem:
            self._metrics.observe_outcome(name_refusal(problem.kind))
            raise
        except StoreDown:
            raise Problem(
                "log-down", "nothing was recorded: send it again later", headers=RETRY_AFTER
            ) from None
        except TimeoutError:
            # The store may still be working; what it has recorded already does not change.
            raise Problem(
                "timeout",
                "the outcomes may be recorded or not: send them again, that changes nothing",
                headers=RETRY_AFTER,
            ) from None
        for result in name_results(made):
            self._metrics.observe_outcome(result)
        return made


async def record_outcomes(
    feedback: Feedback,
    document: object,
    max_items: int,
    request_id: str,
    behind_seconds: float = 0.0,
) -> OutcomeAnswer | FeedbackAnswer:
    """Store the good outcomes of a document, and report the result of each.

    `behind_seconds`: age of the oldest prediction that this worker has not written to the log.
    Raises Problem where a lone outcome, or the document itself, is not good; StoreDown.
    """
    given, is_list = documents.read(document, max_items)
    known = await _find(feedback, [one.id for one in given if not one.faults])
    # A younger prediction may not be in the log yet, whichever worker made it.
    wait = timedelta(seconds=max(behind_seconds, feedback.gather_seconds)) + _FRESH
    texts = [_write(one, known, wait) for one in given]
    good = [
        (one.id, text, request_id)
        for one, text in zip(given, texts, strict=True)
        if text is not None
    ]
    taken = iter(await feedback.write(good) if good else ())
    results = [
        refused(_problem(one)) if text is None else _answer(one, next(taken))
        for one, text in zip(given, texts, strict=True)
    ]
    if is_list:
        return FeedbackAnswer(results)
    if given[0].faults:
        seconds = max(1, ceil(feedback.gather_seconds))
        raise _problem(given[0], {"Retry-After": str(seconds)})
    return results[0]


def name_results(made: OutcomeAnswer | FeedbackAnswer) -> Iterator[OutcomeResult]:
    """Name what became of each outcome of an answer, for its counter."""
    for one in made.results if isinstance(made, FeedbackAnswer) else (made,):
        if isinstance(one.error, dict):
            yield name_refusal(str(one.error["code"]))
        else:
            yield "unchanged" if one.status == "unchanged" else "recorded"


def name_refusal(kind: str) -> OutcomeResult:
    """Name what became of an outcome that was answered by a kind of problem."""
    return _REFUSALS.get(kind, "refused")


async def _find(feedback: Feedback, ids: Sequence[str]) -> dict[str, Contract | None]:
    known = await feedback.find(ids) if ids else {}
    for _ in range(_LOOKS):
        fresh = [one for one in ids if one not in known and _is_fresh(one)]
        if not fresh:
            break
        await asyncio.sleep(_LOOK_SECONDS)
        known |= await feedback.find(fresh)
    return known


def _is_fresh(prediction_id: str, within: timedelta = _FRESH) -> bool:
    try:
        # The clock of another machine may be slightly ahead.
        return -_FRESH < datetime.now(UTC) - time_of(prediction_id) < within
    except ValueError:
        return False


def _write(one: SubmittedOutcome, known: dict[str, Contract | None], wait: timedelta) -> str | None:
    if one.faults:
        return None
    if one.id in known:
        return documents.write(one, known[one.id])
    if _is_fresh(one.id, wait):
        detail = "may be on its way to the log: send this outcome again later"
        one.faults.append(Fault(f"{one.pointer}/id", "not_yet", detail))
    else:
        one.faults.append(_unknown(one))
    return None


def _answer(one: SubmittedOutcome, taken: OutcomeStatus) -> OutcomeAnswer:
    if taken == "unknown":
        # The prediction was erased or dropped after it was found.
        one.faults.append(_unknown(one))
    elif taken == "too_many":
        detail = f"has changed {MOST_REVISIONS - 1} times already, and may not again"
        one.faults.append(Fault(f"{one.pointer}/outcome", "too_many_changes", detail))
    else:
        return accepted(one.id, taken)
    return refused(_problem(one))


def _unknown(one: SubmittedOutcome) -> Fault:
    return Fault(f"{one.pointer}/id", "unknown_id", "is not in the log")


def _problem(one: SubmittedOutcome, retry: Mapping[str, str] | None = None) -> Problem:
    if one.faults[0].code == "unknown_id":
        return Problem("unknown-prediction", "no outcome was recorded", faults=one.faults)
    if one.faults[0].code == "not_yet":
        detail = "no outcome was recorded: send it again later"
        return Problem("not-yet-logged", detail, faults=one.faults, headers=retry)
    count = len(one.faults)
    found = f"{count} {'fault' if count == 1 else 'faults'} found: see errors"
    return Problem("invalid-outcome", found, faults=one.faults)
