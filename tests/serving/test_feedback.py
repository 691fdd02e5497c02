"""Outcomes from a document into the log: looked up, waited for, stored, answered in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bentos.errors import Problem, StoreDown
from bentos.model.contract import Contract
from bentos.model.validation import JsonObject
from bentos.protocols.feedback import FeedbackAnswer, OutcomeAnswer
from bentos.records.record import Record
from bentos.records.sqlite.store import SqliteStore
from bentos.records.writer.outcomes import Feedback
from bentos.serving.feedback import record_outcomes
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


def item(prediction_id: str, outcome: object) -> JsonObject:
    """One outcome as it is decoded."""
    return JsonObject(id=prediction_id, outcome=outcome)


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
    assert await record_outcomes(feedback, item(first, 1), 10, "r") == OutcomeAnswer(
        first, "recorded"
    )
    for document, kind in (
        (item(name(NOON), 1), "unknown-prediction"),
        (item(first, 2), "invalid-outcome"),
        (item("x", 1), "invalid-outcome"),
        (JsonObject(), "invalid-outcome"),
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
    assert answer.results == [OutcomeAnswer(fresh.id, "recorded")]


async def test_a_fresh_id_that_nobody_made_is_not_waited_for_long(feedback: Feedback) -> None:
    """Made-up ids of this moment hold a request up for about a second, be they many."""
    document = [item(name(datetime.now(UTC)), 1) for _ in range(1000)]
    started = time.monotonic()
    answer = await record_outcomes(feedback, document, 1000, "r")
    assert 0.9 < time.monotonic() - started < 5.0
    assert isinstance(answer, FeedbackAnswer)
    assert all(one.error for one in answer.results)


@pytest.mark.parametrize(
    ("age", "behind_seconds", "gather_seconds", "kind"),
    [
        (1, 0.0, 0.0, "not-yet-logged"),
        (25, 0.0, 0.0, "unknown-prediction"),
        # This worker's log is behind: what is as old as its oldest row may wait with it.
        (25, 30.0, 0.0, "not-yet-logged"),
        (3600, 3600.0, 0.0, "not-yet-logged"),
        (3600, 3000.0, 0.0, "unknown-prediction"),
        # The store gathers rows for that long before it writes.
        (65, 0.0, 60.0, "not-yet-logged"),
        (75, 0.0, 60.0, "unknown-prediction"),
        (-60, 90.0, 60.0, "unknown-prediction"),
    ],
)
async def test_what_may_be_on_its_way_is_not_final(
    feedback: Feedback, age: int, behind_seconds: float, gather_seconds: float, kind: str
) -> None:
    """An outcome that overtakes its prediction is to be sent again, alone or in a list."""
    await feedback.find([])
    assert feedback._store is not None
    feedback._store.gather_seconds = gather_seconds
    early = item(name(datetime.now(UTC) - timedelta(seconds=age)), 1)
    with pytest.raises(Problem) as caught:
        await record_outcomes(feedback, early, 10, "r", behind_seconds)
    assert caught.value.kind == kind
    is_early = kind == "not-yet-logged"
    code = "not_yet" if is_early else "unknown_id"
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("/id", code)]
    assert caught.value.status == (503 if is_early else 404)
    expected = {"Retry-After": str(max(1, int(gather_seconds)))} if is_early else {}
    assert caught.value.headers == expected
    answer = await record_outcomes(feedback, [early], 10, "r", behind_seconds)
    assert isinstance(answer, FeedbackAnswer)
    assert answer.results[0].error["code"] == kind  # type: ignore[index]  # it has one


async def test_a_prediction_that_goes_meanwhile_is_unknown(path: Path, feedback: Feedback) -> None:
    """What is erased between the look and the write is told as what was never there."""
    first, *_ = ids(path)
    find = feedback.find

    async def find_and_lose(asked: Sequence[str]) -> dict[str, Contract | None]:
        found = await find(asked)
        with closing(SqliteStore(path)) as store:
            store.drop_before(NOON + timedelta(days=1))
        return found

    feedback.find = find_and_lose  # type: ignore[method-assign,assignment]  # the real one, and an erasure at once
    with pytest.raises(Problem) as caught:
        await record_outcomes(feedback, item(first, 1), 10, "r")
    assert caught.value.kind == "unknown-prediction"


async def test_an_outcome_may_not_change_for_ever(path: Path, feedback: Feedback) -> None:
    """A request that turns an outcome to and fro stores a hundred of them and no more."""
    first, *_ = ids(path)
    document = [item(first, number % 2) for number in range(1000)]
    answer = await record_outcomes(feedback, document, 1000, "r")
    assert isinstance(answer, FeedbackAnswer)
    assert [one.status for one in answer.results[:100]] == ["recorded"] * 100
    # The last one that was taken is 1, and is no news; 0 would be the next change.
    assert answer.results[101].status == "unchanged"
    assert answer.results[100].error["code"] == "invalid-outcome"  # type: ignore[index]  # it has one
    with pytest.raises(Problem) as caught:
        await record_outcomes(feedback, item(first, 0), 10, "r")
    assert [fault.code for fault in caught.value.faults] == ["too_many_changes"]


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
    answer = await record_outcomes(feedback, ["x", JsonObject()], 10, "r")
    assert isinstance(answer, FeedbackAnswer)
    assert len(answer.results) == 2


async def test_a_store_that_is_down_is_an_error(tmp_path: Path) -> None:
    """Where nothing can be looked up nothing is answered."""
    feedback = Feedback(lambda: SqliteStore(tmp_path / "records.db"))
    with down(tmp_path / "records.db"), pytest.raises(StoreDown):
        await record_outcomes(feedback, [item(name(), 1)], 10, "r")
    feedback.close()
