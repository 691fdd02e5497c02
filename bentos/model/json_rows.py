"""JSON bodies (RFC 8259), read strictly.

Good bodies are decoded at once into the contract's row type. Any other row is read again
slowly, to say what is wrong and where; that reading is the authority.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from bentos.errors import MAX_LISTED, Fault, Problem
from bentos.model.row_types import row_type
from bentos.model.validation import EncodedRow, Encoder, Hints, JsonObject
from bentos.model.values import json_limits
from bentos.model.values.checks import NOT_FINITE
from bentos.model.values.json_limits import count_colons, too_deep

# A float64 is finite up to about 1.8e308: no finite number needs more digits.
_MAX_DIGITS = 400
# How \u003a and \u003A begin: a colon in a text that is no colon in the body.
_COLON_ESCAPE = b"\\u003"
# What a typed decoder raises: wrong JSON or types, no UTF-8, or too deep a nesting.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

# A row is one object. Each object read slowly takes half a kilobyte and some microseconds,
# so a body full of them would cost far more than its bytes; this many may be mistakes.
_SPARE_OBJECTS = 1000

# The same of members: names that are no feature, and keys that came twice. So many take some
# 10 MB and 10 ms to read.
_SPARE_MEMBERS = 50_000

Faults = list[Fault]
Decode = Callable[[bytes], Any]
Encode = Callable[[msgspec.Struct], EncodedRow | None]


class RowReader:
    """Reads the rows of one contract.

    A row comes back encoded, or as the list of its faults. `tolerated` faults (unknown
    categories scored as missing) come beside an encoded row. `slow_rows` counts the rows
    that had to be read the slow way.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.slow_rows = 0
        strict = row_type(encoder.contract)
        lenient = row_type(encoder.contract, is_lenient=True)
        self._row_ways: tuple[tuple[Decode, Encode], ...] = (
            (msgspec.json.Decoder(strict).decode, encoder.encode),
            (msgspec.json.Decoder(lenient).decode, encoder.encode_lenient),
        )
        self._batch_ways: tuple[tuple[Decode, Encode], ...] = tuple(
            (msgspec.json.Decoder(_envelope(row)).decode, encode)
            for row, encode in ((strict, encoder.encode), (lenient, encoder.encode_lenient))
        )
        self._line_ways: tuple[tuple[Decode, Encode], ...] = (
            (msgspec.json.Decoder(strict).decode_lines, encoder.encode),
            (msgspec.json.Decoder(lenient).decode_lines, encoder.encode_lenient),
        )
        self._decode_apart: Decode = msgspec.json.Decoder(_envelope(msgspec.Raw)).decode

    def read_row(self, body: bytes) -> tuple[EncodedRow, Faults]:
        """Read one object of named features. Raises Problem with every fault."""
        encoded = self._read_fast(body)
        if encoded is not None:
            return encoded, []
        self.slow_rows += 1
        encoded, faults = self._encoder.validate(parse(body, _SPARE_OBJECTS, self._max_members(1)))
        if encoded is None:
            raise invalid(faults, rows=1)
        return encoded, faults

    def read_instances(
        self, body: bytes, max_rows: int
    ) -> tuple[list[EncodedRow | None], list[Faults]]:
        """Read `{"instances": [...]}`.

        Gives, for each row, the encoded row or None, and its faults with pointers into
        the body. Raises Problem where the envelope itself is wrong.
        """
        for decode, encode in self._batch_ways:
            try:
                rows = decode(body).instances
            except _UNREADABLE:
                continue
            if len(rows) > max_rows:
                raise invalid([_too_many_rows(max_rows)])
            members = 1 + sum(map(self._encoder.count_members, rows))
            if rows and self._has_no_repeats(body, rows, members):
                encoded = [encode(row) for row in rows]
                if None not in encoded:
                    return encoded, [[] for _ in encoded]
            break
        most_objects = 2 * max_rows + _SPARE_OBJECTS
        read = self._read_apart(body, max_rows, most_objects)
        if read is not None:
            return read
        instances = instances_of(parse(body, most_objects, self._max_members(max_rows)), max_rows)
        self.slow_rows += len(instances)
        return self.validate_instances(instances)

    def read_lines(self, data: bytes, first: int) -> tuple[list[EncodedRow | None], list[Faults]]:
        """Read one object a line; blank lines are no rows.

        `first`: the number of the first row, for pointers `/NUMBER/feature`. A line that is not
        JSON is a row with a fault.
        """
        lines = data.replace(b"\r\n", b"\n").strip(b"\n")
        encoded = self._read_lines_fast(lines)
        if encoded is not None:
            return encoded, [[] for _ in encoded]
        encoded, faults = [], []
        hints = Hints()
        for line in lines.split(b"\n"):
            if not line.strip():
                continue
            row, found = self._read_line(line, f"/{first + len(encoded)}", hints)
            encoded.append(row)
            faults.append(found)
        return encoded, faults

    def _read_line(
        self, line: bytes, pointer: str, hints: Hints
    ) -> tuple[EncodedRow | None, Faults]:
        row = self._read_fast(line)
        if row is not None:
            return row, []
        self.slow_rows += 1
        try:
            document = parse(line, _SPARE_OBJECTS, self._max_members(1))
        except Problem as problem:
            return None, [Fault(pointer, "malformed", problem.detail)]
        return self._encoder.validate(document, pointer, hints)

    def _read_lines_fast(self, lines: bytes) -> list[EncodedRow | None] | None:
        # A row has no object inside, and no text a line break: where every line begins and ends
        # as an object, and there are as many rows, each line is one.
        count = lines.count(b"\n") + 1
        if lines.count(b"}\n{") + 1 != count or lines[:1] != b"{" or lines[-1:] != b"}":
            return None
        for decode, encode in self._line_ways:
            try:
                rows = decode(lines)
            except _UNREADABLE:
                continue
            members = sum(map(self._encoder.count_members, rows))
            if len(rows) == count and self._has_no_repeats(lines, rows, members):
                encoded = [encode(row) for row in rows]
                return None if None in encoded else encoded
            break
        return None

    def _read_fast(self, body: bytes) -> EncodedRow | None:
        for decode, encode in self._row_ways:
            try:
                row = decode(body)
            except _UNREADABLE:
                continue
            if self._has_no_repeats(body, [row], self._encoder.count_members(row)):
                return encode(row)
            break
        return None

    def _read_apart(
        self, body: bytes, max_rows: int, most_objects: int
    ) -> tuple[list[EncodedRow | None], list[Faults]] | None:
        """Read each row of a batch by itself, so that only a bad one goes the slow way.

        Gives None where the envelope is wrong, or something in it is not JSON: then a
        reading of the whole says where.
        """
        if body.count(b"{") > most_objects:
            return None
        try:
            raws = [bytes(raw) for raw in self._decode_apart(body).instances]
        except _UNREADABLE:
            return None
        if not 0 < len(raws) <= max_rows:
            return None
        # A second member `instances` would leave more colons than its own and the rows'.
        if count_colons(body) != 1 + sum(raw.count(b":") for raw in raws):
            return None
        hints, slow = Hints(), 0
        encoded: list[EncodedRow | None] = []
        faults: list[Faults] = []
        for number, raw in enumerate(raws):
            row = self._read_fast(raw)
            found: Faults = []
            if row is None:
                slow += 1
                try:
                    document = parse(raw, most_objects, self._max_members(1))
                except Problem:
                    return None
                row, found = self._encoder.validate(document, f"/instances/{number}", hints)
            encoded.append(row)
            faults.append(found)
        self.slow_rows += slow
        return encoded, faults

    def _has_no_repeats(self, body: bytes, rows: Sequence[msgspec.Struct], members: int) -> bool:
        """Whether no key came twice in the objects that `rows` were decoded from.

        Each member has one colon, and each colon of a name or text is in the body too, but
        where it is written as an escape. A key that came twice leaves one value, so the body
        then has more colons than the rows account for.
        """
        colons = count_colons(body)
        if colons == members:
            return True
        if _COLON_ESCAPE in body:
            return False
        return colons == members + sum(map(self._encoder.count_colons, rows))

    def _max_members(self, rows: int) -> int:
        # Each row, and the object around them, may have as many members as there are features.
        return (rows + 1) * len(self._encoder.contract.features) + _SPARE_MEMBERS

    def validate(self, row: object) -> tuple[EncodedRow | None, Faults]:
        """Check one row given as plain values."""
        return self._encoder.validate(row)

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


def _envelope(row: type) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        "Instances", [("instances", list.__class_getitem__(row))], forbid_unknown_fields=True
    )


def parse(
    body: bytes, max_objects: int, max_members: int, nan: object = NOT_FINITE, max_values: int = 0
) -> object:
    """Decode any JSON value, keeping note of duplicate keys and impossible numbers.

    `nan`: what stands for `NaN`, which some write. `max_values`: 0 for objects and members.
    Raises Problem, without the body's text, for no JSON text and for more than the limits.
    """
    json_limits.require_few_members(body, max_members)
    json_limits.require_few_values(body, max_values or max_objects + max_members)
    count = 0

    def members(pairs: Iterable[tuple[str, object]]) -> JsonObject:
        nonlocal count
        count += 1
        if count > max_objects:
            raise Problem("too-large", f"the body has more than {max_objects} JSON objects")
        return _members(pairs)

    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem("malformed", f"the body is not UTF-8 at byte {error.start}") from None
    try:
        return json.loads(
            text,
            object_pairs_hook=members,
            parse_constant=lambda name: nan if name == "NaN" else NOT_FINITE,
            parse_float=_finite,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        raise Problem(
            "malformed", f"the body is not JSON at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise too_deep() from None


def _members(pairs: Iterable[tuple[str, object]]) -> JsonObject:
    members = JsonObject()
    duplicates: list[tuple[int, str]] = []
    for number, (name, value) in enumerate(pairs, start=1):
        # No answer lists more of them.
        if name in members and len(duplicates) < MAX_LISTED:
            duplicates.append((number, name))
        members[name] = value
    # Only where there are any: an attribute of its own doubles the size of an object.
    if duplicates:
        members.duplicates = tuple(duplicates)
    return members


def _finite(token: str) -> object:
    number = float(token)
    return number if math.isfinite(number) else NOT_FINITE


def _integer(token: str) -> object:
    return int(token) if len(token) <= _MAX_DIGITS else NOT_FINITE


def instances_of(document: object, max_rows: int) -> list[object]:
    """Take the rows out of a batch document. Raises Problem for anything else."""
    if not isinstance(document, JsonObject):
        raise invalid([Fault("", "wrong_type", "must be an object with the member 'instances'")])
    faults = [
        Fault("", "unknown_feature", f"member {number} is not known: 'instances' is the only one")
        for number, name in enumerate(document, start=1)
        if name != "instances"
    ][:MAX_LISTED]
    faults.extend(
        Fault("", "duplicate_key", f"member {number} repeats an earlier key")
        for number, _ in document.duplicates[:MAX_LISTED]
    )
    instances = document.get("instances")
    if "instances" not in document:
        faults.append(Fault("/instances", "missing", "is required"))
    elif not isinstance(instances, list):
        faults.append(Fault("/instances", "wrong_type", "must be an array of rows"))
    elif not instances:
        faults.append(Fault("/instances", "empty_batch", "must have at least one row"))
    elif len(instances) > max_rows:
        faults.append(_too_many_rows(max_rows))
    if faults or not isinstance(instances, list):
        raise invalid(faults)
    return instances


def _too_many_rows(max_rows: int) -> Fault:
    return Fault("/instances", "too_many_rows", f"may have at most {max_rows} rows a request")


def invalid(faults: Faults, listed: int = MAX_LISTED, rows: int = 0) -> Problem:
    """Make the problem that lists the first `listed` faults. `rows`: as in `Problem`."""
    count = len(faults)
    found = f"{count} {'fault' if count == 1 else 'faults'} found"
    shown = "see errors" if count <= listed else f"errors lists the first {listed}"
    return Problem("invalid-features", f"{found}: {shown}", faults=faults[:listed], rows=rows)


encode = msgspec.json.Encoder().encode
