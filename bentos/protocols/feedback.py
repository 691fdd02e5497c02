"""Outcomes that clients send, against the form and the classes. Pure.

A document is one `{"id", "outcome"}` or a list of them. An error in one item is reported in
its place and does not affect the others.
"""

from __future__ import annotations

import json
import math
from itertools import islice
from typing import Literal

import msgspec

from bentos.errors import Fault, Problem
from bentos.ids import check_id
from bentos.model.contract import Category, Contract
from bentos.model.validation import MAX_NAMES, JsonObject
from bentos.model.values.checks import NOT_FINITE
from bentos.protocols.v1 import error_in_place

_MEMBERS = ("id", "outcome")
# Errors are squared and added up: of numbers up to this one, the sum of any number of squares is
# a float64. Nothing that is measured is larger.
LARGEST_OUTCOME = 1e100

_SCALARS = (str, int, float, bool)


class SubmittedOutcome(msgspec.Struct):
    """One item of a document: its values, or its faults.

    `pointer`: its place in the document, empty for a lone one.
    """

    pointer: str
    id: str = ""
    value: Category = ""
    faults: list[Fault] = []


class OutcomeAnswer(msgspec.Struct, omit_defaults=True):
    """The result for one outcome: `status` is `recorded` or `unchanged`, or there is an error."""

    id: str | msgspec.UnsetType = msgspec.UNSET
    status: str | msgspec.UnsetType = msgspec.UNSET
    error: dict[str, object] | msgspec.UnsetType = msgspec.UNSET


class FeedbackAnswer(msgspec.Struct):
    """The answer to a list of outcomes, in their order."""

    results: list[OutcomeAnswer]


def accepted(prediction_id: str, status: Literal["recorded", "unchanged"]) -> OutcomeAnswer:
    """Answer that an outcome is in the log."""
    return OutcomeAnswer(prediction_id, status)


def refused(problem: Problem) -> OutcomeAnswer:
    """Answer with an error in the place of an outcome."""
    return OutcomeAnswer(error=error_in_place(problem))


def read(document: object, max_items: int) -> tuple[list[SubmittedOutcome], bool]:
    """Read a decoded document; says also whether it is a list.

    Raises Problem for what is neither an object nor a list, or a list of no or too many.
    """
    if isinstance(document, JsonObject):
        return [_read_one(document, "")], False
    if not isinstance(document, list):
        raise _refusal("wrong_type", "must be an object with id and outcome, or an array of them")
    if not document:
        raise _refusal("empty_batch", "must have at least one outcome")
    if len(document) > max_items:
        raise _refusal("too_many_rows", f"may have at most {max_items} outcomes a request")
    return [_read_one(item, f"/{number}") for number, item in enumerate(document)], True


def write(given: SubmittedOutcome, contract: Contract | None) -> str | None:
    """Write an outcome as the log keeps it: the class as text, or the number's shortest text.

    Under the contract that made the prediction, if it is known. None where it cannot be,
    with the fault added.
    """
    value, classes = given.value, None if contract is None else contract.classes
    place = f"{given.pointer}/outcome"
    if contract is None:
        return value if isinstance(value, str) else json.dumps(value)
    if classes is None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            given.faults.append(Fault(place, "wrong_type", "must be a JSON number"))
            return None
        return repr(float(value))
    for label in classes:
        # In Python True == 1; in JSON a boolean is never a number.
        if value == label and isinstance(value, bool) == isinstance(label, bool):
            return str(label)
    detail = "is not one of the model's classes: GET /v1/model lists them"
    given.faults.append(Fault(place, "unknown_class", detail))
    return None


def _read_one(item: object, pointer: str) -> SubmittedOutcome:
    given = SubmittedOutcome(pointer, faults=[])
    if not isinstance(item, JsonObject):
        given.faults.append(Fault(pointer, "wrong_type", "must be an object with id and outcome"))
        return given
    unknown = (number for number, name in enumerate(item, start=1) if name not in _MEMBERS)
    for number in islice(unknown, MAX_NAMES):
        detail = f"member {number} is neither id nor outcome"
        given.faults.append(Fault(pointer, "unknown_member", detail))
    for number, _ in item.duplicates[:MAX_NAMES]:
        detail = f"member {number} repeats an earlier key"
        given.faults.append(Fault(pointer, "duplicate_key", detail))
    for name in _MEMBERS:
        if name not in item:
            given.faults.append(Fault(f"{pointer}/{name}", "missing", "is required"))
    if "id" in item:
        _read_id(given, item["id"])
    if "outcome" in item:
        _read_outcome(given, item["outcome"])
    return given


def _read_id(given: SubmittedOutcome, value: object) -> None:
    place = f"{given.pointer}/id"
    if not isinstance(value, str):
        given.faults.append(Fault(place, "wrong_type", "must be a JSON string"))
        return
    try:
        check_id(value)
    except ValueError:
        detail = "is not a prediction id as this service gives them: a UUIDv7 in lower case"
        given.faults.append(Fault(place, "malformed", detail))
    else:
        given.id = value


def _read_outcome(given: SubmittedOutcome, value: object) -> None:
    place = f"{given.pointer}/outcome"
    if value is NOT_FINITE or (isinstance(value, int | float) and not _is_finite(value)):
        given.faults.append(Fault(place, "not_finite", "must be a finite number"))
    elif isinstance(value, int | float) and abs(value) > LARGEST_OUTCOME:
        detail = f"must be between {-LARGEST_OUTCOME:g} and {LARGEST_OUTCOME:g}"
        given.faults.append(Fault(place, "out_of_bounds", detail))
    elif isinstance(value, str) and not _is_storable(value):
        given.faults.append(Fault(place, "malformed", "is not text that can be stored"))
    elif isinstance(value, _SCALARS):
        given.value = value
    else:
        detail = "must be a class of the model, or a number for a regression"
        given.faults.append(Fault(place, "wrong_type", detail))


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:
        # An integer that no float64 can hold.
        return False


def _is_storable(text: str) -> bool:
    # A lone surrogate is no Unicode text, and PostgreSQL's text has no NUL.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _refusal(code: str, detail: str) -> Problem:
    fault = Fault("", code, detail)  # type: ignore[arg-type]  # one of FaultCode, by the callers above
    return Problem("invalid-outcome", "1 fault found: see errors", faults=[fault])
