"""Columns against the contract: whole columns at once where they are good. Pure.

A column is checked by numpy as far as it is surely good. Every other value goes through the
check of single values, which is the authority: no format has rules of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.errors import Fault, FaultCode
from bentos.model.contract import FLOAT32_MAX, INTEGER_LIMITS, Feature
from bentos.model.tables.table import Table
from bentos.model.validation import MAX_NAMES, Encoder, Hints, escape_pointer
from bentos.model.values.checks import NOT_FINITE, Check, EncodedValue, check_for, explain


class Numbers(msgspec.Struct, frozen=True):
    """A column of booleans, integers or floats, of shape (rows,). `missing`: None for no row."""

    values: NDArray[Any]
    missing: NDArray[np.bool_] | None = None


class Levels(msgspec.Struct, frozen=True):
    """A column of few values: `codes` gives the place in `values` of each row's, -1 for missing.

    `values`: plain values as JSON has them, None for missing.
    """

    codes: NDArray[np.intp]
    values: Sequence[object]


class Values(msgspec.Struct, frozen=True):
    """A column of plain values as JSON has them, None where missing."""

    values: Sequence[object]


Column = Numbers | Levels | Values
Codes = dict[int, FaultCode]


class TableEncoder:
    """Turns columns into tables under one contract."""

    def __init__(self, encoder: Encoder) -> None:
        self.contract = encoder.contract
        self._checks = tuple(map(check_for, encoder.contract.features))
        self._tolerates_unknown = encoder.unknown_category == "missing"

    def bind(self, names: Sequence[str]) -> tuple[dict[int, int], list[Fault]]:
        """Bind the names of a table's columns to features.

        Gives the place of the column of each feature, by the feature's position, and what is
        wrong with the names.
        """
        positions = self.contract.positions
        bound: dict[int, int] = {}
        faults: list[Fault] = []
        hints = Hints()
        wrong = 0
        for place, name in enumerate(names):
            position = positions.get(name)
            if position is not None and position not in bound:
                bound[position] = place
                continue
            wrong += 1
            if wrong > MAX_NAMES:
                continue
            if position is not None:
                pointer = f"/{escape_pointer(name)}"
                detail = f"column {place + 1} repeats an earlier one"
                faults.append(Fault(pointer, "duplicate_key", detail))
                continue
            nearest = hints.nearest(name, positions)
            hint = f"; the nearest is '{nearest}'" if nearest else ""
            detail = f"column {place + 1} is not a feature of this model{hint}"
            faults.append(Fault("", "unknown_feature", detail))
        if wrong > MAX_NAMES:
            detail = f"{wrong - MAX_NAMES} more columns are wrong in these ways"
            faults.append(Fault("", "unknown_feature", detail))
        faults += [
            Fault(f"/{escape_pointer(feature.name)}", "missing", "is required")
            for position, feature in enumerate(self.contract.features)
            if position not in bound and not feature.optional
        ]
        return bound, faults

    def encode(self, columns: Mapping[int, Column], rows: int, pointer: str, first: int) -> Table:
        """Encode columns of `rows` values each, by the positions of their features.

        A feature without a column is missing in every row. `pointer` and `first`: to the
        array of rows, and the number of the first one in it, for faults.
        """
        matrix = np.empty((rows, len(self.contract.features)), dtype=np.float64)
        texts: dict[int, Sequence[str | None]] = {}
        faults: dict[int, list[Fault]] = {}
        tolerated: dict[int, list[Fault]] = {}
        for position, feature in enumerate(self.contract.features):
            column = columns.get(position)
            if column is None:
                matrix[:, position] = np.nan
                codes: Codes = {}
                if feature.kind == "text":
                    texts[position] = [None] * rows
            else:
                check = self._checks[position]
                if isinstance(column, Numbers):
                    values, codes = _encode_numbers(feature, check, column)
                elif isinstance(column, Levels):
                    values, codes = _encode_codes(check, column)
                    if feature.kind == "text":
                        texts[position] = _spread(column)
                        values = np.array(
                            [np.nan if one is None else 0.0 for one in texts[position]]
                        )
                else:
                    plain, codes = _check_each(check, column.values)
                    if feature.kind == "text":
                        texts[position] = plain  # type: ignore[assignment]  # its check gives texts
                        plain = [None if one is None else 0.0 for one in plain]
                    values = np.array(plain, dtype=np.float64)
                matrix[:, position] = values
            is_tolerated = self._tolerates_unknown
            for place in sorted(codes):
                code = codes[place]
                into = tolerated if is_tolerated and code == "unknown_category" else faults
                where = f"{pointer}/{first + place}/{escape_pointer(feature.name)}"
                into.setdefault(place, []).append(Fault(where, code, explain(feature, code)))
        kept = {place: found for place, found in tolerated.items() if place not in faults}
        return Table(self.contract, matrix, texts, faults, kept)


def _encode_numbers(
    feature: Feature, check: Check, column: Numbers
) -> tuple[NDArray[np.float64], Codes]:
    values = column.values
    if feature.kind == "category":
        return _encode_levels(feature, check, column)
    if values.dtype == np.float16:
        # numpy's comparisons with larger limits overflow in it.
        values = values.astype(np.float64)
    is_good = _find_good(feature, values)
    numbers = values.astype(np.float64)
    codes: Codes = {}
    if column.missing is not None:
        numbers = np.where(column.missing, np.nan, numbers)
        if not feature.is_nullable:
            codes = dict.fromkeys(np.flatnonzero(column.missing).tolist(), "not_nullable")
        is_good = is_good | column.missing
    if is_good.all():
        # -0.0 is no integer: JSON's reader makes 0 of it.
        return (numbers + 0.0 if feature.kind == "integer" else numbers), codes
    for place in np.flatnonzero(~is_good).tolist():
        encoded, code = check(_plain(values[place].item()))
        numbers[place] = np.nan if encoded is None else float(encoded)
        if code is not None:
            codes[place] = code
    return (numbers + 0.0 if feature.kind == "integer" else numbers), codes


def _find_good(feature: Feature, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each value is surely one that the feature takes."""
    kind = values.dtype.kind
    if feature.kind == "boolean" or kind == "b":
        return np.full(len(values), feature.kind == "boolean" and kind == "b")
    if feature.kind == "integer":
        return _find_good_integers(*INTEGER_LIMITS[feature.dtype], values)
    if feature.kind != "float":
        return np.zeros(len(values), dtype=np.bool_)
    if kind != "f":
        return np.ones(len(values), dtype=np.bool_)
    if feature.dtype == "float":
        return np.asarray(np.abs(values) <= FLOAT32_MAX)
    return np.asarray(np.isfinite(values))


def _find_good_integers(low: int, high: int, values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind == "f":
        return np.asarray((np.floor(values) == values) & (values >= low) & (values <= high))
    # A limit that the column's own type cannot pass does not fit into that type either.
    bounds = np.iinfo(values.dtype)
    is_good = np.ones(len(values), dtype=np.bool_)
    if bounds.min < low:
        is_good &= values >= low
    if bounds.max > high:
        is_good &= values <= high
    return is_good


def _encode_levels(
    feature: Feature, check: Check, column: Numbers
) -> tuple[NDArray[np.float64], Codes]:
    levels, places = np.unique(column.values, return_inverse=True)
    encoded, wrong = _check_each(check, [_plain(level) for level in levels.tolist()])
    numbers = np.array(encoded, dtype=np.float64)[places]
    missing = column.missing
    codes: Codes = {}
    if wrong:
        is_wrong = np.isin(places, list(wrong))
        if missing is not None:
            is_wrong &= ~missing
        codes = {place: wrong[int(places[place])] for place in np.flatnonzero(is_wrong).tolist()}
    if missing is not None:
        numbers[missing] = np.nan
        if not feature.is_nullable:
            codes |= dict.fromkeys(np.flatnonzero(missing).tolist(), "not_nullable")
    return numbers, codes


def _encode_codes(check: Check, column: Levels) -> tuple[NDArray[np.float64], Codes]:
    # Missing has the code -1: the last place.
    encoded, wrong = _check_each(check, [*column.values, None])
    values = [np.nan if one is None or isinstance(one, str) else float(one) for one in encoded]
    numbers = np.array(values, dtype=np.float64)[column.codes]
    if not wrong:
        return numbers, {}
    last = len(column.values)
    places = np.where(column.codes < 0, last, column.codes)
    is_wrong = np.isin(places, list(wrong))
    return numbers, {
        place: wrong[int(places[place])] for place in np.flatnonzero(is_wrong).tolist()
    }


def _spread(column: Levels) -> list[str | None]:
    names = [one if isinstance(one, str) else None for one in column.values]
    # Missing has the code -1: the last place.
    names.append(None)
    return [names[code] for code in column.codes.tolist()]


def _check_each(check: Check, values: Sequence[object]) -> tuple[list[EncodedValue], Codes]:
    encoded: list[EncodedValue] = []
    codes: Codes = {}
    for place, value in enumerate(values):
        one, code = check(value)
        encoded.append(one)
        if code is not None:
            codes[place] = code
    return encoded, codes


def _plain(value: object) -> object:
    is_odd = isinstance(value, float) and not np.isfinite(value)
    return NOT_FINITE if is_odd else value
