"""Batches: everyone gets their own answer, and only their own trouble."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from bentos.serving.batching import Batcher, Reason


class Scorer:
    """Doubles numbers and remembers the batches that it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.observed: list[tuple[int, Reason]] = []
        self.waits: list[float] = []
        self.fails: Callable[[list[int]], bool] = lambda rows: False

    def __call__(self, rows: list[int]) -> list[int]:
        self.batches.append(rows)
        if self.fails(rows):
            raise ValueError("cannot score")
        return [2 * row for row in rows]

    def observe(self, rows: int, waited_seconds: float, reason: Reason) -> None:
        self.observed.append((rows, reason))
        self.waits.append(waited_seconds)


@pytest.fixture
def scorer() -> Scorer:
    """A scorer of its own for each test."""
    return Scorer()


def batcher_of(
    scorer: Scorer, max_rows: int = 128, wait_seconds: float = 0.0, timeout_seconds: float = 10.0
) -> Batcher[int, int]:
    """A batcher before a scorer."""
    return Batcher(
        scorer,
        max_rows=max_rows,
        wait_seconds=wait_seconds,
        timeout_seconds=timeout_seconds,
        observe=scorer.observe,
    )


async def test_lone_row(scorer: Scorer) -> None:
    """A lone row is scored at the end of its turn, without a timer."""
    batcher = batcher_of(scorer)
    assert await batcher.submit(1) == 2
    assert scorer.observed == [(1, "turn")]
    assert batcher.oldest_wait_seconds == 0.0


@pytest.mark.parametrize("count", [200, 10_000])
@pytest.mark.parametrize("wait_seconds", [0.0, 0.001])
async def test_own_answers(scorer: Scorer, count: int, wait_seconds: float) -> None:
    """Each of many concurrent callers gets its own answer; no row is scored twice or lost."""
    batcher = batcher_of(scorer, wait_seconds=wait_seconds)

    async def call(row: int) -> int:
        # Some arrive in later turns, into batches that are under way.
        for _ in range(row % 5):
            await asyncio.sleep(0)
        return await batcher.submit(row)

    assert await asyncio.gather(*map(call, range(count))) == [2 * row for row in range(count)]
    assert sorted(row for batch in scorer.batches for row in batch) == list(range(count))
    assert max(map(len, scorer.batches)) <= 128
    assert sum(rows for rows, _ in scorer.observed) == count
    assert batcher.oldest_wait_seconds == 0.0


async def test_one_turn_is_one_batch(scorer: Scorer) -> None:
    """Rows that arrive in one turn of the event loop are scored by one call."""
    batcher = batcher_of(scorer)
    assert await asyncio.gather(*map(batcher.submit, range(100))) == [2 * n for n in range(100)]
    assert scorer.batches == [list(range(100))]
    await asyncio.gather(*map(batcher.submit, range(3)))
    assert [len(batch) for batch in scorer.batches] == [100, 3]


async def test_max_rows(scorer: Scorer) -> None:
    """More rows than a batch may have are several batches in order of arrival, all in one turn."""
    batcher = batcher_of(scorer, max_rows=4)
    futures = [batcher.submit(row) for row in range(10)]
    assert batcher.oldest_wait_seconds > 0.0
    await asyncio.sleep(0)
    assert batcher.oldest_wait_seconds == 0.0
    await asyncio.gather(*futures)
    assert scorer.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [rows for rows, _ in scorer.observed] == [4, 4, 2]
    assert [reason for _, reason in scorer.observed] == ["full", "full", "turn"]


async def test_a_slow_model_gives_the_loop_its_turn() -> None:
    """Where a batch takes longer than a turn may, the loop runs between it and the next."""
    seen: list[str] = []

    def score(rows: list[int]) -> list[int]:
        time.sleep(0.01)  # the model itself: it blocks, as a call into a library does
        seen.append("batch")
        return rows

    batcher: Batcher[int, int] = Batcher(
        score, max_rows=2, wait_seconds=0, timeout_seconds=10, observe=lambda *_: None
    )
    futures = [batcher.submit(row) for row in range(6)]
    asyncio.get_running_loop().call_soon(seen.append, "other work")
    await asyncio.gather(*futures)
    assert seen == ["batch", "other work", "batch", "batch"]


async def test_wait(scorer: Scorer) -> None:
    """With a wait, rows of several turns are one batch."""
    batcher = batcher_of(scorer, wait_seconds=0.03)
    first = batcher.submit(1)
    await asyncio.sleep(0.005)
    second = batcher.submit(2)
    assert list(await asyncio.gather(first, second)) == [2, 4]
    assert scorer.observed == [(2, "wait")]
    assert 0.025 < scorer.waits[0] < 0.5


async def test_full_batch_does_not_wait(scorer: Scorer) -> None:
    """With a wait, a full batch goes at once."""
    batcher = batcher_of(scorer, max_rows=3, wait_seconds=60.0)
    async with asyncio.timeout(1):
        answers = await asyncio.gather(*map(batcher.submit, range(3)))
    assert list(answers) == [0, 2, 4]
    assert scorer.observed == [(3, "full")]


async def test_max_rows_of_one(scorer: Scorer) -> None:
    """Batches of one row are never late, with a wait or without."""
    for wait_seconds in (0.0, 60.0):
        batcher = batcher_of(scorer, max_rows=1, wait_seconds=wait_seconds)
        async with asyncio.timeout(1):
            assert list(await asyncio.gather(*map(batcher.submit, range(3)))) == [0, 2, 4]
    assert [len(batch) for batch in scorer.batches] == [1] * 6


async def test_error_stays_in_its_batch(scorer: Scorer) -> None:
    """An error reaches each caller of its batch, and nobody else; the next batch is scored."""
    scorer.fails = lambda rows: 5 in rows
    batcher = batcher_of(scorer, max_rows=4)
    answers = await asyncio.gather(*map(batcher.submit, range(12)), return_exceptions=True)
    assert answers[:4] == [0, 2, 4, 6]
    assert [type(answer) for answer in answers[4:8]] == [ValueError] * 4
    assert answers[8:] == [16, 18, 20, 22]
    assert await batcher.submit(1) == 2


async def test_cancelled_callers_are_skipped(scorer: Scorer) -> None:
    """The row of a caller that went away is not scored, and its neighbours lose nothing."""
    batcher = batcher_of(scorer)
    futures = [batcher.submit(row) for row in range(4)]
    futures[1].cancel()
    futures[3].cancel()
    answers = await asyncio.gather(*futures, return_exceptions=True)
    assert (answers[0], answers[2]) == (0, 4)
    assert scorer.batches == [[0, 2]]


async def test_all_cancelled(scorer: Scorer) -> None:
    """A batch without a caller left is no batch."""
    batcher = batcher_of(scorer)
    for row in range(3):
        batcher.submit(row).cancel()
    await asyncio.sleep(0)
    assert (scorer.batches, scorer.observed, batcher.oldest_wait_seconds) == ([], [], 0.0)
    assert await batcher.submit(1) == 2


async def test_cancelled_while_awaited(scorer: Scorer) -> None:
    """A task that is cancelled while it waits takes its row with it."""
    batcher = batcher_of(scorer, wait_seconds=0.01)

    async def call(row: int) -> int:
        return await batcher.submit(row)

    gone, stays = asyncio.create_task(call(1)), asyncio.create_task(call(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 4
    assert scorer.batches == [[2]]


async def test_too_late(scorer: Scorer) -> None:
    """A row that waited too long gets TimeoutError and is not scored; a fresh one is."""
    batcher = batcher_of(scorer, timeout_seconds=0.02)
    late = batcher.submit(1)
    # The loop is held up, as by a large batch.
    time.sleep(0.03)
    fresh = batcher.submit(2)
    answers = await asyncio.gather(late, fresh, return_exceptions=True)
    assert isinstance(answers[0], TimeoutError)
    assert answers[1] == 4
    assert scorer.batches == [[2]]


async def test_waits_are_observed(scorer: Scorer) -> None:
    """The observer hears how long the oldest row waited, in seconds."""
    batcher = batcher_of(scorer)
    first = batcher.submit(1)
    time.sleep(0.02)
    await asyncio.gather(first, batcher.submit(2))
    assert 0.02 <= scorer.waits[0] < 0.5
