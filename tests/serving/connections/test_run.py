"""Answers without a task: begun together, woken by what they wait for, in a task when they ask."""

from __future__ import annotations

import asyncio
import logging

import pytest

from bentos.logs import LOGGER
from bentos.serving.connections.run import Runs, in_task

PATIENCE_SECONDS = 20


async def finish(done: asyncio.Event) -> None:
    """Wait for the end of what a test began."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await done.wait()


async def test_without_a_task() -> None:
    """What waits for futures alone runs to its end without a task, and gets results and errors."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    first, second = loop.create_future(), loop.create_future()
    seen: list[object] = []

    async def answer() -> None:
        seen.append(await first)
        try:
            await second
        except KeyError as error:
            seen.append(error.args)
        seen.append(asyncio.current_task())
        done.set()

    tasks: set[asyncio.Task[None]] = set()
    Runs().begin(answer(), tasks)
    loop.call_later(0.01, first.set_result, 7)
    loop.call_later(0.02, second.set_exception, KeyError("late"))
    await finish(done)
    assert seen == [7, ("late",), None]
    assert not tasks


async def test_in_a_task() -> None:
    """After `in_task` there is one, which is held as long as it runs, and deadlines can be set."""
    done = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()
    seen: list[bool] = []

    async def answer() -> None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop))
        await in_task()
        seen.append(asyncio.current_task() in tasks)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(PATIENCE_SECONDS)
        done.set()

    loop = asyncio.get_running_loop()
    Runs().begin(answer(), tasks)
    await finish(done)
    await asyncio.sleep(0)
    assert seen == [True]
    assert not tasks


async def test_in_a_task_already() -> None:
    """In a task, `in_task` gives no turn away."""
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "another")
    await in_task()
    assert turns == []


async def test_one_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """An answer that raises is logged, and those that began in the same turn go on."""
    done = asyncio.Event()

    async def fail() -> None:
        raise KeyError("secret7")

    async def answer() -> None:
        done.set()

    runs = Runs()
    LOGGER.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.ERROR, LOGGER.name):
            runs.begin(fail(), set())
            runs.begin(answer(), set())
            await finish(done)
    finally:
        LOGGER.removeHandler(caplog.handler)
    assert "an answer ended in the middle" in caplog.messages
