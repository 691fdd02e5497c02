"""JSON bodies of many rows, read by column. Pure.

A good body is decoded at once, and its rows become a table without work for each. Where a row
is wrong, each is decoded by itself, and the wrong ones alone are read slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

Slowly = Callable[[bytes, str, Hints], tuple[EncodedRow | None, Faults] | None]


class BatchReader(RowReader):
    """Reads the rows of one contract, one or many at a time. Many become a table."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self._structs = StructEncoder(encoder.contract)
        kinds = column_types(encoder.contract)
        rows = [msgspec.json.Decoder(kind) for kind in kinds]
        self._ways: list[Decode] = [one.decode for one in rows]
        self._line_ways: list[Decode] = [one.decode_lines for one in rows]
        self._batch_ways: list[Decode] = [
            msgspec.json.Decoder(_envelope(kind)).decode for kind in kinds
        ]
        self._decode_apart: Decode = msgspec.json.Decoder(_envelope(msgspec.Raw)).decode

    def read_instances(self, body: bytes, max_rows: int) -> Table:
        """Read `{"instances": [...]}`; faults have pointers into the body.

        Raises Problem where the envelope itself is wrong.
        """
        document, way = _decode(self._batch_ways, body)
        if document is not None:
            if len(document.instances) > max_rows:
                raise invalid([too_many_rows(max_rows)])
            # The member `instances` has a colon, too.
            table = self._tabulate(body, document.instances, way, 1)
            if table is not None:
                return table
        most_objects = 2 * max_rows + SPARE_OBJECTS
        raws = self._split(body, max_rows, most_objects)
        if raws is not None:

            def read_slowly(
                raw: bytes, pointer: str, hints: Hints
            ) -> tuple[EncodedRow | None, Faults] | None:
                try:
                    document = parse(raw, most_objects, self._max_members(1))
                except Problem:
                    # A reading of the whole says where.
                    return None
                return self._encoder.validate(document, pointer, hints)

            table = self._read_apart(raws, "/instances", 0, read_slowly)
            if table is not None:
                return table
        instances = instances_of(parse(body, most_objects, self._max_members(max_rows)), max_rows)
        self.slow_rows += len(instances)
        return tables.of_rows(self._encoder.contract, *self.validate_instances(instances))

    def read_lines(self, data: bytes, first: int) -> Table:
        """Read one object a line; blank lines are no rows.

        `first`: the number of the first row, for pointers `/NUMBER/feature`. A line that is not
        JSON is a row with a fault.
        """
        lines = data.replace(b"\r\n", b"\n").strip(b"\n")
        # A row has no object inside, and no text a line break: where every line begins and ends
        # as an object, and there are as many rows, each line is one.
        count = lines.count(b"\n") + 1
        if lines[:1] == b"{" and lines[-1:] == b"}" and lines.count(b"}\n{") + 1 == count:
            rows, way = _decode(self._line_ways, lines)
            if rows is not None and len(rows) == count:
                table = self._tabulate(lines, rows, way, 0)
                if table is not None:
                    return table
        raws = [line for line in lines.split(b"\n") if line.strip()]
        table = self._read_apart(raws, "", first, self._read_line)
        if table is None:
            raise ValueError("a line was not read")
        return table

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

    def _tabulate(
        self, body: bytes, rows: Sequence[msgspec.Struct], way: int, besides: int
    ) -> Table | None:
        """Make a table of all rows of a body; None where one must be looked at by itself.

        `besides`: the colons of the body that no row has. Each member has one colon, and each
        colon of a name or text is in the body too, but where it is written as an escape. A key
        that came twice leaves one value, so the body then has more colons than the rows.
        """
        decoded = self._structs.encode(rows, is_lenient=way > 0) if rows else None
        if decoded is None or decoded.bad:
            return None
        more = count_colons(body) - besides - int(decoded.members.sum())
        if more and (COLON_ESCAPE in body or more != decoded.add_up_colons()):
            return None
        return decoded.table

    def _split(self, body: bytes, max_rows: int, most_objects: int) -> list[bytes] | None:
        """Cut a batch into its rows. None where the envelope is wrong, or something is no JSON."""
        if body.count(b"{") > most_objects:
            return None
        try:
            raws = [bytes(raw) for raw in self._decode_apart(body).instances]
        except UNREADABLE:
            return None
        # A second member `instances` would leave more colons than its own and the rows'.
        if count_colons(body) != 1 + sum(raw.count(b":") for raw in raws):
            return None
        return raws if 0 < len(raws) <= max_rows else None

    def _read_apart(
        self, raws: Sequence[bytes], pointer: str, first: int, read_slowly: Slowly
    ) -> Table | None:
        """Read each row by itself, so that only a bad one goes the slow way.

        `first`: the number of the first row. None where `read_slowly` gives None.
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
        hints = Hints()
        slow = sorted(set(range(len(raws))) - set(places))
        rows: list[EncodedRow | None] = []
        faults: list[Faults] = []
        for place in slow:
            read = read_slowly(raws[place], f"{pointer}/{first + place}", hints)
            if read is None:
                return None
            rows.append(read[0])
            faults.append(read[1])
        self.slow_rows += len(slow)
        contract = self._encoder.contract
        return Table.weave([*parts, (slow, tables.of_rows(contract, rows, faults))])

    def _read_line(
        self, line: bytes, pointer: str, hints: Hints
    ) -> tuple[EncodedRow | None, Faults]:
        try:
            document = parse(line, SPARE_OBJECTS, self._max_members(1))
        except Problem as problem:
            return None, [Fault(pointer, "malformed", problem.detail)]
        return self._encoder.validate(document, pointer, hints)


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


def _envelope(row: type) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        "Instances", [("instances", list.__class_getitem__(row))], forbid_unknown_fields=True
    )
