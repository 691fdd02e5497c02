"""Rows that a typed decoder filled, by column: numpy reads all their values in one pass. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.model.contract import INTEGER_LIMITS, Contract
from bentos.model.tables.table import Table
from bentos.model.values.row_types import LEFT_OUT

# What a category has in place of a code where the model does not know it.
_UNKNOWN = -1.0


class Decoded(msgspec.Struct, frozen=True):
    """Decoded rows by column.

    `members`, `colons`: of each row, how many features it was given, and how many colons their
    names and texts have; shape (rows,). `bad`: the places of rows with a value that only the
    check of single values can judge; the table says nothing of their faults.
    """

    table: Table
    members: NDArray[np.intp]
    bad: Sequence[int]
    _counter: ColonCounter
    _left_out: NDArray[np.bool_] | None

    def count_colons(self) -> NDArray[np.intp]:
        """Count the colons inside the names and the texts of each row."""
        return self._counter.count(self.table, self._left_out)

    def add_up_colons(self) -> int:
        """Count the colons of all rows together, which costs less."""
        return self._counter.add_up(self.table, self._left_out)


class StructEncoder:
    """Turns structs of `row_types.column_types` into tables under one contract."""

    def __init__(self, contract: Contract) -> None:
        features = list(enumerate(contract.features))
        self._contract = contract
        self._colons = ColonCounter(contract)
        self._texts = [position for position, one in features if one.kind == "text"]
        self._numbers = [position for position, one in features if one.kind != "text"]
        self._has_optional = any(one.optional for _, one in features)
        self._integers = [
            (position, *INTEGER_LIMITS[one.dtype])
            for position, one in features
            if one.kind == "integer"
        ]
        # Texts are decoded as their codes.
        self._codes: list[tuple[int, dict[object, float]]] = [
            (
                position,
                {None: np.nan, LEFT_OUT: LEFT_OUT}
                | {value: float(code) for code, value in enumerate(categories)},
            )
            for position, one in features
            if (categories := one.categories) is not None
            and not any(isinstance(value, str) for value in categories)
        ]

    def encode(self, rows: Sequence[msgspec.Struct], *, is_lenient: bool) -> Decoded | None:
        """Encode rows, at least one. `is_lenient`: any of them is of the lenient type.

        Gives None where a number of some row fits no float64.
        """
        count, width = len(rows), len(self._contract.features)
        values: Iterable[tuple[Any, ...]] = map(msgspec.structs.astuple, rows)
        plain: list[tuple[Any, ...]] = []
        numbers = len(self._numbers)
        if self._texts:
            plain = list(values)
            values = (row[:numbers] for row in plain)
        try:
            # None becomes NaN.
            flat = np.fromiter(chain.from_iterable(values), dtype=np.float64, count=count * numbers)
        except (OverflowError, ValueError):
            return None
        matrix = flat.reshape(count, numbers)
        texts: dict[int, list[str | None]] = {}
        if self._texts:
            spread = np.zeros((count, width), dtype=np.float64)
            spread[:, self._numbers] = matrix
            matrix = spread
            for place, position in enumerate(self._texts, start=numbers):
                column = [row[place] for row in plain]
                if self._contract.features[position].optional:
                    matrix[:, position] = [
                        one if one is LEFT_OUT else np.nan if one is None else 0.0 for one in column
                    ]
                    column = [None if one is LEFT_OUT else one for one in column]
                texts[position] = column
        is_bad = self._encode_codes(matrix, rows)
        left_out: NDArray[np.bool_] | None = None
        members = np.full(count, width, dtype=np.intp)
        if self._has_optional:
            is_left_out = np.isinf(matrix)
            if is_left_out.any():
                left_out = is_left_out
                matrix[left_out] = np.nan
                members -= left_out.sum(axis=1)
        if is_lenient:
            is_bad = is_bad | self._find_bad_integers(matrix)
        bad = np.flatnonzero(is_bad).tolist()
        table = Table(self._contract, matrix, texts)
        return Decoded(table, members, bad, self._colons, left_out)

    def _encode_codes(
        self, matrix: NDArray[np.float64], rows: Sequence[msgspec.Struct]
    ) -> NDArray[np.bool_]:
        is_bad = np.zeros(len(rows), dtype=np.bool_)
        for position, codes in self._codes:
            # From the values themselves: floats cannot tell every integer from the next.
            field = f"f{position}"
            matrix[:, position] = [codes.get(getattr(row, field), _UNKNOWN) for row in rows]
            is_bad |= matrix[:, position] == _UNKNOWN
        return is_bad

    def _find_bad_integers(self, matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
        is_bad = np.zeros(len(matrix), dtype=np.bool_)
        for position, low, high in self._integers:
            column = matrix[:, position]
            is_good = (np.floor(column) == column) & (column >= low) & (column <= high)
            is_bad |= ~(is_good | np.isnan(column))
            # -0.0 is no integer: the slow way makes 0 of it.
            column += 0.0
        return is_bad


class ColonCounter:
    """Counts the colons that rows have in the names of their features, and in their texts."""

    def __init__(self, contract: Contract) -> None:
        self._in_names = np.array([name.count(":") for name in contract.names], dtype=np.intp)
        # Of each category by its code; the last place is for a missing one.
        self._in_categories = [
            (position, np.array([*counts, 0], dtype=np.intp))
            for position, feature in enumerate(contract.features)
            if any(counts := [str(one).count(":") for one in feature.categories or ()])
        ]

    def count(self, table: Table, left_out: NDArray[np.bool_] | None) -> NDArray[np.intp]:
        """Count the colons of each row. `left_out`: which features it does not have."""
        colons = self._count_known(table, left_out)
        for column in table.texts.values():
            colons += np.array([0 if one is None else one.count(":") for one in column])
        return colons

    def add_up(self, table: Table, left_out: NDArray[np.bool_] | None) -> int:
        """Count the colons of all rows."""
        columns = table.texts.values()
        free = sum("".join(filter(None, column)).count(":") for column in columns)
        return int(self._count_known(table, left_out).sum()) + free

    def _count_known(self, table: Table, left_out: NDArray[np.bool_] | None) -> NDArray[np.intp]:
        colons = np.full(len(table), self._in_names.sum(), dtype=np.intp)
        if left_out is not None:
            colons -= left_out @ self._in_names
        for position, counts in self._in_categories:
            codes = table.matrix[:, position]
            colons += counts[np.where(np.isnan(codes), len(counts) - 1, codes).astype(np.intp)]
        return colons
