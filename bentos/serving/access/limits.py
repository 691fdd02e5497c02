"""What one client may use of one worker: requests and rows a second, and requests at once.

Token buckets. Rows are counted once they are read, so one request may take a bucket below
zero: a request of more rows than the bucket ever holds waits for a full one and leaves a debt,
and the rate over time is kept.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from math import ceil
from time import perf_counter

from bentos.errors import Problem
from bentos.serving.access.keys import KeyLimits
from bentos.serving.http import Client

# A client is not sent away for longer: what it may do later is not known so exactly.
_MOST_SECONDS = 3600

_TOLERANCE = 1e-6


class Bucket:
    """Tokens that come back at a rate, up to a capacity; full at first.

    Kept as the time at which all that was taken will have come back (the virtual scheduling of
    the generic cell rate algorithm, ITU-T I.371): one number, and little to do for a request.
    Times are seconds of the performance counter, and may be a little out of order.
    Only for the event loop's thread, but for `take_in_thread`.
    """

    __slots__ = ("_cost", "_lock", "capacity", "late", "paid_at", "rate", "span")

    def __init__(self, rate: float, burst_seconds: float) -> None:
        self.rate = rate
        self.capacity = max(1.0, rate * burst_seconds)
        # Seconds from empty to full, and those of one token.
        self.span = self.capacity / rate
        self._cost = 1 / rate
        self.paid_at = 0.0
        # What threads took, in seconds: a lock for every request would cost more than the rest.
        self.late: deque[float] = deque()
        self._lock = threading.Lock()

    def take(self, count: int, now: float) -> float:
        """Take tokens; gives 0, or in how many seconds they could be taken.

        No tokens can be taken where there is a debt.
        """
        if self.late:
            self._add_late()
        paid_at = self.paid_at
        if paid_at < now:  # noqa: PLR1730 - a call of max takes as long as the rest
            paid_at = now
        paid_at += count * self._cost
        if paid_at - now <= self.span:
            self.paid_at = paid_at
            return 0.0
        wait = self._wait(self.paid_at, count, now)
        if not wait:
            self.paid_at = paid_at
        return wait

    def take_in_thread(self, count: int, now: float) -> float:
        """The same, from any thread but the event loop's."""
        with self._lock:
            wait = self._wait(max(self.paid_at, now) + sum(self.late.copy()), count, now)
            if not wait:
                self.late.append(count * self._cost)
            return wait

    def _wait(self, paid_at: float, count: int, now: float) -> float:
        # More than the bucket holds can be taken from a full one.
        wait = max(paid_at, now) - now - self.span + min(count * self._cost, self.span)
        # What a float cannot tell at the size of `now` is no wait.
        return wait if wait > _TOLERANCE else 0.0

    def _add_late(self) -> None:
        now = perf_counter()
        while self.late:
            self.paid_at = max(self.paid_at, now) + self.late.popleft()

    def write(self, now: float) -> tuple[int, int]:
        """How many tokens are left, and in how many seconds there is one more."""
        left = (self.span - max(0.0, self.paid_at - now)) * self.rate
        if left >= 1:
            return int(left), ceil(self._cost)
        return 0, min(_MOST_SECONDS, ceil((1 - left) * self._cost))


class LimitedClient(Client):
    """A client that is known by name, and may have limits of its own."""

    __slots__ = ("_at_once", "_most_at_once", "_policy", "_requests", "_rows")

    def __init__(self, name: str, label: str, limits: KeyLimits) -> None:
        super().__init__(name, label)
        burst = limits.burst_seconds
        self._at_once = 0
        self._most_at_once = limits.concurrency
        self._requests = _make(limits.requests_per_second, burst)
        self._rows = _make(limits.rows_per_second, burst)
        self._policy = _describe(self._requests, self._rows, limits.concurrency)
        self.is_limited = bool(self._policy)

    def enter(self, now: float) -> None:
        """Count a request in. Raises Problem where the client has used up what it may."""
        most, rows, requests = self._most_at_once, self._rows, self._requests
        if most and self._at_once >= most:
            raise _refuse(f"this client may have {most} requests at a time", 1.0)
        if rows is not None and (rows.late or rows.paid_at - now > rows.span):
            # A debt refuses before the body is read.
            self.charge(0, now)
        if requests is not None and (wait := requests.take(1, now)):
            raise _refuse(f"this client may send {requests.rate:g} requests a second", wait)
        self._at_once += 1

    def charge(self, rows: int, now: float) -> None:
        """Count rows against what the client may send. Raises Problem."""
        bucket = self._rows
        if bucket is not None and (wait := bucket.take(rows, now)):
            raise _refuse(f"this client may send {bucket.rate:g} rows a second", wait)

    def charge_in_thread(self, rows: int, now: float) -> None:
        """The same, from any thread but the event loop's."""
        bucket = self._rows
        if bucket is not None and (wait := bucket.take_in_thread(rows, now)):
            raise _refuse(f"this client may send {bucket.rate:g} rows a second", wait)

    def leave(self) -> None:
        """Count a request out."""
        self._at_once -= 1

    def write_limits(self, now: float) -> Sequence[tuple[bytes, bytes]]:
        """`RateLimit` and `RateLimit-Policy`, draft-ietf-httpapi-ratelimit-headers-10.

        Nothing while at least half of each is left: the draft leaves it to the server, and two
        headers cost a lone row's answer some hundredths of its time.
        """
        requests, rows = self._requests, self._rows
        if (requests is None or 2 * (requests.paid_at - now) <= requests.span) and (
            rows is None or 2 * (rows.paid_at - now) <= rows.span
        ):
            return ()
        left = b"" if requests is None else b'"requests";r=%d;t=%d' % requests.write(now)
        if rows is not None:
            left += b'%b"rows";r=%d;t=%d' % (b", " if left else b"", *rows.write(now))
        return ((b"ratelimit", left), (b"ratelimit-policy", self._policy))


def _refuse(detail: str, wait: float) -> Problem:
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
