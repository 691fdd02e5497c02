"""JSON bodies (RFC 8259), read strictly.

Good bodies are decoded at once into the contract's row type. Anything else is read
again slowly, to say what is wrong and where; that reading is the authority.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

import msgspec
import numpy as np

from bentos.errors import MAX_LISTED, Fault, Problem
from bentos.model.validation import NOT_FINITE, EncodedRow, Encoder, Hints, JsonObject, row_type

# A float64 is finite up to about 1.8e308: no finite number needs more digits.
_MAX_DIGITS = 400
_COLON = ord(":")

# A row is one object. Each object read slowly takes half a kilobyte and some microseconds,
# so a body full of them would cost far more than its bytes; this many may be mistakes.
_SPARE_OBJECTS = 1000

Faults = list[Fault]


class RowReader:
    """Reads the rows of one contract.

    A row comes back encoded, or as the list of its faults. `tolerated` faults (unknown
    categories scored as missing) come beside an encoded row.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        fast_row = row_type(encoder.contract)
        self._decode_row = msgspec.json.Decoder(fast_row).decode
        instances = msgspec.defstruct(
            "Instances",
            [("instances", list.__class_getitem__(fast_row))],
            forbid_unknown_fields=True,
        )
        self._decode_instances = msgspec.json.Decoder(instances).decode

    def read_row(self, body: bytes) -> tuple[EncodedRow, Faults]:
        """Read one object of named features. Raises Problem with every fault."""
        try:
            row = self._decode_row(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
        else:
            # A key that came twice leaves one value: then the body has more colons than
            # the row has members. Colons inside strings only send it the slow way.
            if body.count(b":") == self._encoder.count_members(row):
                encoded = self._encoder.encode(row)
                if encoded is not None:
                    return encoded, []
        encoded, faults = self._encoder.validate(parse(body, _SPARE_OBJECTS))
        if encoded is None:
            raise invalid(faults)
        return encoded, faults

    def read_instances(
        self, body: bytes, max_rows: int
    ) -> tuple[list[EncodedRow | None], list[Faults]]:
        """Read `{"instances": [...]}`.

        Gives, for each row, the encoded row or None, and its faults with pointers into
        the body. Raises Problem where the envelope itself is wrong.
        """
        try:
            rows = self._decode_instances(body).instances  # type: ignore[attr-defined]  # a run-time struct
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
        else:
            if len(rows) > max_rows:
                raise invalid([_too_many_rows(max_rows)])
            members = 1 + sum(map(self._encoder.count_members, rows))
            if rows and _count_colons(body) == members:
                encoded = [self._encoder.encode(row) for row in rows]
                if None not in encoded:
                    return encoded, [[] for _ in encoded]
        document = parse(body, 2 * max_rows + _SPARE_OBJECTS)
        return self.validate_instances(instances_of(document, max_rows))

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


def _count_colons(body: bytes) -> int:
    # Four times as fast as bytes.count on a large body.
    return int(np.count_nonzero(np.frombuffer(body, dtype=np.uint8) == _COLON))


def parse(body: bytes, max_objects: int) -> object:
    """Decode any JSON value, keeping note of duplicate keys and impossible numbers.

    Raises Problem where the body is no JSON text, or has more than `max_objects` objects:
    it never quotes the body.
    """
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
            parse_constant=lambda _: NOT_FINITE,
            parse_float=_finite,
            parse_int=_integer,
        )
    except json.JSONDecodeError as error:
        raise Problem(
            "malformed", f"the body is not JSON at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise Problem(
            "malformed",
            "the body is nested too deeply",
            faults=[Fault("", "too_deep", "is nested too deeply to be read")],
        ) from None


def _members(pairs: Iterable[tuple[str, object]]) -> JsonObject:
    members = JsonObject()
    duplicates = []
    for number, (name, value) in enumerate(pairs, start=1):
        if name in members:
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


def invalid(faults: Faults, listed: int = MAX_LISTED) -> Problem:
    """Make the problem that lists the first `listed` faults."""
    count = len(faults)
    found = f"{count} {'fault' if count == 1 else 'faults'} found"
    shown = "see errors" if count <= listed else f"errors lists the first {listed}"
    return Problem("invalid-features", f"{found}: {shown}", faults=faults[:listed])


encode = msgspec.json.Encoder().encode
