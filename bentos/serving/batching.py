"""Adaptive batching: rows that wait at the same time are scored together.

The rows that arrive in one turn of the event loop become one batch at its end, without a
timer: a lone row is scored at once, and the busier the server the larger its batches.
With a wait, a batch that is not full waits that long for more rows.

Each row carries its own future, so a batch knows nothing of requests, and a caller that
disconnects does not affect the other rows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Generic, Literal, Protocol, TypeVar

Row = TypeVar("Row")
Answer = TypeVar("Answer")
Reason = Literal["turn", "full", "wait"]

# How long one turn of the event loop may score before the loop reads and answers again.
_TURN_SECONDS = 0.005


class Observer(Protocol):
    """Is called for each batch: its rows, the wait of the oldest, and what started it."""

    def __call__(self, rows: int, waited_seconds: float, reason: Reason) -> None: ...


class Batcher(Generic[Row, Answer]):
    """Collects rows of one event loop and scores them in batches of at most `max_rows`.

    `score` takes a list of rows and gives as many answers, in order. If it raises, each
    caller of that batch gets the error, and the next batch starts afresh. A row that
    waited longer than `timeout_seconds` gets TimeoutError and is not scored.
    """

    def __init__(
        self,
        score: Callable[[list[Row]], Sequence[Answer]],
        *,
        max_rows: int,
        wait_seconds: float,
        timeout_seconds: float,
        observe: Observer,
    ) -> None:
        self._score = score
        self._max_rows = max_rows
        self._wait_seconds = wait_seconds
        self._timeout_seconds = timeout_seconds
        self._observe = observe
        self._waiting: deque[tuple[Row, asyncio.Future[Answer], float]] = deque()
        self._dispatch: asyncio.Handle | None = None

    @property
    def oldest_wait_seconds(self) -> float:
        """How long the oldest waiting row has waited; 0 where none waits."""
        return perf_counter() - self._waiting[0][2] if self._waiting else 0.0

    def submit(self, row: Row) -> asyncio.Future[Answer]:
        """Queue a row and give the future of its answer. Never blocks."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((row, future, perf_counter()))
        if len(self._waiting) == self._max_rows and self._wait_seconds:
            self._schedule(loop, "full")
        elif self._dispatch is None:
            self._schedule(loop, "wait" if self._wait_seconds else "turn")
        return future

    def _schedule(self, loop: asyncio.AbstractEventLoop, reason: Reason) -> None:
        if self._dispatch is not None:
            self._dispatch.cancel()
        if reason == "wait":
            self._dispatch = loop.call_later(self._wait_seconds, self._run, loop, reason)
        else:
            self._dispatch = loop.call_soon(self._run, loop, reason)

    def _run(self, loop: asyncio.AbstractEventLoop, reason: Reason) -> None:
        self._dispatch = None
        enough = perf_counter() + _TURN_SECONDS
        # Batch after batch while rows wait: a turn that reads thousands of requests and
        # scores one batch of them would fall behind for as long as they keep coming.
        while self._waiting:
            batch = self._take()
            if batch:
                self._answer(batch, "full" if len(batch) == self._max_rows else reason)
            if self._waiting and perf_counter() > enough:
                self._schedule(loop, "turn")
                return

    def _take(self) -> list[tuple[Row, asyncio.Future[Answer], float]]:
        batch: list[tuple[Row, asyncio.Future[Answer], float]] = []
        too_old = perf_counter() - self._timeout_seconds
        while self._waiting and len(batch) < self._max_rows:
            entry = self._waiting.popleft()
            _, future, arrived = entry
            # A caller that disconnected has cancelled its future.
            if future.done():
                continue
            if arrived < too_old:
                future.set_exception(TimeoutError())
            else:
                batch.append(entry)
        return batch

    def _answer(
        self, batch: list[tuple[Row, asyncio.Future[Answer], float]], reason: Reason
    ) -> None:
        try:
            self._observe(len(batch), perf_counter() - batch[0][2], reason)
            answers = self._score([row for row, _, _ in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(batch)} rows were scored with {len(answers)} answers")
        except Exception as error:
            for _, future, _ in batch:
                future.set_exception(error)
            return
        for (_, future, _), answer in zip(batch, answers, strict=True):
            future.set_result(answer)
