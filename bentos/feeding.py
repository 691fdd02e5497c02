"""Outcomes from a decoded document into the log: checked, looked up, stored, answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from bentos import outcomes
from bentos.answers import Accepted, accepted, refused
from bentos.contract import Contract
from bentos.errors import Fault, Problem
from bentos.outcomes import Given
from bentos.records.feedback import Feedback
from bentos.records.record import time_of

# A prediction is in the log some hundred milliseconds after its answer: who reports its
# outcome that fast is let wait, this often and so long each time.
_FRESH = timedelta(seconds=10)
_LOOKS = 4
_LOOK_SECONDS = 0.25


class FeedbackAnswer(msgspec.Struct):
    """The answer to a list of outcomes, in their order."""

    results: list[Accepted]


async def record_outcomes(
    feedback: Feedback, document: object, max_items: int, request_id: str
) -> Accepted | FeedbackAnswer:
    """Store the outcomes of a document that are good, and tell of each what became of it.

    Raises Problem where a lone outcome, or the document itself, is not good; StoreDown.
    """
    given, is_list = outcomes.read(document, max_items)
    known = await _find(feedback, [one.id for one in given if not one.faults])
    texts = [_write(one, known) for one in given]
    good = [
        (one.id, text, request_id)
        for one, text in zip(given, texts, strict=True)
        if text is not None
    ]
    news = iter(await feedback.write(good) if good else ())
    results = [
        refused(_problem(one)) if text is None else accepted(one.id, is_news=next(news))
        for one, text in zip(given, texts, strict=True)
    ]
    if is_list:
        return FeedbackAnswer(results)
    if given[0].faults:
        raise _problem(given[0])
    return results[0]


async def _find(feedback: Feedback, ids: Sequence[str]) -> dict[str, Contract | None]:
    known = await feedback.find(ids) if ids else {}
    for _ in range(_LOOKS):
        fresh = [one for one in ids if one not in known and _is_fresh(one)]
        if not fresh:
            break
        await asyncio.sleep(_LOOK_SECONDS)
        known |= await feedback.find(fresh)
    return known


def _is_fresh(prediction_id: str) -> bool:
    try:
        return abs(datetime.now(UTC) - time_of(prediction_id)) < _FRESH
    except ValueError:
        return False


def _write(one: Given, known: dict[str, Contract | None]) -> str | None:
    if one.faults:
        return None
    if one.id not in known:
        detail = "is not in the log; a prediction may take some seconds to get there"
        one.faults.append(Fault(f"{one.pointer}/id", "unknown_id", detail))
        return None
    return outcomes.write(one, known[one.id])


def _problem(one: Given) -> Problem:
    if one.faults[0].code == "unknown_id":
        return Problem("unknown-prediction", "no outcome was recorded", faults=one.faults)
    count = len(one.faults)
    found = f"{count} {'fault' if count == 1 else 'faults'} found: see errors"
    return Problem("invalid-outcome", found, faults=one.faults)
