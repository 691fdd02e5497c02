"""Ids as 16 bytes each, as they are stored, and back."""

from __future__ import annotations

from collections.abc import Sequence

from bentos.errors import RowsRefused

ID_BYTES = 16
_LAST_MS = 2**48 - 1
# Where a UUID has its hyphens.
_HYPHENS = (8, 13, 18, 23)


def to_bytes(ids: Sequence[str]) -> bytes:
    """Write ids one after another. Raises RowsRefused where one is no UUID in lower case."""
    text = "".join(ids)
    if len(text) == 36 * len(ids) and text == text.lower():
        hyphens = "-" * len(ids)
        digits = text.replace("-", "")
        # As many digits as there must be, and each hyphen at its place.
        if len(digits) == 32 * len(ids) and all(text[at::36] == hyphens for at in _HYPHENS):
            try:
                return _read_digits(digits)
            except ValueError:
                pass
    raise RowsRefused("an id is no UUID in lower case")


def to_ids(raw: bytes) -> list[str]:
    """Read ids."""
    digits = raw.hex()
    return [
        f"{digits[at : at + 8]}-{digits[at + 8 : at + 12]}-{digits[at + 12 : at + 16]}-"
        f"{digits[at + 16 : at + 20]}-{digits[at + 20 : at + 32]}"
        for at in range(0, len(digits), 2 * ID_BYTES)
    ]


def split(raw: bytes) -> list[bytes]:
    """Each id's bytes."""
    return [raw[at : at + ID_BYTES] for at in range(0, len(raw), ID_BYTES)]


def find_place(ids: bytes, raw: bytes) -> int | None:
    """The place of an id among others."""
    at = ids.find(raw)
    while at >= 0:
        if at % ID_BYTES == 0:
            return at // ID_BYTES
        at = ids.find(raw, at + 1)
    return None


def floor_of(name: str, shift_ms: int) -> str:
    """The least UUID of the millisecond that is so far from an id's.

    Raises RowsRefused for what does not begin with a time.
    """
    try:
        moment = int(name[:8] + name[9:13], 16) + shift_ms
    except ValueError:
        raise RowsRefused("an id is no UUID in lower case") from None
    digits = f"{min(max(0, moment), _LAST_MS):012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


def _read_digits(digits: str) -> bytes:
    # Blanks, which `fromhex` passes over, make too few bytes.
    raw = bytes.fromhex(digits)
    if len(raw) * 2 != len(digits):
        raise ValueError("blanks between digits")
    return raw
