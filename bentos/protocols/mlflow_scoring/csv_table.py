"""CSV bodies of `/invocations`: the first line names the columns. Pure.

A cell means what the same text means in JSON. What pandas reads as missing is missing, but not
where it is one of the feature's own categories.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bentos.errors import Fault, Problem
from bentos.model.contract import Contract, Feature
from bentos.model.values.checks import NOT_FINITE
from bentos.protocols.mlflow_scoring.table import (
    Table,
    place_by_row,
    positions_of,
    refuse,
    require_count,
)

# What `pandas.read_csv` reads as missing unless it is told otherwise.
MISSING = frozenset(
    {
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
        *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    }
)
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INFINITY = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
# What the numbers of a column consist of, one a line. Python's own reading takes more.
_NUMBERS = re.compile(r"[0-9+\-.eE\n]*+")
# An integer that is written so is 0, and a float would be -0.0.
_MINUS_ZERO = re.compile(r"^-0+$", re.MULTILINE)
_MAX_DIGITS = 400

_POINTER = "/rows"


def read(contract: Contract, body: bytes, max_rows: int) -> Table:
    """Read a body. Raises Problem for everything that is malformed."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem("malformed", f"the body is not UTF-8 at byte {error.start}") from None
    reader = csv.reader(_lines(text), strict=True)
    try:
        names = next((row for row in reader if row), None)
        if names is None:
            refuse(Fault("", "empty_batch", "must have a line of column names, and rows"))
        found = positions_of(contract, names, "/columns")
        kept = _read_rows(reader, len(names), list(found.values()), max_rows)
    except csv.Error:
        raise Problem("malformed", f"the body is not CSV at line {reader.line_num}") from None
    count = require_count(len(kept), max_rows, _POINTER)
    cells = list(zip(*kept, strict=True))
    columns = {
        position: _values_of(contract.features[position], column)
        for position, column in zip(found, cells, strict=False)
    }
    return Table(columns, count, place_by_row(contract, _POINTER), _POINTER)


def _lines(text: str) -> Iterator[str]:
    # Not `splitlines`, which ends lines at characters that may stand in a cell.
    return (f"{line}\n" for line in text.split("\n"))


def _read_rows(
    reader: Iterator[list[str]], width: int, wanted: Sequence[int], max_rows: int
) -> list[list[str]]:
    """The cells of the wanted columns, row by row; one row more than allowed at most."""
    kept: list[list[str]] = []
    is_whole = wanted == list(range(width))
    for row in reader:
        # As pandas does, an empty line is skipped.
        if not row:
            continue
        if len(row) != width:
            detail = "must have as many cells as there are column names"
            refuse(Fault(f"{_POINTER}/{len(kept)}", "malformed", detail))
        kept.append(row if is_whole else [row[number] for number in wanted])
        if len(kept) > max_rows:
            break
    return kept


def _values_of(feature: Feature, cells: Sequence[str]) -> list[Any]:
    read_cell = _reader_for(feature)
    if feature.kind in ("float", "integer"):
        read = float if feature.kind == "float" else int
        return _numbers_of(cells, read) or [read_cell(cell) for cell in cells]
    if feature.kind == "text":
        return [read_cell(cell) for cell in cells]
    # Few values come often: each is read once.
    values = {cell: read_cell(cell) for cell in set(cells)}
    return [values[cell] for cell in cells]


def _numbers_of(cells: Sequence[str], read: Callable[[str], float]) -> list[float | None] | None:
    """Read a column of good numbers at once; None where it has anything else."""
    present = [cell for cell in cells if cell not in MISSING]
    text = "\n".join(present)
    if not _NUMBERS.fullmatch(text) or _MINUS_ZERO.search(text):
        return None
    if max(map(len, present), default=0) > _MAX_DIGITS:
        return None
    try:
        numbers = map(read, present)
        if len(present) == len(cells):
            return [*numbers]
        return [None if cell in MISSING else next(numbers) for cell in cells]
    except ValueError:
        return None


def _reader_for(feature: Feature) -> Callable[[str], Any]:
    if feature.kind == "text":
        # Every text is a value, and the empty one is missing where that is allowed.
        return (lambda cell: cell or None) if feature.is_nullable else str
    if feature.kind == "category":
        return _category_reader(feature)
    read_cell = _boolean if feature.kind == "boolean" else _number
    return lambda cell: None if cell in MISSING else read_cell(cell)


def _category_reader(feature: Feature) -> Callable[[str], Any]:
    categories = feature.categories or ()
    texts = {category for category in categories if isinstance(category, str)}
    has_booleans = any(isinstance(category, bool) for category in categories)
    is_text = all(isinstance(category, str) for category in categories)

    def read_cell(cell: str) -> Any:
        if cell in texts:
            return cell
        if cell in MISSING:
            return None
        if is_text:
            return cell
        return _boolean(cell) if has_booleans and cell in _BOOLEANS else _number(cell)

    return read_cell


def _boolean(cell: str) -> Any:
    # What is none stays text, which the feature's check refuses.
    return _BOOLEANS.get(cell, cell)


def _number(cell: str) -> Any:
    if _INTEGER.fullmatch(cell):
        return int(cell)
    if _NUMBER.fullmatch(cell):
        return float(cell)
    return NOT_FINITE if _INFINITY.fullmatch(cell) else cell
