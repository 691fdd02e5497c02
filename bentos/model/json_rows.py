"""JSON bodies (RFC 8259), read strictly.

A good row is decoded at once into the contract's row type. Any other row is read again
slowly, to say what is wrong and where; that reading is the authority. `json_batches` reads many
rows by the same rules.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from bentos.errors import MAX_LISTED, Fault, Problem
from bentos.model.validation import EncodedRow, Encoder, JsonObject
from bentos.model.values import json_limits
from bentos.model.values.checks import NOT_FINITE
from bentos.model.values.json_limits import count_colons, too_deep
from bentos.model.values.row_types import row_type

# A float64 is finite up to about 1.8e308: no finite number needs more digits.
_MAX_DIGITS = 400
# How \u003a and \u003A begin: a colon in a text that is no colon in the body.
COLON_ESCAPE = b"\\u003"
# What a typed decoder raises: wrong JSON or types, no UTF-8, or too deep a nesting.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

# A row is one object. Each object read slowly takes half a kilobyte and some microseconds,
# so a body full of them would cost far more than its bytes; this many may be mistakes.
SPARE_OBJECTS = 1000

# The same of members: names that are no feature, and keys that came twice. So many take some
# 10 MB and 10 ms to read.
SPARE_MEMBERS = 50_000

Faults = list[Fault]
Decode = Callable[[bytes], Any]
Encode = Callable[[msgspec.Struct], EncodedRow | None]


class RowReader:
    """Reads the rows of one contract, one at a time.

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

    def read_row(self, body: bytes) -> tuple[EncodedRow, Faults]:
        """Read one object of named features. Raises Problem with every fault."""
        encoded = self._read_fast(body)
        if encoded is not None:
            return encoded, []
        self.slow_rows += 1
        encoded, faults = self._encoder.validate(parse(body, SPARE_OBJECTS, self._max_members(1)))
        if encoded is None:
            raise invalid(faults, rows=1)
        return encoded, faults

    def _read_fast(self, body: bytes) -> EncodedRow | None:
        for decode, encode in self._row_ways:
            try:
                row = decode(body)
            except UNREADABLE:
                continue
            return encode(row) if self._has_no_repeats(body, row) else None
        return None

    def _has_no_repeats(self, body: bytes, row: msgspec.Struct) -> bool:
        """Whether no key came twice in the object that `row` was decoded from.

        Each member has one colon, and each colon of a name or text is in the body too, but
        where it is written as an escape. A key that came twice leaves one value, so the body
        then has more colons than the rows account for.
        """
        colons, members = count_colons(body), self._encoder.count_members(row)
        if colons == members:
            return True
        if COLON_ESCAPE in body:
            return False
        return colons == members + self._encoder.count_colons(row)

    def _max_members(self, rows: int) -> int:
        # Each row, and the object around them, may have as many members as there are features.
        return (rows + 1) * len(self._encoder.contract.features) + SPARE_MEMBERS

    def validate(self, row: object) -> tuple[EncodedRow | None, Faults]:
        """Check one row given as plain values."""
        return self._encoder.validate(row)


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
        faults.append(too_many_rows(max_rows))
    if faults or not isinstance(instances, list):
        raise invalid(faults)
    return instances


def too_many_rows(max_rows: int) -> Fault:
    """Make the fault of a batch with more rows than it may have."""
    return Fault("/instances", "too_many_rows", f"may have at most {max_rows} rows a request")


def invalid(faults: Faults, listed: int = MAX_LISTED, rows: int = 0) -> Problem:
    """Make the problem that lists the first `listed` faults. `rows`: as in `Problem`."""
    count = len(faults)
    found = f"{count} {'fault' if count == 1 else 'faults'} found"
    shown = "see errors" if count <= listed else f"errors lists the first {listed}"
    return Problem("invalid-features", f"{found}: {shown}", faults=faults[:listed], rows=rows)


encode = msgspec.json.Encoder().encode
