"""Tables that come by column: checked and encoded a column at a time. Pure.

Each column is looked at as a whole first, which costs some ten nanoseconds a value. A column
that is not plainly good is checked value by value with the same checks as rows (`checks`), which
are the authority; a property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from math import inf, isfinite
from typing import Any

from bentos.errors import Fault
from bentos.model.contract import FLOAT32_MAX, INTEGER_LIMITS, Feature
from bentos.model.validation import EncodedRow, Encoder, escape_pointer
from bentos.model.values.checks import Check, EncodedValue, check_for, explain

Values = Sequence[Any]
# A good column encoded; None where each of its values must be looked at.
Encode = Callable[[Values], Sequence[EncodedValue] | None]
# The place of a value in the body: the position of its feature in the contract, and its row.
Place = Callable[[int, int], str]


class ColumnEncoder:
    """Turns columns into encoded rows under one contract."""

    def __init__(self, encoder: Encoder) -> None:
        self.contract = encoder.contract
        self._tolerates_unknown = encoder.unknown_category == "missing"
        self._features = tuple(
            (feature, _encode_for(feature), check_for(feature))
            for feature in encoder.contract.features
        )

    def encode(
        self, columns: Mapping[int, Values], count: int, place: Place, pointer: str = ""
    ) -> tuple[list[EncodedRow], list[list[Fault]], list[Fault]]:
        """Encode `count` rows. `columns`: by position of the feature, each with `count` values.

        A value is what JSON has, None where it is missing. Gives the rows; of each row the
        faults that are tolerated (unknown categories scored as missing); and the faults that
        are not: where there are any, there are no rows. `pointer`: the place of the table.
        """
        faults: list[Fault] = []
        tolerated: dict[int, list[Fault]] = {}
        encoded: list[Sequence[EncodedValue]] = []
        for position, (feature, encode, check) in enumerate(self._features):
            values = columns.get(position)
            if values is None:
                if not feature.optional:
                    faults.append(Fault(pointer, "missing", f"'{feature.name}' is required"))
                encoded.append((None,) * count)
                continue
            if count == 1:
                # The check itself costs less than a look at a column of one.
                value, code = check(values[0])
                if code is None:
                    encoded.append((value,))
                    continue
            column = None if count == 1 else encode(values)
            if column is None:
                column = self._check(position, check, values, place, faults, tolerated)
            encoded.append(column)
        if faults:
            return [], [], faults
        rows = list(zip(*encoded, strict=True))
        found: list[list[Fault]] = [[] for _ in repeat(None, count)]
        for row, some in tolerated.items():
            found[row] = some
        return rows, found, []

    def _check(
        self,
        position: int,
        check: Check,
        values: Values,
        place: Place,
        faults: list[Fault],
        tolerated: dict[int, list[Fault]],
    ) -> list[EncodedValue]:
        feature = self.contract.features[position]
        column: list[EncodedValue] = []
        for row, value in enumerate(values):
            encoded, code = check(value)
            column.append(encoded)
            if code is None:
                continue
            if code == "unknown_category" and self._tolerates_unknown:
                pointer = f"/{escape_pointer(feature.name)}"
                tolerated.setdefault(row, []).append(Fault(pointer, code, explain(feature, code)))
            else:
                detail = f"'{feature.name}' {explain(feature, code)}"
                faults.append(Fault(place(position, row), code, detail))
        return column


def _encode_for(feature: Feature) -> Encode:
    if feature.kind == "float":
        limit = FLOAT32_MAX if feature.dtype == "float" else inf
        return lambda values: _floats(values, limit)
    if feature.kind == "integer":
        low, high = INTEGER_LIMITS[feature.dtype]
        return lambda values: _integers(values, low, high)
    if feature.kind == "boolean":
        return lambda values: values if set(map(type, values)) == {bool} else None
    if feature.kind == "category":
        return _categories_of(feature)
    return _texts


def _floats(values: Values, limit: float) -> Sequence[EncodedValue] | None:
    types = set(map(type, values))
    if types != {float}:
        if not types <= {float, int, type(None)}:
            return None
        try:
            values = [None if value is None else float(value) for value in values]
        except OverflowError:
            return None
        present = [value for value in values if value is not None]
    else:
        present = values  # type: ignore[assignment]  # a sequence does as well as a list
    # One sum costs a third of a look at each; it is finite only where all are.
    if not isfinite(sum(present)) and not all(map(isfinite, present)):
        return None
    if limit < inf and present and not -limit <= min(present) <= max(present) <= limit:
        return None
    return values


def _integers(values: Values, low: int, high: int) -> Sequence[EncodedValue] | None:
    if set(map(type, values)) != {int} or not low <= min(values) <= max(values) <= high:
        return None
    return values


def _categories_of(feature: Feature) -> Encode:
    categories = feature.categories or ()
    codes: dict[object, float | None] = {
        value: float(code) for code, value in enumerate(categories)
    }
    codes[None] = None
    types = {type(value) for value in categories}

    def encode(values: Values) -> Sequence[EncodedValue] | None:
        # In Python True == 1; other types than those of the categories are left to the check.
        if not set(map(type, values)) <= types | {type(None)}:
            return None
        try:
            return [codes[value] for value in values]
        except KeyError:
            return None

    return encode


def _texts(values: Values) -> Sequence[EncodedValue] | None:
    if set(map(type, values)) != {str}:
        return None
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return None
    return values
