"""An open-loop load generator: requests leave on a schedule, whatever the server does.

A closed loop (wrk, Locust's users) waits for an answer before it sends the next request, so
a slow server is asked less and its slowness hides. Here the times of all requests are
fixed before the first is sent, and a latency counts from that time: a request that waited
in this process because the server held every connection waited all the same (no
coordinated omission). One process and one core: `late` says whether it kept its schedule
itself; where it did not, the run says nothing about the server.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile
from time import perf_counter
from typing import cast

# The place of a request in the list, the body of its answer of 200 -> whether that is right.
Check = Callable[[int, bytes], bool]

# Requests that are due within one tick leave together: asyncio's timers are no finer.
_TICK_SECONDS = 0.001


def evenly(rate: float, seconds: float) -> Iterator[float]:
    """Give arrival times in seconds from the start: `rate` a second, evenly spaced."""
    return (number / rate for number in range(round(rate * seconds)))


def randomly(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Give arrival times of independent clients: a Poisson process of `rate` a second."""
    source = random.Random(seed)  # noqa: S311  # load, not secrets: it must repeat
    now = 0.0

    def times() -> Iterator[float]:
        nonlocal now
        for _ in count():
            now += source.expovariate(rate)
            yield now

    return takewhile(lambda time: time < seconds, times())


@dataclass
class Outcome:
    """What came of one run.

    `sent`: requests that had left by the last arrival; the rest waited for a connection.
    `seconds`, `finished`: from the start to the last arrival, and to the last answer.
    `latencies`: by status, in seconds from the scheduled time. `retry_after`: answers of
    429 and 503 that said when to come again. `wrong`: answers of 200 that the check did not
    pass; they are in no latencies. `broken`: connections lost with a request on
    them. `unanswered`: no answer when the run was given up. `late`: how long after its
    time each request left while a connection was free, in seconds: the generator's fault.
    """

    scheduled: int = 0
    sent: int = 0
    seconds: float = 0.0
    finished: float = 0.0
    latencies: dict[int, list[float]] = field(default_factory=dict)
    retry_after: int = 0
    wrong: int = 0
    broken: int = 0
    unanswered: int = 0
    late: list[float] = field(default_factory=list)

    @property
    def shed(self) -> int:
        """Requests that were told to come again later."""
        return sum(len(self.latencies.get(status, ())) for status in (429, 503))


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that `share` (in (0, 1]) of the values do not exceed; NaN for none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1]


class _Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request on it."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.WriteTransport | None = None
        self._received = b""
        self._due = -1.0
        self._turn = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A stream's transport can write; uvloop's is no subclass of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        self._run.take(self)

    def send(self, turn: int, request: bytes, due: float) -> None:
        self._turn, self._due = turn, due
        # A connection is free, and so sent on, only once it is made.
        cast(asyncio.WriteTransport, self._transport).write(request)

    def data_received(self, data: bytes) -> None:
        self._received = received = self._received + data if self._received else data
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return
        lower = received[:head].lower()
        place = lower.find(b"\r\ncontent-length:")
        end = lower.find(b"\r\n", place + 2)
        length = int(lower[place + 17 : end if end > 0 else head]) if place >= 0 else 0
        if len(received) < head + 4 + length:
            return
        self._received = b""
        status = int(received[9:12])
        is_right = status != 200 or self._run.check(self._turn, received[head + 4 :])
        says_when = b"\r\nretry-after:" in lower
        self._run.count(status, self._due, says_when=says_when, is_right=is_right)
        if b"\r\nconnection: close" in lower:
            self.close()
            self._run.replace()
        else:
            self._due = -1.0
            self._run.take(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.lost(self, is_busy=self._due >= 0)

    def close(self) -> None:
        self._due = -1.0
        if self._transport is not None:
            self._transport.abort()


class _Run:
    """The state of one run: free connections, requests that wait for one, what came back."""

    def __init__(self, port: int, requests: Sequence[bytes], check: Check) -> None:
        self.port = port
        self.requests = requests
        self.check = check
        self.free: list[_Connection] = []
        self.waiting: deque[float] = deque()
        self.outcome = Outcome()
        self.open = 0
        self.sent = 0
        self.started = 0.0
        self._turn = 0
        self._all: list[_Connection] = []
        self._opening: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Open one more connection. Raises OSError."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(self), "127.0.0.1", self.port
        )
        self._all.append(connection)

    def replace(self) -> None:
        """Open a connection for one that the server closed, as a client's pool does."""
        task = asyncio.get_running_loop().create_task(self.connect())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def close(self) -> None:
        """Close every connection, and open no more."""
        for task in self._opening:
            task.cancel()
        for connection in self._all:
            connection.close()

    def send(self, connection: _Connection, due: float) -> None:
        self._turn = (self._turn + 1) % len(self.requests)
        self.open += 1
        self.sent += 1
        connection.send(self._turn, self.requests[self._turn], due)

    def arrive(self, due: float, now: float) -> None:
        if self.free:
            self.outcome.late.append(now - due)
            self.send(self.free.pop(), due)
        else:
            self.waiting.append(due)

    def count(self, status: int, due: float, *, says_when: bool, is_right: bool) -> None:
        now = perf_counter() - self.started
        self.open -= 1
        self.outcome.finished = now
        if is_right:
            self.outcome.latencies.setdefault(status, []).append(now - due)
        else:
            self.outcome.wrong += 1
        self.outcome.retry_after += status in (429, 503) and says_when

    def take(self, connection: _Connection) -> None:
        """Use a connection that is free: for who waits longest, or later."""
        if self.waiting:
            self.send(connection, self.waiting.popleft())
        else:
            self.free.append(connection)

    def lost(self, connection: _Connection, *, is_busy: bool) -> None:
        if is_busy:
            self.open -= 1
            self.outcome.broken += 1
        elif connection in self.free:
            self.free.remove(connection)


async def offer(
    port: int,
    requests: Sequence[bytes],
    arrivals: Iterator[float],
    *,
    connections: int,
    check: Check,
    patience_seconds: float = 15.0,
) -> Outcome:
    """Send `requests` (whole HTTP/1.1 requests, in turn) to loopback at the times given.

    After the last arrival, answers have `patience_seconds` to come.
    """
    run = _Run(port, requests, check)
    for _ in range(connections):
        await run.connect()
    run.started = perf_counter()
    for due in arrivals:
        run.outcome.scheduled += 1
        now = perf_counter() - run.started
        while now < due:
            await asyncio.sleep(_TICK_SECONDS)
            now = perf_counter() - run.started
        run.arrive(due, now)
        if run.outcome.scheduled % 64 == 0:
            # Far behind schedule there is no sleeping, and answers must be read all the same.
            await asyncio.sleep(0)
    run.outcome.seconds = perf_counter() - run.started
    run.outcome.sent = run.sent
    give_up = perf_counter() + patience_seconds
    while (run.open or run.waiting) and perf_counter() < give_up:
        await asyncio.sleep(0.01)
    run.outcome.unanswered = run.open + len(run.waiting)
    run.close()
    return run.outcome


def request(path: str, body: bytes) -> bytes:
    """Write one HTTP/1.1 request."""
    return (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body)
    )
