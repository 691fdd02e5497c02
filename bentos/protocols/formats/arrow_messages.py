"""The messages of an Arrow stream, measured before Arrow's library decodes them. Pure.

Arrow's columnar format, "Encapsulated message format" and "IPC streaming format". The
flatbuffers are read here only as far as sizes go: kind, body length, rows, buffers. What
this refuses costs no more memory than the bytes that came.
"""

from __future__ import annotations

import struct
from typing import Literal

import msgspec

from bentos.errors import Problem

_CONTINUATION = b"\xff\xff\xff\xff"
# Schema.fbs, Message.fbs: places of fields in their tables.
_MESSAGE_KIND, _MESSAGE_HEADER, _MESSAGE_BODY = 1, 2, 3
_DICTIONARY_ID, _DICTIONARY_DATA, _DICTIONARY_IS_DELTA = 0, 1, 2
_BATCH_LENGTH, _BATCH_NODES, _BATCH_BUFFERS, _BATCH_COMPRESSION = 0, 1, 2, 3
_KINDS: dict[int, Kind] = {1: "schema", 2: "dictionary", 3: "batch"}
# Descriptions of a stream: a thousand columns take about 200 kB.
_MAX_METADATA = 4 * 2**20

Kind = Literal["schema", "dictionary", "batch"]


class Message(msgspec.Struct, frozen=True):
    """One message. `rows` and `unpacked_bytes`: what its body becomes, buffers alone.

    `dictionary`: the id of the one that it brings, or adds to (`is_delta`).
    """

    kind: Kind
    rows: int = 0
    unpacked_bytes: int = 0
    dictionary: int = 0
    is_delta: bool = False


def measure(data: bytes | bytearray, max_bytes: int) -> int | None:
    """The bytes of the message that `data` begins with; 0 for the end of the stream.

    None where more bytes are needed to tell. Raises Problem: not an Arrow stream, or a message
    that is larger than one may be.
    """
    if len(data) < 8:
        return None
    if data[:4] != _CONTINUATION:
        raise malformed("a message does not begin as one of an Arrow stream")
    (size,) = struct.unpack_from("<i", data, 4)
    if size == 0:
        return 0
    if not 0 < size <= _MAX_METADATA or size % 8:
        raise malformed("a message has a wrong length")
    if len(data) < 8 + size:
        return None
    body = _Flat(data, 8, size).root().int64(_MESSAGE_BODY)
    if body < 0:
        raise malformed("a message has a wrong length")
    if body > max_bytes:
        detail = f"a record batch may have at most {max_bytes} bytes: send smaller ones"
        raise Problem("too-large", detail, headers={"Connection": "close"})
    return 8 + int(size) + body


def inspect(data: bytes) -> Message:
    """Say what one whole message holds. Raises Problem."""
    (size,) = struct.unpack_from("<i", data, 4)
    message = _Flat(data, 8, size).root()
    kind = _KINDS.get(message.uint8(_MESSAGE_KIND))
    if kind is None:
        raise malformed("a message is neither a schema, a dictionary nor a record batch")
    if kind == "schema":
        return Message(kind)
    batch = message.table(_MESSAGE_HEADER)
    name, is_delta = 0, False
    if kind == "dictionary":
        name, is_delta = batch.int64(_DICTIONARY_ID), bool(batch.uint8(_DICTIONARY_IS_DELTA))
        batch = batch.table(_DICTIONARY_DATA)
    rows = batch.int64(_BATCH_LENGTH)
    if rows < 0:
        raise malformed("a record batch has a wrong length")
    for length, nulls in batch.pairs(_BATCH_NODES):
        if not 0 <= nulls <= length or length != rows:
            raise malformed("a column has another length than its record batch")
    body = memoryview(data)[8 + size :]
    is_packed = batch.has(_BATCH_COMPRESSION)
    unpacked = 0
    for offset, length in batch.pairs(_BATCH_BUFFERS):
        if offset < 0 or length < 0 or offset + length > len(body):
            raise malformed("a buffer lies outside of its record batch")
        unpacked += _unpacked(body, offset, length) if is_packed else length
    return Message(kind, rows, unpacked, name, is_delta)


def malformed(detail: str) -> Problem:
    """Make the problem of bytes that are no Arrow stream."""
    return Problem("malformed", f"the body is not an Arrow stream: {detail}")


def _unpacked(body: memoryview, offset: int, length: int) -> int:
    # A compressed buffer begins with the length that it unpacks to; -1 says that it is not.
    if length < 8:
        if length:
            raise malformed("a compressed buffer is too short")
        return 0
    (size,) = struct.unpack_from("<q", body, offset)
    if size < -1:
        raise malformed("a compressed buffer has a wrong length")
    return length if size == -1 else int(size)


class _Flat:
    """The bytes of one flatbuffer: `size` of them from `start` on."""

    def __init__(self, data: bytes | bytearray, start: int, size: int) -> None:
        self.data, self.start, self.end = data, start, start + size

    def read(self, form: str, place: int) -> int:
        if not self.start <= place <= self.end - struct.calcsize(form):
            raise malformed("its description points outside of itself")
        return int(struct.unpack_from(form, self.data, place)[0])

    def root(self) -> _Table:
        return _Table(self, self.start + self.read("<I", self.start))


class _Table:
    def __init__(self, flat: _Flat, place: int) -> None:
        self._flat, self._place = flat, place
        self._fields = place - flat.read("<i", place)
        self._size = flat.read("<H", self._fields)

    def _find(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return None
        offset = self._flat.read("<H", self._fields + entry)
        return self._place + offset if offset else None

    def has(self, field: int) -> bool:
        return self._find(field) is not None

    def uint8(self, field: int) -> int:
        place = self._find(field)
        return 0 if place is None else self._flat.read("<B", place)

    def int64(self, field: int) -> int:
        place = self._find(field)
        return 0 if place is None else self._flat.read("<q", place)

    def table(self, field: int) -> _Table:
        place = self._find(field)
        if place is None:
            raise malformed("its description lacks a part")
        return _Table(self._flat, place + self._flat.read("<I", place))

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A vector of structs of two 64-bit integers."""
        place = self._find(field)
        if place is None:
            return []
        vector = place + self._flat.read("<I", place)
        count = self._flat.read("<I", vector)
        if vector + 4 + 16 * count > self._flat.end:
            raise malformed("its description points outside of itself")
        numbers = struct.unpack_from(f"<{2 * count}q", self._flat.data, vector + 4)
        return list(zip(numbers[::2], numbers[1::2], strict=True))
