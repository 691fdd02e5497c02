"""How far another model's scores and decisions are from those that were given. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.audit.quality.measures import kolmogorov_smirnov_between
from bentos.model.contract import Feature
from bentos.records.record import Value

Floats = NDArray[np.float64]

# Segments shown by name, the largest first; the rest are one.
MOST_SEGMENTS = 20
_MISSING = "(missing)"
_REST = "(all others)"


class Shift(msgspec.Struct, frozen=True):
    """Old and new scores of the same rows.

    `ks`: largest distance between the cumulative distributions of old and new scores.
    `mean_change`: new minus old. `largest_change`: the largest absolute one of a row.
    `flipped`: share of rows with another label; None of a regression.
    """

    rows: int
    ks: float
    mean_old: float
    mean_new: float
    mean_change: float
    largest_change: float
    flipped: float | None


class Scores:
    """Old and new scores of one output, row by row, and the segment of each row.

    Memory: 8 bytes a number, 4 of them a row, and one text a segment.
    """

    def __init__(self, segment_by: Feature | None = None) -> None:
        self._old = array("d")
        self._new = array("d")
        self._flipped = array("b")
        self._segment_by = segment_by
        self._is_numeric = segment_by is not None and segment_by.kind in ("float", "integer")
        self._segments = array("d")
        self._codes: dict[str, int] = {}

    def add(self, old: float, new: float, flipped: bool | None, segment: Value = None) -> None:
        """Take one row; `flipped` is None where there are no labels."""
        self._old.append(old)
        self._new.append(new)
        self._flipped.append(-1 if flipped is None else int(flipped))
        if self._is_numeric:
            is_number = isinstance(segment, int | float) and not isinstance(segment, bool)
            self._segments.append(float(segment) if is_number else np.nan)  # type: ignore[arg-type]  # a number, as was asked
        elif self._segment_by is not None:
            name = _MISSING if segment is None else str(segment)
            self._segments.append(self._codes.setdefault(name, len(self._codes)))

    def measure(self) -> Shift | None:
        """The shift over all rows; None without any."""
        return self._measure(np.arange(len(self._old)))

    def measure_segments(self) -> dict[str, Shift]:
        """The shift in each segment, by its name."""
        values = _read(self._segments)
        parts = _quartiles(values) if self._is_numeric else self._categories(values)
        found = ((name, self._measure(np.flatnonzero(rows))) for name, rows in parts)
        return {name: shift for name, shift in found if shift is not None}

    def _measure(self, rows: NDArray[np.int64]) -> Shift | None:
        if not len(rows):
            return None
        old, new = _read(self._old)[rows], _read(self._new)[rows]
        flipped = np.array(self._flipped, dtype=np.int8)[rows]
        return Shift(
            rows=len(rows),
            ks=kolmogorov_smirnov_between(old, new),
            mean_old=float(old.mean()),
            mean_new=float(new.mean()),
            mean_change=float(np.mean(new - old)),
            largest_change=float(np.max(np.abs(new - old))),
            flipped=None if flipped[0] < 0 else float(flipped.mean()),
        )

    def _categories(self, values: Floats) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        codes = values.astype(np.int64)
        counts = np.bincount(codes, minlength=len(self._codes))
        order = np.argsort(-counts, kind="stable")[:MOST_SEGMENTS].tolist()
        names = list(self._codes)
        for code in order:
            yield names[code], codes == code
        if len(names) > MOST_SEGMENTS:
            yield _REST, ~np.isin(codes, order)


def _quartiles(values: Floats) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    missing = np.isnan(values)
    if not missing.all():
        # Equal edges, where one value fills a quartile, leave fewer segments.
        edges = np.unique(np.quantile(values[~missing], [0.0, 0.25, 0.5, 0.75, 1.0]))
        place = np.searchsorted(edges[1:-1], values, side="left")
        for number in range(max(1, len(edges) - 1)):
            low, high = edges[number], edges[min(number + 1, len(edges) - 1)]
            name = f"{low:g} to {high:g}" if number == 0 else f"above {low:g} to {high:g}"
            yield name, (place == number) & ~missing
    yield _MISSING, missing


def _read(values: array[float]) -> Floats:
    return np.frombuffer(values, dtype=np.float64) if values else np.empty(0)
