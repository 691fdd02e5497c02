"""JSON documents into structs: at once where they are good, else slowly to say what is wrong.

Pure. Other than a typed decoder alone, this refuses keys that come twice, and never repeats
what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import msgspec

from bentos.errors import MAX_LISTED, Fault
from bentos.model import json_rows
from bentos.model.validation import JsonObject
from bentos.model.values.json_limits import count_colons

T = TypeVar("T", bound=msgspec.Struct)

# How \u003a and \u003A begin: a colon in a text that is no colon in the body.
_COLON_ESCAPE = b"\\u003"
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)
_EXPECTED = re.compile(r"Expected `([a-z |]+)`")
_REQUIRED = re.compile(r"Object missing required field `(\w+)`")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_NAMES = {
    "array": "an array",
    "bool": "true or false",
    "int": "an integer",
    "null": "null",
    "object": "an object",
    "str": "a string",
}


class DocumentReader(Generic[T]):
    """Reads documents of one type.

    `count_members`: the members of all objects of a decoded document; it may leave some out,
    which costs time and no more. `strings`: its strings that may have colons, which may be too
    few in the same way.
    """

    def __init__(
        self,
        kind: type[T],
        count_members: Callable[[T], int],
        strings: Callable[[T], Iterator[str]],
    ) -> None:
        self._kind = kind
        self._members = frozenset(field.encode_name for field in msgspec.structs.fields(kind))
        self._decode: Callable[[bytes], T] = msgspec.json.Decoder(kind).decode
        self._count_members = count_members
        self._strings = strings

    def read(self, body: bytes, max_objects: int, max_members: int) -> T:
        """Read a body, with `NaN` read as missing. Raises Problem, never with a part of it."""
        try:
            document = self._decode(body)
        except _UNREADABLE:
            return self._read_slowly(body, max_objects, max_members)
        # Each member has one colon. A key that came twice leaves more of them in the body.
        colons = count_colons(body) - self._count_members(document)
        if colons and (
            _COLON_ESCAPE in body
            or colons != sum(text.count(":") for text in self._strings(document))
        ):
            return self._read_slowly(body, max_objects, max_members)
        return document

    def _read_slowly(self, body: bytes, max_objects: int, max_members: int) -> T:
        document = json_rows.parse(
            # Its values were counted before it was read at all.
            body,
            max_objects,
            max_members,
            nan=None,
            max_values=len(body) + 1,
        )
        repeated = list(_repeats(document, self._members))
        if repeated:
            raise json_rows.invalid(repeated)
        try:
            return msgspec.convert(document, self._kind)
        except msgspec.ValidationError as error:
            raise json_rows.invalid([_fault(str(error))]) from None
        except UnicodeEncodeError:
            # JSON can escape half of a surrogate pair; no text of UTF-8 can hold it.
            detail = "has half of a surrogate pair in a name or a text"
            raise json_rows.invalid([Fault("", "malformed", detail)]) from None


def _repeats(value: object, known: frozenset[str]) -> Iterator[Fault]:
    waiting: list[tuple[object, str]] = [(value, "")]
    listed = 0
    while waiting and listed < MAX_LISTED:
        inner, place = waiting.pop()
        if isinstance(inner, JsonObject):
            for number, _ in inner.duplicates:
                listed += 1
                detail = f"member {number} repeats an earlier key"
                yield Fault(place, "duplicate_key", detail)
            # Names may be the client's own text: but for ours, places go by number.
            waiting += [
                (one, f"{place}/{name if not place and name in known else number}")
                for number, (name, one) in enumerate(inner.items(), start=1)
                if isinstance(one, dict | list)
            ]
        elif isinstance(inner, list):
            waiting += [
                (one, f"{place}/{number}")
                for number, one in enumerate(inner)
                if isinstance(one, dict | list)
            ]


def _fault(message: str) -> Fault:
    """Say in our words what msgspec found: `Expected ..., got ... - at `$.place``."""
    what, _, where = message.partition(" - at `$")
    pointer = "".join(f"/{one or other}" for one, other in _STEP.findall(where))
    required = _REQUIRED.match(what)
    if required is not None:
        return Fault(f"{pointer}/{required[1]}", "missing", "is required")
    expected = _EXPECTED.match(what)
    if expected is None:
        return Fault(pointer, "malformed", "is not a value that is read here")
    kinds = [_NAMES.get(kind, "another kind of value") for kind in expected[1].split(" | ")]
    return Fault(pointer, "wrong_type", f"must be {' or '.join(kinds)}")
