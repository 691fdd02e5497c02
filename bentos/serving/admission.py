"""How much one worker takes on at a time, and which work leaves the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from bentos.errors import Problem, ShedReason
from bentos.serving.connections.run import in_task
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.readiness import RETRY_AFTER
from bentos.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

# Larger bodies are read in a thread: 64 KiB of JSON take about a millisecond.
LARGE_BODY = 64 * 1024

# Large requests that are worked on at a time. They hold the interpreter most of the time,
# so more of them would only take memory and make each other late.
_LARGE_AT_ONCE = 2

# Large requests that may wait for that. At some milliseconds each they are done well within
# the timeout; more of them would only fill the memory with bodies.
_LARGE_WAITING = 32


class Queue(Protocol):
    """What admission asks of the rows that wait for their batch."""

    @property
    def oldest_wait_seconds(self) -> float: ...


class Admission:
    """Admits the requests of one worker, or refuses them early and cheaply.

    Only for the event loop's thread.
    """

    def __init__(self, settings: Settings, metrics: Metrics, queue: Queue) -> None:
        self._max_concurrency = settings.max_concurrency
        self._timeout_seconds = settings.timeout_seconds
        self._batch_max_rows = settings.batch_max_rows
        self._metrics = metrics
        self._queue = queue
        self._slots = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._large_now = 0

    def is_large(self, body: bytes) -> bool:
        """Whether a body takes so long to read that it would hold up the event loop."""
        if len(body) > LARGE_BODY:
            return True
        # A thousand empty objects fit into 3 kB, and each has a fault for every feature.
        most = self._batch_max_rows
        return len(body) > 2 * most and body.count(b"{") > most

    def require_room(self, *, is_large: bool = False) -> None:
        """Raise Problem where the worker has as much to do as it may."""
        if self._metrics.in_flight_now >= self._max_concurrency:
            reason: ShedReason = "concurrency"
            detail = "this worker holds as many requests as it may"
        elif self._queue.oldest_wait_seconds > self._timeout_seconds / 2:
            # A row that has waited so long is barely in time; one that comes now would not be.
            reason, detail = "wait", "rows wait too long for their turn"
        elif is_large and self._large_now >= _LARGE_AT_ONCE + _LARGE_WAITING:
            reason, detail = "large", "this worker holds as many large requests as it may"
        else:
            return
        raise Problem("overloaded", f"{detail}: try again later", headers=RETRY_AFTER, shed=reason)

    def admit(self) -> _Admitted:
        """Count a request in while the block runs. Raises Problem where there is no room."""
        self.require_room()
        return _Admitted(self._metrics)

    async def run_in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run something long in a thread, few at a time. Raises TimeoutError.

        Work that took too long keeps its place until it ends: a thread cannot be stopped,
        and more threads would only make each other later.
        """
        self._large_now += 1
        try:
            await in_task()
            async with asyncio.timeout(self._timeout_seconds):
                await self._slots.acquire()
        except BaseException:
            self._large_now -= 1
            raise
        working = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
        working.add_done_callback(self._release)
        async with asyncio.timeout(self._timeout_seconds):
            return await asyncio.shield(working)

    def _release(self, working: asyncio.Future[T]) -> None:
        self._large_now -= 1
        self._slots.release()
        if not working.cancelled():
            # Its caller may have left: an error that is never read would be logged.
            working.exception()


class _Admitted:
    __slots__ = ("_metrics",)

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __enter__(self) -> None:
        self._metrics.in_flight_now += 1

    def __exit__(self, *_: object) -> None:
        self._metrics.in_flight_now -= 1
