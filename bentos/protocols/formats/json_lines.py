"""`application/x-ndjson`: one JSON object a line, rows in and results out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count, repeat

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.errors import Fault, Problem
from bentos.model.contract import Category
from bentos.model.frame import FeatureWarning
from bentos.model.json_rows import invalid
from bentos.model.loading import LoadedModel
from bentos.model.tables.table import Table
from bentos.protocols.formats.format import Format, TableLimits, TableResults, too_many_rows
from bentos.protocols.formats.score_columns import ScoreColumns

# What is read at a time: enough to score rows together, little to hold.
_PART_ROWS = 2048
_PART_BYTES = 2**20
_NEWLINE = ord("\n")


class Line(msgspec.Struct, omit_defaults=True, gc=False):
    """The result of one row."""

    row: int
    id: str | msgspec.UnsetType = msgspec.UNSET
    score: float | msgspec.UnsetType = msgspec.UNSET
    scores: msgspec.Struct | msgspec.UnsetType = msgspec.UNSET
    label: Category | msgspec.UnsetType = msgspec.UNSET
    warnings: tuple[FeatureWarning, ...] = ()
    error: dict[str, object] | msgspec.UnsetType = msgspec.UNSET


class LineParts:
    """Lines that arrive in pieces; a part is some whole lines."""

    def __init__(self, model: LoadedModel, limits: TableLimits) -> None:
        self._model = model
        self._max_bytes = limits.max_bytes
        self._part_rows = min(_PART_ROWS, limits.max_rows)
        self._data = bytearray()
        # Bytes of `_data` in which no line ends.
        self._searched = 0
        self._first = 0

    @property
    def held_bytes(self) -> int:
        """The bytes that are held."""
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Take in the next piece. Raises Problem for a line that is too long."""
        self._data += data

    def take(self, *, is_idle: bool) -> bytes | None:
        """The next lines that are there whole. Raises Problem for one that is too long."""
        end = self._find_end()
        if not end:
            if len(self._data) > self._max_bytes:
                raise self._too_long()
            return None
        if end < _PART_BYTES and not is_idle and len(self._data) < _PART_BYTES:
            return None
        return self._cut(end)

    def finish(self) -> bytes | None:
        """The rest: a last line need not end."""
        return self._cut(self._find_end() or len(self._data)) if self._data else None

    def read(self, part: bytes) -> Table | None:
        """Read some lines; blank ones are no rows."""
        table = self._model.reader.read_lines(part, self._first)
        self._first += len(table)
        return table if len(table) else None

    def _find_end(self) -> int:
        """Where the lines end that may be read together; 0 where no line is whole."""
        last = self._data.rfind(b"\n", self._searched) + 1
        if not last:
            self._searched = len(self._data)
            return 0
        ends = self._find_ends(last)
        if last > self._max_bytes and np.diff(ends, prepend=-1).max() > self._max_bytes:
            raise self._too_long()
        if len(ends) > self._part_rows:
            return int(ends[self._part_rows - 1]) + 1
        return last

    def _find_ends(self, last: int) -> NDArray[np.intp]:
        """Where the lines before `last` end: all, or more than one part has."""
        size = 4 * self._part_rows
        while True:
            # Short lines are many parts: each looks only at its own.
            with memoryview(self._data) as view:
                ends = np.flatnonzero(np.frombuffer(view[: min(size, last)], np.uint8) == _NEWLINE)
            if size >= last or len(ends) > self._part_rows:
                return ends
            size *= 2

    def _too_long(self) -> Problem:
        detail = f"a line may have at most {self._max_bytes} bytes"
        return Problem("too-large", detail, headers={"Connection": "close"})

    def _cut(self, end: int) -> bytes:
        with memoryview(self._data) as view:
            part = bytes(view[:end])
        del self._data[:end]
        self._searched = 0
        return part


def read(model: LoadedModel, body: bytes, limits: TableLimits) -> Table:
    """Read a whole body within the limits. Raises Problem."""
    if body.count(b"\n") > 2 * limits.max_rows:
        raise too_many_rows(limits.max_rows)
    table = model.reader.read_lines(body, 0)
    if len(table) > limits.max_rows:
        raise too_many_rows(limits.max_rows)
    if not len(table):
        raise invalid([Fault("", "empty_batch", "must have at least one row")])
    return table


class LineWriter:
    """Writes a line a row."""

    def __init__(self, model: LoadedModel, *, has_ids: bool = True) -> None:
        self._scores = ScoreColumns(model.contract)
        self._has_ids = has_ids
        self._encode = msgspec.json.Encoder().encode_lines

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def write(self, results: TableResults) -> bytes:
        """A line a row."""
        return self._encode(self.lines(results))

    def end(self) -> bytes:
        """Nothing."""
        return b""

    def fail(self, problem: Problem, row: int) -> bytes:
        """A last line with the error and no id."""
        return self._encode([Line(row, error=problem.in_place())])

    def lines(self, results: TableResults) -> list[Line]:
        """The result of each row."""
        first = results.first
        ids: Iterable[str | msgspec.UnsetType] = repeat(msgspec.UNSET, len(results))
        if self._has_ids:
            ids = results.id_texts
        lines = [
            Line(row, one_id, score, scores, label)
            for row, one_id, (score, scores, label) in zip(
                count(first), ids, self._scores.rows(results), strict=False
            )
        ]
        for place, warnings in results.warnings.items():
            lines[place].warnings = warnings
        for place, problem in results.problems.items():
            lines[place] = Line(first + place, lines[place].id, error=problem.in_place())
        return lines


FORMAT = Format(
    media_type=b"application/x-ndjson",
    read=read,
    open_writer=LineWriter,
    open_parts=LineParts,
)
