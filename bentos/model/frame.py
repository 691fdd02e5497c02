"""Encoded rows as numbers: what a predictor reads, and what training did not see.

Pure. A frame is one batch; a screen compares it with the training profile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.model.contract import Contract
from bentos.model.tables.table import Table
from bentos.model.validation import EncodedRow, escape_pointer

WarningCode = Literal["out_of_range", "unexpected_missing", "unknown_category"]


class Frame:
    """Encoded rows of one batch.

    `rows`: the encoded rows. `matrix`: float64 of shape (rows, features), NaN for
    missing, booleans as 0 and 1, categories as codes, text as 0 (no booster sees text).
    """

    __slots__ = ("matrix", "rows")

    def __init__(self, rows: Sequence[EncodedRow], matrix: NDArray[np.float64]) -> None:
        self.rows = rows
        self.matrix = matrix

    def part(self, start: int, end: int) -> Frame:
        """The rows from `start` up to `end` as a frame of their own."""
        return Frame(self.rows[start:end], self.matrix[start:end])


class Framer:
    """Makes frames under one contract."""

    def __init__(self, contract: Contract) -> None:
        self._text = [p for p, f in enumerate(contract.features) if f.kind == "text"]
        # A `float` column was float32 in training: the same rounding, or another score.
        self._single = [p for p, f in enumerate(contract.features) if f.dtype == "float"]

    def frame(self, rows: Sequence[EncodedRow]) -> Frame:
        """Put encoded rows together. `rows` must not be empty."""
        if self._text:
            numbers = [list(row) for row in rows]
            for row in numbers:
                for position in self._text:
                    row[position] = None if row[position] is None else 0.0
            matrix = np.array(numbers, dtype=np.float64)
        else:
            matrix = np.array(rows, dtype=np.float64)
        if self._single:
            self._round(matrix)
        return Frame(rows, matrix)

    def frame_table(self, table: Table) -> Frame:
        """Make the frame of a table, whose own numbers stay as they are."""
        matrix = table.matrix
        if self._single:
            matrix = matrix.copy()
            self._round(matrix)
        return Frame(table.rows, matrix)

    def _round(self, matrix: NDArray[np.float64]) -> None:
        matrix[:, self._single] = matrix[:, self._single].astype(np.float32)


class FeatureWarning(msgspec.Struct, frozen=True):
    """Something about an accepted row that its score should be read with."""

    pointer: str
    code: WarningCode
    detail: str


class Screening:
    """What a screen found in a frame of n rows.

    `missing`, `outside`: features to how many rows have no value, or one outside the
    training range. `warnings`: rows, by position, to what they are warned of.
    """

    __slots__ = ("missing", "outside", "warnings")

    def __init__(self) -> None:
        self.missing: dict[str, int] = {}
        self.outside: dict[str, int] = {}
        self.warnings: dict[int, list[FeatureWarning]] = {}


class Screen:
    """Compares frames with the training profile of a contract."""

    def __init__(self, contract: Contract) -> None:
        self._names = contract.names
        low, high, complete = [], [], []
        for feature in contract.features:
            profile = feature.profile
            has_range = profile is not None and profile.minimum is not None
            low.append(profile.minimum if profile and has_range else -np.inf)
            high.append(profile.maximum if profile and has_range else np.inf)
            complete.append(profile is not None and profile.missing_rate == 0.0)
        self._low = np.array(low, dtype=np.float64)
        self._high = np.array(high, dtype=np.float64)
        self._complete = np.array(complete, dtype=bool)

    def look(self, matrix: NDArray[np.float64]) -> Screening:
        """Screen a float64 matrix of shape (rows, features)."""
        found = Screening()
        # NaN compares as false both ways, so a missing value falls out of the range here.
        inside = (matrix >= self._low) & (matrix <= self._high)
        if inside.all():
            return found
        missing = np.isnan(matrix)
        outside = ~(inside | missing)
        self._count(missing, found.missing)
        self._count(outside, found.outside)
        self._warn(outside, "out_of_range", "is outside the range of the training data", found)
        self._warn(
            missing & self._complete,
            "unexpected_missing",
            "is missing, which it never was in the training data",
            found,
        )
        return found

    def _count(self, flags: NDArray[np.bool_], into: dict[str, int]) -> None:
        if not flags.any():
            return
        counts = flags.sum(axis=0)
        for position in np.flatnonzero(counts).tolist():
            into[self._names[position]] = int(counts[position])

    def _warn(
        self, flags: NDArray[np.bool_], code: WarningCode, detail: str, found: Screening
    ) -> None:
        # A look costs a hundredth of a search.
        if not flags.any():
            return
        for row, position in np.argwhere(flags).tolist():
            pointer = f"/{escape_pointer(self._names[position])}"
            found.warnings.setdefault(row, []).append(FeatureWarning(pointer, code, detail))
