"""A segment of the spool, packed: frames of rows that were scored for nobody, or for one subject.

    4 bytes: length of the payload, little endian | 1 byte: kind | payload

The payload of a frame of rows is a `PackedRows` or a `PackedTable` in MessagePack. What was
erased is a blank frame of the same length, so that nothing behind it moves.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

_HEAD = struct.Struct("<IB")
_ROWS, _TABLE, _BLANK = ord("R"), ord("T"), ord("_")

# Characters of an id, and bytes of them.
ID_LENGTH = 36


class PackedRows(msgspec.Struct, array_like=True, gc=False):
    """Rows of one subject, or of none, without what is the same for all rows of a worker.

    `ids`, `rows` and `scores` are of the same length. `rows`: the values of the features that
    may be stored, in contract order; a category is its code. `scores`: one number a row, or
    one a class. `labels`: empty where the model decides for none. `request_ids`, `stages`: one
    a row, or one for all; stages are the seconds of decode, queue, predict and encode.
    `subject`: a token, never the text. `warnings`: pointer and code of each, by the row's place.
    """

    ids: list[str]
    rows: list[tuple[Any, ...]]
    scores: list[Any]
    labels: list[Any]
    request_ids: list[str]
    stages: list[tuple[float, float, float, float]]
    consumer: str | None = None
    subject: str | None = None
    subject_key: str | None = None
    warnings: dict[int, list[tuple[str, str]]] = {}
    reasons: list[tuple[str, ...] | None] = []
    shadow: list[str] = []


class PackedTable(msgspec.Struct, array_like=True, gc=False):
    """Rows of one request by column, without what is the same for all rows of a worker.

    `ids`: 36 bytes each. `numbers`: float64 in the machine's byte order, row by row, of
    the features that may be stored and are no texts; NaN for missing, booleans as 0 and 1, a
    category as its code. `texts`: the other columns, by their place among the stored features.
    `scores`: float64, one a row, or the classes of one row after those of another. `decided`:
    the place of each label among the classes, in 64 bits; empty where there is none. All else
    as in `PackedRows`.
    """

    ids: bytes
    numbers: bytes
    texts: dict[int, list[str | None]]
    scores: bytes
    decided: bytes
    request_id: str
    stages: tuple[float, float, float, float]
    consumer: str | None = None
    subject: str | None = None
    subject_key: str | None = None
    warnings: dict[int, list[tuple[str, str]]] = {}
    reasons: list[tuple[str, ...] | None] = []
    shadow: list[str] = []


Packed = PackedRows | PackedTable

_encoder = msgspec.msgpack.Encoder()
_decode_rows = msgspec.msgpack.Decoder(PackedRows).decode
_decode_table = msgspec.msgpack.Decoder(PackedTable).decode


def append(buffer: bytearray, packed: Packed) -> None:
    """Add a frame. Where the rows cannot be encoded, raises and leaves the buffer as it was."""
    start = len(buffer)
    buffer += bytes(_HEAD.size)
    try:
        _encoder.encode_into(packed, buffer, -1)
        kind = _ROWS if isinstance(packed, PackedRows) else _TABLE
        _HEAD.pack_into(buffer, start, len(buffer) - start - _HEAD.size, kind)
    except BaseException:
        del buffer[start:]
        raise


def decode(data: bytes) -> list[Packed]:
    """The rows of a segment, without those that were erased. Raises ValueError."""
    return [packed for _, _, packed in _walk(data)]


def erase(data: bytes, tokens: Collection[str]) -> Iterator[tuple[int, bytes, int]]:
    """What to write over the rows of a subject: where, the bytes, and how many rows they are.

    Raises ValueError for what is no segment.
    """
    # A token is quick to look for; the rows themselves decide.
    if any(token.encode() in data for token in tokens):
        for start, end, packed in _walk(data):
            if packed.subject in tokens:
                length = end - start - _HEAD.size
                yield start, _HEAD.pack(length, _BLANK) + bytes(length), count(packed)


def count(packed: Packed) -> int:
    """How many rows a frame has."""
    return len(packed.ids) if isinstance(packed, PackedRows) else len(packed.ids) // ID_LENGTH


def first_id(packed: Packed) -> str:
    """The id of a frame's first row. Raises ValueError."""
    return packed.ids[0] if isinstance(packed, PackedRows) else packed.ids[:ID_LENGTH].decode()


def _walk(data: bytes) -> Iterator[tuple[int, int, Packed]]:
    start, view = 0, memoryview(data)
    while start < len(data):
        body = start + _HEAD.size
        if body > len(data):
            raise ValueError("a frame without its head")
        length, kind = _HEAD.unpack_from(data, start)
        end = body + length
        if end > len(data) or kind not in (_ROWS, _TABLE, _BLANK):
            raise ValueError("not a frame")
        if kind == _ROWS:
            yield start, end, _read_rows(view[body:end])
        elif kind == _TABLE:
            yield start, end, _read_table(view[body:end])
        start = end


def _read_rows(payload: memoryview) -> PackedRows:
    try:
        packed = _decode_rows(payload)
    except msgspec.MsgspecError as error:
        # Its words say where and of what type, and quote no value.
        raise ValueError(f"not rows: {error}") from None
    rows = len(packed.ids)
    if not (rows == len(packed.rows) == len(packed.scores) > 0) or not (
        len(packed.request_ids) in (1, rows) and len(packed.stages) in (1, rows)
    ):
        raise ValueError("not rows: without an id, a score or a request")
    return packed


def _read_table(payload: memoryview) -> PackedTable:
    try:
        packed = _decode_table(payload)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a table: {error}") from None
    if not packed.ids or len(packed.ids) % ID_LENGTH:
        raise ValueError("not a table: without ids")
    return packed
