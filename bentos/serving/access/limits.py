"""What one client may use of one worker: requests and rows a second, and requests at once.

Token buckets. Rows are counted once they are read, so one request may take a bucket below
zero: a request of more rows than the bucket ever holds waits for a full one and leaves a debt,
and the rate over time is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from math import ceil
from time import monotonic

from bentos.errors import Problem
from bentos.serving.access.keys import KeyLimits
from bentos.serving.http import Client

# A client is not sent away for longer: what it may do later is not known so exactly.
_MOST_SECONDS = 3600


class Bucket:
    """Tokens that come back at a rate, up to a capacity; full at first. Safe in any thread."""

    __slots__ = ("_at", "_left", "_lock", "capacity", "rate")

    def __init__(self, rate: float, burst_seconds: float) -> None:
        self.rate = rate
        self.capacity = max(1.0, rate * burst_seconds)
        self._left = self.capacity
        self._at = monotonic()
        self._lock = threading.Lock()

    def take(self, count: int, now: float) -> float:
        """Take tokens; gives 0, or in how many seconds they could be taken.

        No tokens can be taken where there is a debt.
        """
        with self._lock:
            left = min(self.capacity, self._left + (now - self._at) * self.rate)
            self._at = now
            needed = min(count, self.capacity)
            if left < needed:
                self._left = left
                return (needed - left) / self.rate
            self._left = left - count
            return 0.0

    def write(self) -> tuple[int, int]:
        """How many tokens are left, and in how many seconds there is one more."""
        left = self._left
        if left >= 1:
            return int(left), ceil(1 / self.rate)
        return 0, min(_MOST_SECONDS, ceil((1 - left) / self.rate))


class LimitedClient(Client):
    """A client that is known by name, with limits of its own."""

    __slots__ = ("_at_once", "_most_at_once", "_policy", "_requests", "_rows")

    def __init__(self, name: str, label: str, limits: KeyLimits) -> None:
        super().__init__(name, label)
        burst = limits.burst_seconds
        self._at_once = 0
        self._most_at_once = limits.concurrency
        self._requests = _make(limits.requests_per_second, burst)
        self._rows = _make(limits.rows_per_second, burst)
        self._policy = _describe(self._requests, self._rows, limits.concurrency)

    def enter(self) -> None:
        """Count a request in. Raises Problem where the client has used up what it may."""
        most, rows, requests = self._most_at_once, self._rows, self._requests
        if most and self._at_once >= most:
            raise self._refuse(f"this client may have {most} requests at a time", 1.0)
        if rows is not None:
            # A debt refuses before the body is read.
            self.charge(0)
        if requests is not None and (wait := requests.take(1, monotonic())):
            raise self._refuse(f"this client may send {requests.rate:g} requests a second", wait)
        self._at_once += 1

    def charge(self, rows: int) -> None:
        """Count rows against what the client may send. Raises Problem. Safe in any thread."""
        bucket = self._rows
        if bucket is not None and (wait := bucket.take(rows, monotonic())):
            raise self._refuse(f"this client may send {bucket.rate:g} rows a second", wait)

    def leave(self) -> None:
        """Count a request out."""
        self._at_once -= 1

    def write_limits(self) -> Sequence[tuple[bytes, bytes]]:
        """`RateLimit` and `RateLimit-Policy`, draft-ietf-httpapi-ratelimit-headers-10."""
        if not self._policy:
            return ()
        requests, rows = self._requests, self._rows
        left = b"" if requests is None else b'"requests";r=%d;t=%d' % requests.write()
        if rows is not None:
            left += b'%b"rows";r=%d;t=%d' % (b", " if left else b"", *rows.write())
        policy = (b"ratelimit-policy", self._policy)
        return ((b"ratelimit", left), policy) if left else (policy,)

    def _refuse(self, detail: str, wait: float) -> Problem:
        seconds = min(_MOST_SECONDS, max(1, ceil(wait)))
        return Problem("rate-limited", detail, headers={"Retry-After": str(seconds)})


def _make(rate: float, burst_seconds: float) -> Bucket | None:
    return Bucket(rate, burst_seconds) if rate else None


def _describe(requests: Bucket | None, rows: Bucket | None, at_once: int) -> bytes:
    parts = [
        b'"%b";q=%d;w=%d%b' % (name, bucket.capacity, ceil(bucket.capacity / bucket.rate), unit)
        for name, bucket, unit in (
            (b"requests", requests, b""),
            # The draft's registry of units has no rows.
            (b"rows", rows, b';tabserve-unit="rows"'),
        )
        if bucket is not None
    ]
    if at_once:
        parts.append(b'"concurrency";q=%d;qu="concurrent-requests"' % at_once)
    return b", ".join(parts)
