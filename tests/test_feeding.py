"""Outcomes from a document into the log: looked up, waited for, stored, answered in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bentos.answers import Accepted
from bentos.errors import Problem, StoreDown
from bentos.feeding import FeedbackAnswer, record_outcomes
from bentos.records.feedback import Feedback
from bentos.records.record import Record
from bentos.records.sqlite import SqliteStore
from bentos.validation import Members
from tests.records.answers import SERVED, down, ids_of, read_log
from tests.records.predictions import NOON, minutes, name, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A SQLite log that knows a binary model and three of its predictions."""
    path = tmp_path / "records.db"
    with closing(SqliteStore(path)) as store:
        store.prepare()
        store.register(SERVED.registration, SERVED.environment)
    write(path, minutes(3))
    return path


@pytest.fixture
def feedback(path: Path) -> Iterator[Feedback]:
    """Feedback on the log."""
    made = Feedback(lambda: SqliteStore(path))
    yield made
    made.close()


def write(path: Path, records: list[Record]) -> None:
    """Put predictions into the log, as another worker does."""
    with closing(SqliteStore(path)) as store:
        store.write(records, is_retry=False)


def ids(path: Path) -> list[str]:
    """The predictions in the log."""
    return ids_of(read_log(path))


def item(prediction_id: str, outcome: object) -> Members:
    """One outcome as it is decoded."""
    return Members(id=prediction_id, outcome=outcome)


async def test_results_are_in_the_order_of_the_items(path: Path, feedback: Feedback) -> None:
    """Good and bad items are told each in its place, news and no news apart."""
    first, second, third = ids(path)
    unknown = name(NOON)
    document = [
        item(third, 1),
        item(unknown, 1),
        item(first, 5),
        item(third, 1),
        item(first, 0),
        "x",
        item(third, 0),
        item(second, 1),
    ]
    answer = await record_outcomes(feedback, document, 10, "r")
    assert isinstance(answer, FeedbackAnswer)
    told = [
        (one.id, one.status) if isinstance(one.status, str) else one.error["code"]  # type: ignore[index]  # then it has one
        for one in answer.results
    ]
    assert told == [
        (third, "recorded"),
        "unknown-prediction",
        "invalid-outcome",
        (third, "unchanged"),
        (first, "recorded"),
        "invalid-outcome",
        (third, "recorded"),
        (second, "recorded"),
    ]


async def test_a_lone_one_is_answered_or_refused(path: Path, feedback: Feedback) -> None:
    """One outcome has one answer; what is wrong with it is a problem of its own."""
    first, *_ = ids(path)
    assert await record_outcomes(feedback, item(first, 1), 10, "r") == Accepted(first, "recorded")
    for document, kind in (
        (item(name(NOON), 1), "unknown-prediction"),
        (item(first, 2), "invalid-outcome"),
        (item("x", 1), "invalid-outcome"),
        (Members(), "invalid-outcome"),
        (3, "invalid-outcome"),
    ):
        with pytest.raises(Problem) as caught:
            await record_outcomes(feedback, document, 10, "r")
        assert caught.value.kind == kind
        assert caught.value.faults


async def test_a_fresh_prediction_is_waited_for(path: Path, feedback: Feedback) -> None:
    """An outcome that overtakes its prediction is recorded as soon as that is in the log."""
    fresh = record(datetime.now(UTC))
    feeding = asyncio.create_task(record_outcomes(feedback, [item(fresh.id, 1)], 10, "r"))
    await asyncio.sleep(0.1)
    assert not feeding.done()
    write(path, [fresh])
    answer = await feeding
    assert isinstance(answer, FeedbackAnswer)
    assert answer.results == [Accepted(fresh.id, "recorded")]


async def test_a_fresh_id_that_nobody_made_is_not_waited_for_long(feedback: Feedback) -> None:
    """Made-up ids of this moment hold a request up for about a second, be they many."""
    document = [item(name(datetime.now(UTC)), 1) for _ in range(1000)]
    started = time.monotonic()
    answer = await record_outcomes(feedback, document, 1000, "r")
    assert 0.9 < time.monotonic() - started < 5.0
    assert isinstance(answer, FeedbackAnswer)
    assert all(one.error for one in answer.results)


@pytest.mark.parametrize("age", [timedelta(minutes=1), -timedelta(minutes=1), timedelta(days=9000)])
async def test_an_old_id_is_not_waited_for(feedback: Feedback, age: timedelta) -> None:
    """An unknown id of another time is told at once."""
    started = time.monotonic()
    with pytest.raises(Problem):
        await record_outcomes(feedback, item(name(datetime.now(UTC) - age), 1), 10, "r")
    assert time.monotonic() - started < 0.2


async def test_an_id_beyond_every_calendar_is_unknown(feedback: Feedback) -> None:
    """The largest time that an id can hold, the year 10889, is no error of ours."""
    with pytest.raises(Problem) as caught:
        await record_outcomes(feedback, item("ffffffff-ffff-7fff-bfff-ffffffffffff", 1), 10, "r")
    assert caught.value.kind == "unknown-prediction"


async def test_a_list_of_nothing_good_is_answered(feedback: Feedback) -> None:
    """Items that are all malformed are told one by one."""
    answer = await record_outcomes(feedback, ["x", Members()], 10, "r")
    assert isinstance(answer, FeedbackAnswer)
    assert len(answer.results) == 2


async def test_a_store_that_is_down_is_an_error(tmp_path: Path) -> None:
    """Where nothing can be looked up nothing is answered."""
    feedback = Feedback(lambda: SqliteStore(tmp_path / "records.db"))
    with down(tmp_path / "records.db"), pytest.raises(StoreDown):
        await record_outcomes(feedback, [item(name(), 1)], 10, "r")
    feedback.close()
