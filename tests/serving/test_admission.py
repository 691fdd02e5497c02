"""What one worker takes on: work in threads keeps its place until it ends."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from bentos.errors import Problem
from bentos.serving.admission import Admission
from bentos.serving.exposition.metrics import Metrics
from bentos.settings import Settings


class NoQueue:
    """No row waits for its batch."""

    oldest_wait_seconds = 0.0


def admission(folder: Path, **settings: object) -> Admission:
    """Admission of a worker without traffic."""
    chosen = Settings(data_dir=folder, **settings)  # type: ignore[arg-type]  # has defaults
    return Admission(chosen, Metrics(), NoQueue())


async def test_work_that_took_too_long_keeps_its_place(tmp_path: Path) -> None:
    """Two threads work at a time, also where their callers have been answered by a timeout."""
    made = admission(tmp_path, timeout_seconds=0.05)
    end = threading.Event()
    working = 0

    def work() -> None:
        nonlocal working
        working += 1
        end.wait(30)

    late = await asyncio.gather(
        *(made.run_in_thread(work) for _ in range(6)), return_exceptions=True
    )
    assert [type(one) for one in late] == [TimeoutError] * 6
    assert working == 2
    end.set()
    deadline = asyncio.get_running_loop().time() + 5
    while True:
        try:
            assert await made.run_in_thread(lambda: "done") == "done"
            break
        except TimeoutError:
            assert asyncio.get_running_loop().time() < deadline


async def test_an_error_of_the_work_reaches_its_caller(tmp_path: Path) -> None:
    """What the work raises is raised to the caller, and the place is free again."""
    made = admission(tmp_path)

    def work() -> None:
        raise Problem("malformed", "wrong")

    for _ in range(5):
        with pytest.raises(Problem, match="wrong"):
            await made.run_in_thread(work)


async def test_large_requests_are_refused_beyond_those_that_wait(tmp_path: Path) -> None:
    """With two large requests at work and 32 waiting, the next one is shed by its reason."""
    made = admission(tmp_path)
    end = threading.Event()
    tasks = [asyncio.create_task(made.run_in_thread(end.wait, 30)) for _ in range(34)]
    await asyncio.sleep(0.05)
    made.require_room()
    with pytest.raises(Problem) as raised:
        made.require_room(is_large=True)
    assert (raised.value.kind, raised.value.shed) == ("overloaded", "large")
    end.set()
    await asyncio.gather(*tasks)
    made.require_room(is_large=True)
