"""`text/csv` (RFC 4180): a header that names features, then a line a row. Pure.

A field has no type: the contract says what it holds. An empty field is a missing value. A
whole column of numbers is converted at once; where that fails, each field is read by itself.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from bentos.errors import Fault, Problem
from bentos.model.contract import INTEGER_LIMITS, Feature
from bentos.model.json_rows import invalid
from bentos.model.loading import LoadedModel
from bentos.model.tables.columns import Column, Levels, Numbers, Values
from bentos.model.tables.table import Table
from bentos.model.values.checks import NOT_FINITE
from bentos.protocols.formats.csv_answers import CsvWriter
from bentos.protocols.formats.format import Format, TableLimits, too_many_rows

# What numbers consist of. Python's own reading takes `1_000`, ` 1` and `inf`, too.
_NUMBERS = re.compile(r"[0-9+\-.eE\n]*+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?")
_WHOLE = re.compile(r"[+-]?[0-9]++")
# Numbers that JSON does not have, as other programs write them.
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_BOOLEANS: dict[str, bool] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# As in JSON: no finite float64 needs more digits.
_MAX_DIGITS = 400
# Fields beyond those of the features, in a whole body: each takes eight bytes and more.
_SPARE_FIELDS = 50_000


def read(model: LoadedModel, body: bytes, limits: TableLimits) -> Table:
    """Read a whole body within the limits. Raises Problem."""
    lines = read_lines(body, (limits.max_rows + 1) * len(model.contract.features))
    header = next(lines, None)
    if not header:
        raise malformed("it has no header")
    bound, faults = model.tables.bind(header)
    if faults:
        raise invalid(faults)
    rows: list[list[str]] = []
    for row in lines:
        if len(rows) == limits.max_rows:
            raise too_many_rows(limits.max_rows)
        rows.append(row)
    if not rows:
        raise invalid([Fault("", "empty_batch", "must have at least one row")])
    return encode(model, bound, len(header), rows, 0)


def read_lines(body: bytes, max_fields: int) -> Iterator[list[str]]:
    """Read the fields of each line, the header's first. Raises Problem.

    `max_fields`: that an honest body may have in all its lines. A blank line is no row, unless
    there is one column.
    """
    if body.count(b",") > max_fields + _SPARE_FIELDS:
        raise Problem("too-large", "the body has too many fields")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise malformed(f"it is not UTF-8 at byte {error.start}") from None
    pieces = text.split("\n")
    if not pieces[-1]:
        pieces.pop()
    lines = csv.reader((f"{piece}\n" for piece in pieces), strict=True)
    width = 0
    while True:
        try:
            fields = next(lines, None)
        except csv.Error:
            # Its messages quote what was sent.
            raise malformed(f"line {lines.line_num} has a quote or a line break amiss") from None
        if fields is None:
            return
        width = width or len(fields)
        if fields or width == 1:
            yield fields or [""]


def malformed(detail: str) -> Problem:
    """Make the problem of a body that is no CSV."""
    return Problem("malformed", f"the body is not CSV: {detail}")


def encode(
    model: LoadedModel, bound: Mapping[int, int], width: int, rows: list[list[str]], first: int
) -> Table:
    """Encode lines under a header of `width` names; `bound`: its places, by feature.

    `first`: the number of the first row.
    """
    uneven = {place: len(row) for place, row in enumerate(rows) if len(row) != width}
    for place in uneven:
        rows[place] = [""] * width
    fields = list(zip(*rows, strict=True))
    features = model.contract.features
    columns = {
        position: _column(features[position], fields[place]) for position, place in bound.items()
    }
    table = model.tables.encode(columns, len(rows), "", first)
    if not uneven:
        return table
    faults = dict(table.faults)
    for place, count in uneven.items():
        detail = f"has {count} fields where the header has {width}"
        faults[place] = [Fault(f"/{first + place}", "malformed", detail)]
    tolerated = {place: found for place, found in table.tolerated.items() if place not in faults}
    return Table(table.contract, table.matrix, table.texts, faults, tolerated)


def _column(feature: Feature, cells: Sequence[str]) -> Column:
    if feature.kind in ("float", "integer"):
        return _numbers(feature, cells) or Values([*map(_reader(feature), cells)])
    places: dict[str, int] = {}
    codes = [places.setdefault(cell, len(places)) for cell in cells]
    return Levels(np.array(codes, dtype=np.intp), [*map(_reader(feature), places)])


def _numbers(feature: Feature, cells: Sequence[str]) -> Numbers | None:
    """Convert a column of good numbers at once; None where it has anything else."""
    if not _NUMBERS.fullmatch("\n".join(cells)):
        return None
    missing = None
    if "" in cells:
        missing = np.array([not cell for cell in cells])
        cells = [cell or "0" for cell in cells]
    try:
        if feature.kind == "float":
            return Numbers(np.array([*map(float, cells)], dtype=np.float64), missing)
        whole = [*map(int, cells)]
    except ValueError:
        return None
    low, high = INTEGER_LIMITS[feature.dtype]
    is_within = low <= min(whole) and max(whole) <= high
    return Numbers(np.array(whole, dtype=np.int64), missing) if is_within else None


def _reader(feature: Feature) -> Callable[[str], object]:
    """Make what reads one field of a feature as the plain value that JSON would have."""
    types = {type(category) for category in feature.categories or ()}
    takes_text = feature.kind == "text" or str in types
    takes_booleans = feature.kind == "boolean" or bool in types
    takes_numbers = feature.kind in ("float", "integer") or bool(types & {int, float})
    texts = {category for category in feature.categories or () if isinstance(category, str)}

    def read_field(cell: str) -> object:
        if not cell:
            return None
        # Where texts and other values may come, a text that is known is a text.
        if takes_text and (cell in texts or not (takes_booleans or takes_numbers)):
            return cell
        if takes_booleans and cell in _BOOLEANS:
            return _BOOLEANS[cell]
        return _number(cell) if takes_numbers else cell

    return read_field


def _number(cell: str) -> object:
    if _WHOLE.fullmatch(cell):
        return int(cell) if len(cell) <= _MAX_DIGITS else NOT_FINITE
    if _NUMBER.fullmatch(cell):
        number = float(cell)
        return number if math.isfinite(number) else NOT_FINITE
    return NOT_FINITE if _NOT_FINITE.fullmatch(cell) else cell


FORMAT = Format(media_type=b"text/csv", read=read, open_writer=CsvWriter)
