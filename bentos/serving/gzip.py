"""Compressed request bodies (RFC 9110, section 8.4.1.3)."""

from __future__ import annotations

import zlib

from bentos.errors import Problem

# Members are rare in HTTP, and each costs a copy of what follows it: without a bound, a
# body of empty members would take time quadratic in its size.
_MAX_MEMBERS = 16


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
