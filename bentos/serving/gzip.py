"""Compressed request bodies (RFC 9110, section 8.4.1.3)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from bentos.errors import Problem

# Members are rare in HTTP, and each costs a copy of what follows it: without a bound, a
# body of empty members would take time quadratic in its size.
_MAX_MEMBERS = 16
# What a stream unpacks at a time: a thousand times as much may come of what arrives at once.
_PIECE_BYTES = 2**18


def decompress(body: bytes, max_bytes: int) -> bytes:
    """Unpack a gzip body of one or more members.

    Stops as soon as more than `max_bytes` would come out, so a bomb costs no more than
    an honest body. Raises Problem: too large, or not gzip.
    """
    unpacked = bytearray()
    rest = body
    for _ in range(_MAX_MEMBERS):
        if not rest:
            return bytes(unpacked)
        member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            unpacked += member.decompress(rest, max_bytes + 1 - len(unpacked))
        except zlib.error:
            raise Problem("malformed", "the body is not valid gzip") from None
        if len(unpacked) > max_bytes:
            raise Problem("too-large", f"the body may have at most {max_bytes} bytes, unpacked")
        if not member.eof:
            raise Problem("malformed", "the gzip body ends too early")
        rest = member.unused_data
    if rest:
        raise Problem("malformed", f"the gzip body has more than {_MAX_MEMBERS} members")
    return bytes(unpacked)


class Unpacker:
    """Unpacks a gzip body of one member as it arrives, a bounded piece at a time."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """Unpack the next piece. Raises Problem: not gzip."""
        while data:
            if self._member.eof:
                raise Problem("malformed", "the gzip body has more than one member")
            try:
                unpacked = self._member.decompress(data, _PIECE_BYTES)
            except zlib.error:
                raise Problem("malformed", "the body is not valid gzip") from None
            data = self._member.unconsumed_tail or self._member.unused_data
            if unpacked:
                yield unpacked

    def finish(self) -> None:
        """Say that the body has ended. Raises Problem where it ends too early."""
        if not self._member.eof:
            raise Problem("malformed", "the gzip body ends too early")
