"""One value against one feature: checked and encoded. Pure.

A check takes a plain decoded value, and gives it encoded, or the code of what is wrong with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from bentos.errors import FaultCode
from bentos.model.contract import FLOAT32_MAX, INTEGER_LIMITS, Category, Feature

EncodedValue = float | int | bool | str | None


class NotFinite:
    """Stands for a number that JSON does not have: NaN, Infinity, or one beyond float64."""


NOT_FINITE = NotFinite()


Check = Callable[[Any], tuple[EncodedValue, FaultCode | None]]


def check_for(feature: Feature) -> Check:
    """Make the check of one feature's values: encoded, or None and what is wrong."""
    if feature.kind == "float":
        check = _float_check(FLOAT32_MAX if feature.dtype == "float" else math.inf)
    elif feature.kind == "integer":
        check = _integer_check(*INTEGER_LIMITS[feature.dtype])
    elif feature.kind == "boolean":
        check = _boolean_check
    elif feature.kind == "category":
        check = _category_check(feature.categories or ())
    else:
        check = _text_check
    is_nullable = feature.is_nullable

    def checked(value: Any) -> tuple[EncodedValue, FaultCode | None]:
        if value is None:
            return None, None if is_nullable else "not_nullable"
        if value is NOT_FINITE:
            return None, "not_finite"
        return check(value)

    return checked


def _float_check(limit: float) -> Check:
    def check(value: Any) -> tuple[EncodedValue, FaultCode | None]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None, "wrong_type"
        try:
            number = float(value)
        except OverflowError:
            return None, "not_finite"
        if not math.isfinite(number):
            return None, "not_finite"
        return (number, None) if abs(number) <= limit else (None, "out_of_bounds")

    return check


def _integer_check(low: int, high: int) -> Check:
    def check(value: Any) -> tuple[EncodedValue, FaultCode | None]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None, "wrong_type"
        if isinstance(value, float):
            if not math.isfinite(value):
                return None, "not_finite"
            # 3.0 is an integer to JSON Schema, and some clients know no other numbers.
            if not value.is_integer():
                return None, "wrong_type"
            value = int(value)
        return (value, None) if low <= value <= high else (None, "out_of_bounds")

    return check


def _boolean_check(value: Any) -> tuple[EncodedValue, FaultCode | None]:
    return (value, None) if isinstance(value, bool) else (None, "wrong_type")


def _text_check(value: Any) -> tuple[EncodedValue, FaultCode | None]:
    if not isinstance(value, str):
        return None, "wrong_type"
    # A lone surrogate is no Unicode text and cannot be stored or sent on.
    return (None, "malformed") if not _is_text(value) else (value, None)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _category_check(categories: tuple[Category, ...]) -> Check:
    codes = {value: float(code) for code, value in enumerate(categories)}
    types = {type(value) for value in categories}
    takes_numbers = bool(types & {int, float})

    def check(value: Any) -> tuple[EncodedValue, FaultCode | None]:
        # In Python True == 1; in JSON a boolean is never a number, nor a number a boolean.
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (type(value) in types or (is_number and takes_numbers)):
            return None, "wrong_type"
        code = codes.get(value)
        return (code, None) if code is not None else (None, "unknown_category")

    return check


_EXPECTED = {
    "float": "a JSON number",
    "integer": "a JSON integer",
    "boolean": "true or false",
    "category": "one of the model's categories",
    "text": "a JSON string",
}


def explain(feature: Feature, code: FaultCode) -> str:
    """Say what a value of a feature must be, for a code that its check gave."""
    if code == "not_nullable":
        return "may not be null"
    if code == "not_finite":
        return "must be a finite number: JSON has no NaN and no infinity"
    if code == "out_of_bounds":
        return f"does not fit the column type '{feature.dtype}' exactly"
    if code == "unknown_category":
        return "is not one of the model's categories: GET /v1/model lists them"
    if code == "malformed":
        return "is not well-formed Unicode text"
    null = " or null" if feature.is_nullable else ""
    return f"must be {_EXPECTED[feature.kind]}{null}"
