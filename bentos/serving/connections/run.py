"""A request that runs where it arrived, without a task of its own until it needs one.

A task costs a lone row's answer some hundredths of its time, and two turns of the event loop:
one to begin, one to go on with the score. Most requests wait for nothing but their batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any

from bentos.logs import LOGGER


@coroutine
def in_task() -> Generator[None, None, None]:
    """Go on in a task, where this runs without one: deadlines can only be set in a task."""
    if asyncio.current_task() is None:
        yield


class Runs:
    """Begins what arrived in one turn of the event loop together, at its end.

    One after the other as they arrive would cost more: each step of many is quicker than all
    steps of each.
    """

    def __init__(self) -> None:
        self._new: list[tuple[Coroutine[Any, Any, None], set[asyncio.Task[None]]]] = []

    def begin(self, answering: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        """Begin to answer; `tasks` holds the task that this may ask for by `in_task`."""
        if not self._new:
            asyncio.get_running_loop().call_soon(self._begin)
        self._new.append((answering, tasks))

    def _begin(self) -> None:
        new, self._new = self._new, []
        for answering, tasks in new:
            _Run(answering, tasks).go_on()


class _Run:
    """A coroutine, woken by what it waits for: a future, or what takes callbacks like one."""

    __slots__ = ("_answering", "_tasks")

    def __init__(
        self, answering: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]
    ) -> None:
        self._answering = answering
        self._tasks = tasks

    def go_on(self, _: object = None) -> None:
        try:
            waited = self._answering.send(None)
        except StopIteration:
            return
        except Exception as error:
            # Others began in the same turn.
            LOGGER.error("an answer ended in the middle", exc_info=error)
            return
        if waited is None:
            task = asyncio.get_running_loop().create_task(self._answering)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            # As a task does it: a future that is awaited is marked, and the mark is taken off.
            waited._asyncio_future_blocking = False
            waited.add_done_callback(self.go_on)
