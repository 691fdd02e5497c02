"""Ids of many predictions by column: text that numpy makes, for answers of many rows."""

from __future__ import annotations

import secrets
import time

import numpy as np
from numpy.typing import NDArray

# The two digits of each octet; and where each group of digits stands in the text.
_HEX = np.frombuffer(bytes(range(256)).hex().encode(), dtype=np.uint16)
_GROUPS = ((0, 8, 0), (8, 12, 9), (12, 16, 14), (16, 20, 19), (20, 32, 24))


def new_id_block(count: int) -> NDArray[np.bytes_]:
    """Make many ids of this moment by column: ASCII of shape (count,), ascending.

    RFC 9562, section 6.2, method 1: after the time a counter of 26 bits, which starts at a
    random number below its half; the last 48 bits are random.
    """
    numbers = np.frombuffer(secrets.token_bytes(8 * count + 8), dtype="<u8").copy()
    counter = numbers[-1] % (1 << 25) + np.arange(count, dtype=np.uint64)
    milliseconds_now = np.uint64(time.time_ns() // 1_000_000)
    # 48 bits of time, version 7, and the upper 12 bits of the counter.
    high = milliseconds_now << 16 | 0x7000 | counter >> 14 & 0xFFF
    # Variant 2, the lower 14 bits of the counter, and 48 random bits.
    low = np.uint64(1 << 63) | (counter & 0x3FFF) << 48 | numbers[:-1] & 0xFFFF_FFFF_FFFF
    octets = np.stack((high, low), axis=1).astype(">u8").view(np.uint8)
    digits = _HEX[octets].view(np.uint8)
    text = np.full((count, 36), ord("-"), dtype=np.uint8)
    for start, end, place in _GROUPS:
        text[:, place : place + end - start] = digits[:, start:end]
    return text.reshape(-1).view("S36")
