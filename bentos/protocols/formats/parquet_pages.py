"""How large the pages of a Parquet file become, before its library unpacks them. Pure.

A page's header says how many bytes the page unpacks to, and the library takes that much
memory at once. Headers are Thrift structs in the compact protocol (parquet.thrift,
`PageHeader`; thrift-compact-protocol.md), read here only as far as to their ends.
"""

from __future__ import annotations

from bentos.errors import Problem

# PageHeader's fields.
_UNPACKED_SIZE, _PACKED_SIZE = 2, 3
# The compact protocol's types.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY = 1, 2, 3, 4, 5, 6, 7, 8
_LIST, _SET, _MAP, _STRUCT = 9, 10, 11, 12
# A page header has two levels; statistics in it are texts.
_MAX_DEPTH = 8


def add_up(data: bytes, start: int, size: int) -> int:
    """Add up what the pages of one column chunk unpack to.

    `start`, `size`: of the chunk in the file. Raises Problem for what are no pages.
    """
    end = start + size
    if not 0 <= start <= end <= len(data):
        raise malformed("a column lies outside of it")
    total = 0
    place = start
    while place < end:
        reader = _Thrift(data, place, end)
        sizes = reader.read_struct()
        unpacked, packed = sizes.get(_UNPACKED_SIZE, -1), sizes.get(_PACKED_SIZE, -1)
        if unpacked < 0 or packed < 0 or packed > end - reader.place:
            raise malformed("a page has a wrong length")
        total += max(unpacked, packed)
        place = reader.place + packed
    return total


def malformed(detail: str) -> Problem:
    """Make the problem of bytes that are no Parquet file."""
    return Problem("malformed", f"the body is not a Parquet file: {detail}")


class _Thrift:
    def __init__(self, data: bytes, place: int, end: int) -> None:
        self._data, self.place, self._end = data, place, end

    def read_struct(self, depth: int = 0) -> dict[int, int]:
        """Read a struct to its end; gives its 32-bit integers by field."""
        if depth > _MAX_DEPTH:
            raise malformed("a page header is nested too deeply")
        integers: dict[int, int] = {}
        field = 0
        while head := self._byte():
            kind, step = head & 15, head >> 4
            field = field + step if step else self._integer()
            if kind == _I32:
                integers[field] = self._integer()
            else:
                self._skip(kind, depth)
        return integers

    def _skip(self, kind: int, depth: int) -> None:
        if kind in (_TRUE, _FALSE):
            return
        if kind == _BYTE:
            self._forward(1)
        elif kind in (_I16, _I32, _I64):
            self._varint()
        elif kind == _DOUBLE:
            self._forward(8)
        elif kind == _BINARY:
            self._forward(self._varint())
        elif kind == _STRUCT:
            self.read_struct(depth + 1)
        else:
            # No field of a page header is a list, a set or a map.
            raise malformed("a page header is of an unknown form")

    def _byte(self) -> int:
        self._forward(1)
        return self._data[self.place - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise malformed("a page header has a wrong number")

    def _integer(self) -> int:
        value = self._varint()
        # Zigzag.
        return (value >> 1) ^ -(value & 1)

    def _forward(self, count: int) -> None:
        self.place += count
        if self.place > self._end:
            raise malformed("a page header does not end")
