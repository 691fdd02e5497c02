"""A file cut into parts that can be read one by one, in any order and process."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from bentos.offline.files import BadFile, File

_BLOCK_BYTES = 4 * 2**20
_QUOTE, _NEWLINE, _RETURN = b'"\n\r'


class Part(msgspec.Struct, frozen=True):
    """Some rows of a file: `start` up to `end` are bytes, or row groups of Parquet.

    `first`: the number of its first row.
    """

    number: int
    start: int
    end: int
    first: int
    rows: int


class Plan(msgspec.Struct, frozen=True):
    """The parts of a file. `header`: the bytes of a CSV's first line."""

    parts: list[Part]
    header: bytes = b""

    @property
    def rows(self) -> int:
        """The rows of all parts."""
        return sum(part.rows for part in self.parts)


def make(file: File, part_rows: int) -> Plan:
    """Cut a file into parts. Raises BadFile."""
    try:
        plan = _cut_groups(file, part_rows) if file.kind == "parquet" else _cut(file, part_rows)
    except FileNotFoundError:
        raise BadFile(f"{file.name} does not exist") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadFile(f"{file.name} cannot be read: {reason}") from None
    if not plan.parts:
        raise BadFile(f"{file.name} has no rows")
    return plan


def _cut_groups(file: File, part_rows: int) -> Plan:
    import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types  # noqa: PLC0415 - other formats do not need it
    from pyarrow import parquet  # noqa: PLC0415 - the same

    try:
        with file.system.open(file.path, "rb") as opened:
            metadata = parquet.ParquetFile(opened).metadata
    except pa.ArrowException:
        raise BadFile(f"{file.name} is not a Parquet file") from None
    parts: list[Part] = []
    start = first = rows = 0
    for group in range(metadata.num_row_groups):
        rows += metadata.row_group(group).num_rows
        if rows >= part_rows or group == metadata.num_row_groups - 1:
            if rows:
                parts.append(Part(len(parts), start, group + 1, first, rows))
            start, first, rows = group + 1, first + rows, 0
    return Plan(parts)


def _cut(file: File, part_rows: int) -> Plan:
    ends = _ends(file)
    header_end = 0
    if file.kind == "csv":
        header_end, _ = next(ends, (0, 0))
    header = b""
    if header_end:
        with file.system.open(file.path, "rb") as opened:
            header = opened.read(header_end)
    # With one column an empty line is a row whose value is missing.
    has_blank_rows = file.kind == "csv" and b"," not in header
    parts: list[Part] = []
    start = end = header_end
    first = rows = 0
    for end, size in ends:
        rows += size > 0 or has_blank_rows
        if rows == part_rows:
            parts.append(Part(len(parts), start, end, first, rows))
            start, first, rows = end, first + rows, 0
    if rows:
        parts.append(Part(len(parts), start, end, first, rows))
    return Plan(parts, header)


def _ends(file: File) -> Iterator[tuple[int, int]]:
    """Where each line ends, and how many bytes it has without its end.

    A line break inside the quotes of a CSV ends no line (RFC 4180).
    """
    offset = start = 0
    quotes = 0
    last = 0
    with file.system.open(file.path, "rb") as opened:
        while block := opened.read(_BLOCK_BYTES):
            data = np.frombuffer(block, dtype=np.uint8)
            is_end = data == _NEWLINE
            if file.kind == "csv":
                counts = np.cumsum(data == _QUOTE) + quotes
                is_end &= counts % 2 == 0
                quotes = int(counts[-1]) % 2
            for place in np.flatnonzero(is_end).tolist():
                before = block[place - 1] if place else last
                end = offset + place + 1
                size = end - start - 1
                yield end, size - (before == _RETURN and size > 0)
                start = end
            offset += len(block)
            last = block[-1]
    if offset > start:
        yield offset, offset - start
