"""Failed attempts by address: who fails often is answered late, and the connection is closed.

The key of a request is looked at all the same. Refusing an address unseen would let one
client behind a proxy lock out all others there; and what is slowed is not needed to keep a
secret of 256 bits, but to keep an attempt from costing more than its own answer.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from contextlib import suppress
from time import monotonic

# An address may fail so often at once, then once in so many seconds.
_AT_ONCE = 10
_SECONDS = 1.0
# Addresses that are remembered: the oldest is forgotten for a new one.
_MOST_ADDRESSES = 4096
# An IPv6 client has a network of its own.
_IPV6_BITS = 64
_MOST_CHARACTERS = 64


class Guessing:
    """Counts the failed attempts of one worker. Only for the event loop's thread."""

    def __init__(self) -> None:
        # When each address will have paid for what it failed so far.
        self._paid_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._paid_at)

    def count(self, address: str) -> bool:
        """Count a failed attempt; says whether there are too many from this address."""
        address, now = _group(address), monotonic()
        paid_at = max(self._paid_at.get(address, 0.0), now) + _SECONDS
        is_often = paid_at - now > _AT_ONCE * _SECONDS
        # Attempts beyond that are not added up: the address is slow, not banned.
        self._paid_at[address] = min(paid_at, now + (_AT_ONCE + 1) * _SECONDS)
        self._paid_at.move_to_end(address)
        if len(self._paid_at) > _MOST_ADDRESSES:
            self._paid_at.popitem(last=False)
        return is_often


def _group(address: str) -> str:
    if ":" in address:
        with suppress(ValueError):
            return str(ipaddress.ip_network((address, _IPV6_BITS), strict=False))
    # A proxy may have written anything here.
    return address[:_MOST_CHARACTERS]
