"""JSON bodies of many rows, read by column. Pure.

A body is cut into pieces of some rows. The rows of a good piece are decoded at once, and become
a table without work for each. Where a row is wrong, each of its piece is decoded by itself, and
the wrong ones alone are read slowly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from bentos.errors import Fault, Problem
from bentos.model.json_rows import (
    COLON_ESCAPE,
    SPARE_OBJECTS,
    UNREADABLE,
    Decode,
    Faults,
    RowReader,
    instances_of,
    invalid,
    parse,
    too_many_rows,
)
from bentos.model.tables import table as tables
from bentos.model.tables.structs import Decoded, StructEncoder
from bentos.model.tables.table import Table
from bentos.model.validation import EncodedRow, Encoder, Hints
from bentos.model.values.json_limits import count_colons
from bentos.model.values.row_types import column_types

Read = tuple[EncodedRow | None, Faults]
# Reads one row slowly: its text, its pointer, and the hints of its request. Gives None where the
# body has to be read as a whole.
ReadSlowly = Callable[[bytes, str, Hints], Read | None]

# What is decoded at a time. Its values are freed before the next ones are made, and stay in the
# processor's cache: a body of 4 MB at once took twice as long in a worker's scattered heap.
PIECE_BYTES = 2**16
# White space of JSON alone: what is cut off is seen by no decoder.
_HEAD = re.compile(rb'[ \t\n\r]*+\{[ \t\n\r]*+"instances"[ \t\n\r]*+:[ \t\n\r]*+\[')
_TAIL = re.compile(rb"\][ \t\n\r]*+\}[ \t\n\r]*+")
_BETWEEN = re.compile(rb"\}[ \t\n\r]*+,[ \t\n\r]*+(?=\{)")


class BatchReader(RowReader):
    """Reads the rows of one contract, one or many at a time. Many become a table."""

    def __init__(self, encoder: Encoder, piece_bytes: int = PIECE_BYTES) -> None:
        super().__init__(encoder)
        self._piece_bytes = piece_bytes
        self._structs = StructEncoder(encoder.contract)
        kinds = column_types(encoder.contract)
        rows = [msgspec.json.Decoder(kind) for kind in kinds]
        self._ways: list[Decode] = [one.decode for one in rows]
        self._line_ways: list[Decode] = [one.decode_lines for one in rows]
        self._list_ways: list[Decode] = [
            msgspec.json.Decoder(list.__class_getitem__(kind)).decode for kind in kinds
        ]
        self._split: Decode = msgspec.json.Decoder(list[msgspec.Raw]).decode
        self._split_envelope: Decode = msgspec.json.Decoder(_Instances).decode

    def read_instances(self, body: bytes, max_rows: int) -> Table:
        """Read `{"instances": [...]}`; faults have pointers into the body.

        Raises Problem where the envelope itself is wrong, and for too many rows.
        """
        most_objects = 2 * max_rows + SPARE_OBJECTS

        def read_slowly(raw: bytes, pointer: str, hints: Hints) -> Read | None:
            try:
                document = parse(raw, most_objects, self._max_members(1))
            except Problem:
                # A reading of the whole says where.
                return None
            return self._encoder.validate(document, pointer, hints)

        read = self._read_pieces(body, max_rows, most_objects, read_slowly)
        if read is None:
            raws = self._split_whole(body, max_rows, most_objects)
            if raws is not None:
                read = self._read_apart(raws, "/instances", 0, read_slowly, Hints())
        if read is not None:
            self.slow_rows += read[1]
            return read[0]
        instances = instances_of(parse(body, most_objects, self._max_members(max_rows)), max_rows)
        self.slow_rows += len(instances)
        return tables.of_rows(self._encoder.contract, *self.validate_instances(instances))

    def read_lines(self, data: bytes, first: int) -> Table:
        """Read one object a line; blank lines are no rows.

        `first`: the number of the first row, for pointers `/NUMBER/feature`. A line that is not
        JSON is a row with a fault.
        """
        lines = data.replace(b"\r\n", b"\n").strip(b"\n")
        parts: list[Table] = []
        hints = Hints()
        start, rows = 0, first
        while start < len(lines):
            end = lines.find(b"\n", start + self._piece_bytes)
            piece = lines[start : end if end >= 0 else len(lines)]
            start += len(piece) + 1
            table, slow_rows = self._read_lines_together(piece), 0
            if table is None:
                raws = [line for line in piece.split(b"\n") if line.strip()]
                read = self._read_apart(raws, "", rows, self._read_line, hints) if raws else None
                if read is None:
                    continue
                table, slow_rows = read
            self.slow_rows += slow_rows
            parts.append(table)
            rows += len(table)
        return Table.join(parts) if parts else tables.of_rows(self._encoder.contract, [], [])

    def validate_instances(
        self, instances: list[object]
    ) -> tuple[list[EncodedRow | None], list[Faults]]:
        """Check rows given as plain values."""
        hints = Hints()
        validated = [
            self._encoder.validate(row, f"/instances/{number}", hints)
            for number, row in enumerate(instances)
        ]
        return [row for row, _ in validated], [faults for _, faults in validated]

    def _read_pieces(
        self, body: bytes, max_rows: int, most_objects: int, read_slowly: ReadSlowly
    ) -> tuple[Table, int] | None:
        """Read a batch piece by piece. None where the envelope is wrong, or not the usual one.

        Gives the number of slow rows, too. Raises Problem for too many rows.
        """
        parts: list[Table] = []
        hints = Hints()
        rows = slow_rows = 0
        has_few: bool | None = None
        for piece in _cut(body, self._piece_bytes):
            decoded, way = _decode(self._list_ways, piece)
            table, more = (self._tabulate(piece, decoded, way) if decoded else None), 0
            if table is None:
                if has_few is None:
                    has_few = body.count(b"{") <= most_objects
                raws = self._split_piece(piece) if has_few else []
                if not 0 < len(raws) <= max_rows - rows:
                    return None
                read = self._read_apart(raws, "/instances", rows, read_slowly, hints)
                if read is None:
                    return None
                table, more = read
            parts.append(table)
            rows += len(table)
            slow_rows += more
            if rows > max_rows:
                raise invalid([too_many_rows(max_rows)])
        return (Table.join(parts), slow_rows) if parts else None

    def _split_piece(self, piece: bytes) -> list[bytes]:
        try:
            return [bytes(raw) for raw in self._split(piece)]
        except UNREADABLE:
            return []

    def _split_whole(self, body: bytes, max_rows: int, most_objects: int) -> list[bytes] | None:
        """Cut a batch into its rows. None where the envelope is wrong, or something is no JSON."""
        if body.count(b"{") > most_objects:
            return None
        try:
            raws = [bytes(raw) for raw in self._split_envelope(body).instances]
        except UNREADABLE:
            return None
        # A second member `instances` would leave more colons than its own and the rows'.
        if count_colons(body) != 1 + sum(raw.count(b":") for raw in raws):
            return None
        return raws if 0 < len(raws) <= max_rows else None

    def _read_lines_together(self, lines: bytes) -> Table | None:
        # A row has no object inside, and no text a line break: where every line begins and ends
        # as an object, and there are as many rows, each line is one.
        count = lines.count(b"\n") + 1
        if lines[:1] != b"{" or lines[-1:] != b"}" or lines.count(b"}\n{") + 1 != count:
            return None
        rows, way = _decode(self._line_ways, lines)
        return self._tabulate(lines, rows, way) if rows and len(rows) == count else None

    def _tabulate(self, text: bytes, rows: Sequence[msgspec.Struct], way: int) -> Table | None:
        """Make a table of all rows of a text; None where one must be looked at by itself.

        Each member has one colon, and each colon of a name or text is in the text too, but where
        it is written as an escape. A key that came twice leaves one value, so the text then has
        more colons than the rows.
        """
        decoded = self._structs.encode(rows, is_lenient=way > 0)
        if decoded is None or decoded.bad:
            return None
        more = count_colons(text) - int(decoded.members.sum())
        if more and (COLON_ESCAPE in text or more != decoded.add_up_colons()):
            return None
        return decoded.table

    def _read_apart(
        self, raws: Sequence[bytes], pointer: str, first: int, read_slowly: ReadSlowly, hints: Hints
    ) -> tuple[Table, int] | None:
        """Read each row by itself, so that only a bad one goes the slow way.

        `first`: the number of the first row. Gives the number of slow rows, too; None where
        `read_slowly` gives None.
        """
        decoded = [_decode(self._ways, raw)[0] for raw in raws]
        places = [place for place, row in enumerate(decoded) if row is not None]
        structs = [decoded[place] for place in places]
        fast = self._structs.encode(structs, is_lenient=True) if structs else None
        if fast is not None:
            bad = {*fast.bad, *_find_repeats(fast, [raws[place] for place in places])}
            kept = [number for number in range(len(places)) if number not in bad]
            places = [places[number] for number in kept]
            parts = [(places, fast.table.take(np.array(kept, dtype=np.intp)))]
        else:
            places, parts = [], []
        slow = sorted(set(range(len(raws))) - set(places))
        rows: list[EncodedRow | None] = []
        faults: list[Faults] = []
        for place in slow:
            read = read_slowly(raws[place], f"{pointer}/{first + place}", hints)
            if read is None:
                return None
            rows.append(read[0])
            faults.append(read[1])
        contract = self._encoder.contract
        woven = Table.weave([*parts, (slow, tables.of_rows(contract, rows, faults))])
        return woven, len(slow)

    def _read_line(self, line: bytes, pointer: str, hints: Hints) -> Read:
        try:
            document = parse(line, SPARE_OBJECTS, self._max_members(1))
        except Problem as problem:
            return None, [Fault(pointer, "malformed", problem.detail)]
        return self._encoder.validate(document, pointer, hints)


class _Instances(msgspec.Struct, forbid_unknown_fields=True):
    instances: list[msgspec.Raw]


def _cut(body: bytes, piece_bytes: int) -> Iterator[bytes]:
    """Cut the rows of a batch into arrays of some rows; none where the envelope is unusual.

    Each decoder sees all of its piece. A cut inside of a text leaves the text before it without
    an end, which no decoder takes; so what they take was cut between rows.
    """
    head = _HEAD.match(body)
    end = body.rfind(b"]")
    if head is None or _TAIL.fullmatch(body, end) is None:
        return
    start = head.end()
    while True:
        cut = _BETWEEN.search(body, start + piece_bytes, end)
        yield b"[%b]" % body[start : end if cut is None else cut.start() + 1]
        if cut is None:
            return
        start = cut.end()


def _decode(ways: Sequence[Decode], body: bytes) -> tuple[Any, int]:
    """Decode a body in the first way that takes it; None where none does."""
    for way, decode in enumerate(ways):
        try:
            return decode(body), way
        except UNREADABLE:
            continue
    return None, 0


def _find_repeats(decoded: Decoded, raws: Sequence[bytes]) -> list[int]:
    """The places of rows in which a key may have come twice."""
    more = np.array([raw.count(b":") for raw in raws], dtype=np.intp) - decoded.members
    if not more.any():
        return []
    colons = decoded.count_colons()
    return [
        place
        for place in np.flatnonzero(more).tolist()
        if more[place] != colons[place] or COLON_ESCAPE in raws[place]
    ]
