"""Encoded rows by column: the matrix that a model reads, without an object for each row. Pure.

What needs rows all the same (the prediction log, a pyfunc model) makes them when it reads
them, a block at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.errors import Fault
from bentos.model.contract import Contract
from bentos.model.validation import EncodedRow
from bentos.model.values.checks import EncodedValue

T = TypeVar("T")

# So few rows cost less one by one than by column.
_FEW = 8
# Items that are made at a time when all are read: as many as one segment of the log has.
_BLOCK = 512


class Lazy(Sequence[T]):
    """A sequence whose items are made when they are read.

    `make`: gives the items from a start up to an end.
    """

    def __init__(self, length: int, make: Callable[[int, int], Sequence[T]]) -> None:
        self._length = length
        self._make = make

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        if isinstance(place, slice):
            start, end, step = place.indices(self._length)
            return self._make(start, max(start, end))[::step] if step == 1 else [*self][place]
        if not -self._length <= place < self._length:
            raise IndexError(place)
        start = place % self._length
        return self._make(start, start + 1)[0]

    def __iter__(self) -> Iterator[T]:
        for start in range(0, self._length, _BLOCK):
            yield from self._make(start, min(start + _BLOCK, self._length))


class Table(msgspec.Struct, frozen=True):
    """Rows of one contract, by column.

    `matrix`: float64 of shape (rows, features) in contract order; NaN for missing, booleans
    as 0 and 1, categories as codes, text as 0. Numbers are as they were sent: a `float` column
    is not rounded yet. `texts`: the column of each feature of kind "text", by its position.
    `faults`: of each row that cannot be scored, by its place in the table; its numbers mean
    nothing. `tolerated`: of rows that are scored all the same.
    """

    contract: Contract
    matrix: NDArray[np.float64]
    texts: Mapping[int, Sequence[str | None]] = {}
    faults: Mapping[int, list[Fault]] = {}
    tolerated: Mapping[int, list[Fault]] = {}

    def __len__(self) -> int:
        return len(self.matrix)

    @property
    def rows(self) -> Sequence[EncodedRow]:
        """The rows as `validation` encodes them."""
        return Lazy(len(self.matrix), self._make_rows)

    @property
    def good(self) -> NDArray[np.intp] | None:
        """The places of the rows without faults; None where that is all of them."""
        if not self.faults:
            return None
        is_good = np.ones(len(self.matrix), dtype=np.bool_)
        is_good[list(self.faults)] = False
        return np.flatnonzero(is_good)

    def take(self, places: NDArray[np.intp]) -> Table:
        """Make a table of some rows, without their faults."""
        listed = places.tolist()
        texts = {
            position: [column[place] for place in listed] for position, column in self.texts.items()
        }
        return Table(self.contract, self.matrix[places], texts)

    @classmethod
    def join(cls, tables: Sequence[Table]) -> Table:
        """Make one table of several of one contract, one after the other."""
        if len(tables) == 1:
            return tables[0]
        texts = {
            position: [text for table in tables for text in table.texts[position]]
            for position in tables[0].texts
        }
        faults: dict[int, list[Fault]] = {}
        tolerated: dict[int, list[Fault]] = {}
        start = 0
        for table in tables:
            faults |= {start + place: found for place, found in table.faults.items()}
            tolerated |= {start + place: found for place, found in table.tolerated.items()}
            start += len(table)
        matrix = np.concatenate([table.matrix for table in tables])
        return cls(tables[0].contract, matrix, texts, faults, tolerated)

    @classmethod
    def weave(cls, parts: Sequence[tuple[Sequence[int], Table]]) -> Table:
        """Make one table of several of one contract, each with the places of its rows in it."""
        contract = parts[0][1].contract
        count = sum(len(places) for places, _ in parts)
        matrix = np.empty((count, len(contract.features)), dtype=np.float64)
        texts: dict[int, list[str | None]] = {
            position: [None] * count for position in parts[0][1].texts
        }
        faults: dict[int, list[Fault]] = {}
        tolerated: dict[int, list[Fault]] = {}
        for places, table in parts:
            matrix[places] = table.matrix
            for position, column in table.texts.items():
                for place, text in zip(places, column, strict=True):
                    texts[position][place] = text
            faults |= {places[row]: found for row, found in table.faults.items()}
            tolerated |= {places[row]: found for row, found in table.tolerated.items()}
        return cls(contract, matrix, texts, faults, tolerated)

    def _make_rows(self, start: int, end: int) -> list[EncodedRow]:
        if end - start < _FEW:
            return [self._make_row(place) for place in range(start, end)]
        columns = [
            self.texts[position][start:end]
            if position in self.texts
            else _plain(feature.kind, self.matrix[start:end, position])
            for position, feature in enumerate(self.contract.features)
        ]
        return list(zip(*columns, strict=True))

    def _make_row(self, place: int) -> EncodedRow:
        features, texts = self.contract.features, self.texts
        return tuple(
            texts[position][place] if position in texts else _value(feature.kind, number)
            for position, (feature, number) in enumerate(
                zip(features, self.matrix[place].tolist(), strict=True)
            )
        )


def _value(kind: str, number: float) -> EncodedValue:
    # NaN alone is not itself.
    if number != number:  # noqa: PLR0124
        return None
    if kind == "integer":
        return int(number)
    return bool(number) if kind == "boolean" else number


def _plain(kind: str, values: NDArray[np.float64]) -> Sequence[EncodedValue]:
    missing = np.isnan(values)
    if kind in ("integer", "boolean"):
        # Every integer that a contract allows is exact in float64.
        typed = np.where(missing, 0.0, values).astype(np.int64 if kind == "integer" else np.bool_)
        plain: list[EncodedValue] = typed.tolist()
    else:
        plain = values.tolist()
    for place in np.flatnonzero(missing).tolist():
        plain[place] = None
    return plain


def of_rows(
    contract: Contract, rows: Sequence[EncodedRow | None], faults: Sequence[list[Fault]]
) -> Table:
    """Make a table of encoded rows; None stands for one that cannot be scored."""
    width = len(contract.features)
    texts = {
        position: [None if row is None else row[position] for row in rows]
        for position, feature in enumerate(contract.features)
        if feature.kind == "text"
    }
    nothing: EncodedRow = (None,) * width
    filled = [nothing if row is None else row for row in rows]
    if texts:
        filled = [_without(row, texts) for row in filled]
    matrix = np.array(filled, dtype=np.float64).reshape(len(rows), width)
    found = {place: one for place, one in enumerate(faults) if one}
    return Table(
        contract,
        matrix,
        texts,  # type: ignore[arg-type]  # values of these features are texts or None
        {place: one for place, one in found.items() if rows[place] is None},
        {place: one for place, one in found.items() if rows[place] is not None},
    )


def _without(row: EncodedRow, texts: Mapping[int, object]) -> EncodedRow:
    return tuple(
        (None if value is None else 0.0) if position in texts else value
        for position, value in enumerate(row)
    )
