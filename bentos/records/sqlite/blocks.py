"""Blocks: rows that were written together, as one value of the database. No SQL here.

A row of its own costs SQLite more than its bytes do: a cell, a key to look up, a value to bind
for each column. So the rows of a write are one JSON text, sorted by id:

    content:  [[PLACE, FEATURES, SCORE, LABEL, SCORES, WARNINGS, REASONS, SHADOW], ...]
    requests: [[REQUEST, DECODE, QUEUE, PREDICT, ENCODE, CONSUMER, SUBJECT, KEY], ...]

PLACE is that of the row's request among `requests`. FEATURES is an array of values where the
block's source has their names, else an object. What follows LABEL is left out where a row has
none of it. The ids are a third value, 16 bytes each: a row is found without reading the texts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import lt
from typing import Any, NamedTuple

import msgspec

from bentos.errors import RowsRefused
from bentos.records.record import RecordedWarning, encode
from bentos.records.sqlite.uuids import floor_of, to_bytes, to_ids

# At most so many rows, and about so many bytes: what a lookup of one row has to read.
MOST_ROWS = 1024
MOST_BYTES = 2**18
# The ids of a block lie within less than this, so it says how far back a block that holds an id
# may begin: each write looks through the blocks of so long. It may get less, and never more.
REACH_MS = 2_000

# JSON would take more, and SQLite could not show it as a whole number.
_MOST_MICROSECONDS = 2**63 - 1

# Request id; decode, queue, predict, encode; consumer, subject, its key.
Head = tuple[str, int, int, int, int, str | None, str | None, str | None]


class StoredRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A row as it is stored; `request` is the place of its request."""

    request: int
    features: msgspec.Raw
    score: float | None
    label: str | None
    scores: dict[str, float] | None = None
    warnings: tuple[RecordedWarning, ...] | None = None
    reasons: tuple[str, ...] | None = None
    shadow: str | None = None


# A row read, or the same fields of one to be written.
Row = StoredRow | tuple[Any, ...]

_decode_heads = msgspec.json.Decoder(list[Head]).decode
_decode_rows = msgspec.json.Decoder(list[StoredRow]).decode


class Packed(NamedTuple):
    """A block as its columns."""

    first_id: str
    last_id: str
    rows: int
    ids: bytes
    requests: bytes
    content: bytes


class Rows:
    """Rows of one source: `ids` and `rows` of one length, and the `heads` of their requests."""

    __slots__ = ("heads", "ids", "rows")

    def __init__(self) -> None:
        self.heads: list[Head] = []
        self.ids: list[str] = []
        self.rows: list[Row] = []

    @property
    def subjects(self) -> set[str]:
        """Whom the requests were about."""
        return {head[6] for head in self.heads if head[6] is not None}

    def each(self) -> Iterator[tuple[Head, str, Row]]:
        """Each row, with its request's head."""
        return self._part(0, len(self.ids))

    def _part(self, start: int, stop: int) -> Iterator[tuple[Head, str, Row]]:
        for name, row in zip(self.ids[start:stop], self.rows[start:stop], strict=True):
            yield self.heads[_place(row)], name, row

    def in_order(self) -> Rows:
        """The same with ascending ids, the first row of each id."""
        if all(map(lt, self.ids, islice(self.ids, 1, None))):
            return self
        rows: dict[str, tuple[Head, str, Row]] = {}
        for one in self.each():
            rows.setdefault(one[1], one)
        return collect(rows[name] for name in sorted(rows))

    def blocks(self) -> Iterator[Rows]:
        """What makes one block each, of rows whose ids ascend."""
        start, count = 0, len(self.ids)
        while start < count:
            bytes_a_row = len(_encode(self.rows[start]))
            stop = min(count, start + MOST_ROWS, start + 1 + MOST_BYTES // bytes_a_row)
            end = floor_of(self.ids[start], REACH_MS)
            if self.ids[stop - 1] >= end:
                stop = bisect_left(self.ids, end, start, stop)
            if stop - start == count:
                yield self
            else:
                yield collect(self._part(start, stop))
            start = stop

    def pack(self) -> Packed:
        """Pack rows whose ids ascend. Raises RowsRefused where a row can never be stored."""
        if max(map(max, (head[1:5] for head in self.heads))) > _MOST_MICROSECONDS:
            raise RowsRefused("a time has more than 64 bits")
        return Packed(
            self.ids[0],
            self.ids[-1],
            len(self.rows),
            to_bytes(self.ids),
            _encode(self.heads),
            _encode(self.rows),
        )


def unpack(ids: bytes, requests: bytes, content: bytes) -> Rows:
    """The rows of a block. Raises ValueError for what is no block."""
    block = Rows()
    block.ids = to_ids(ids)
    block.heads = _decode_heads(requests)
    block.rows = [*_decode_rows(content)]
    if len(block.ids) != len(block.rows):
        raise ValueError("there are more or fewer rows than ids")
    if any(not 0 <= _place(row) < len(block.heads) for row in block.rows):
        raise ValueError("a row is of no request")
    return block


def collect(rows: Iterable[tuple[Head, str, Row]]) -> Rows:
    """Rows with their requests' heads, put together again."""
    found = Rows()
    for head, name, row in rows:
        if not found.heads or found.heads[-1] != head:
            found.heads.append(head)
        found.ids.append(name)
        place = len(found.heads) - 1
        if isinstance(row, tuple):
            found.rows.append((place, *row[1:]))
        else:
            found.rows.append(msgspec.structs.replace(row, request=place))
    return found


def _place(row: Row) -> int:
    place: int = row[0] if isinstance(row, tuple) else row.request
    return place


def _encode(part: object) -> bytes:
    try:
        return encode(part)
    except (TypeError, ValueError, OverflowError) as error:
        raise RowsRefused(f"a row cannot be encoded: {type(error).__name__}") from None
