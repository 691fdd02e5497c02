"""An outcome is accepted when the store has it, and not before."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from bentos.errors import StoreDown
from bentos.model.contract import Contract
from bentos.records.record import Environment, Record
from bentos.records.sqlite.store import SqliteStore
from bentos.records.writer.outcomes import Feedback
from tests.records.answers import CONTRACT, SERVED, Watched, down, served
from tests.records.predictions import name, record

OTHER = Contract(features=CONTRACT.features, task="regression", engine="booster")


@pytest.fixture
def predicted(tmp_path: Path) -> list[Record]:
    """Three predictions in a SQLite log: of a classifier, a regression, and nobody."""
    predictions = [record(version=version) for version in ("1", "2", "3")]
    with closing(SqliteStore(tmp_path / "records.db")) as store:
        store.prepare()
        for made_by in (SERVED, served(OTHER, version="2")):
            store.register(made_by.registration, made_by.environment)
        store.write(predictions, is_retry=False)
    return predictions


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """Makes stores on the log."""
    return Watched(tmp_path / "records.db")


@pytest.fixture
def feedback(watched: Watched) -> Iterator[Feedback]:
    """Feedback on the log."""
    made = Feedback(watched)
    yield made
    made.close()


async def test_each_prediction_is_found_with_its_own_contract(
    feedback: Feedback, predicted: list[Record], watched: Watched
) -> None:
    """A prediction comes with the contract that made it, or None where its model is unknown."""
    first, second, third = (one.id for one in predicted)
    found = await feedback.find([first, second, third, name(), "no id"])
    assert found == {first: CONTRACT, second: OTHER, third: None}
    # A model that is registered later is known from then on.
    with closing(SqliteStore(watched.path)) as store:
        store.register(served(version="3").registration, Environment("e", msgspec.Raw(b"{}")))
    assert await feedback.find([third]) == {third: CONTRACT}


async def test_outcomes_are_stored(
    feedback: Feedback, predicted: list[Record], watched: Watched
) -> None:
    """What was accepted is in the store, and told whether it was news."""
    first, second, _ = (one.id for one in predicted)
    assert await feedback.write([(first, "1", "r1"), (second, "2.5", "r1")]) == [
        "recorded",
        "recorded",
    ]
    assert await feedback.write([(first, "1", "r2"), (first, "0", "r2"), (first, "0", "r2")]) == [
        "unchanged",
        "recorded",
        "unchanged",
    ]
    with closing(SqliteStore(watched.path)) as store:
        revisions = [(one.outcome, one.revision, one.request_id) for one in store.revisions(first)]
    assert revisions == [("1", 1, "r1"), ("0", 2, "r2")]


async def test_a_log_that_was_moved_is_opened_anew(
    feedback: Feedback, predicted: list[Record], watched: Watched
) -> None:
    """After the file was moved one call fails, and the next one finds a new log prepared."""
    first = predicted[0].id
    assert await feedback.find([first]) == {first: CONTRACT}
    watched.path.rename(watched.path.with_name("moved.db"))
    with pytest.raises(StoreDown, match="moved or deleted"):
        await feedback.find([first])
    assert await feedback.find([first]) == {}
    assert await feedback.write([(first, "1", "r")]) == ["unknown"]


async def test_how_long_the_store_gathers(
    feedback: Feedback, predicted: list[Record], watched: Watched
) -> None:
    """Known as soon as the store was asked for something."""
    assert feedback.gather_seconds == 0.0
    await feedback.find([])
    assert feedback._store is not None
    feedback._store.gather_seconds = 60.0
    assert feedback.gather_seconds == 60.0


async def test_one_thread_has_the_store(
    feedback: Feedback, predicted: list[Record], watched: Watched
) -> None:
    """Many at once share one connection, opened by the first."""
    ids = [one.id for one in predicted]
    outcomes = [feedback.write([(one, str(number), "r")]) for number in range(20) for one in ids]
    assert await asyncio.gather(*outcomes) == [["recorded"]] * 60
    assert watched.calls == ["prepare"]


async def test_a_store_that_is_down_is_told(tmp_path: Path) -> None:
    """While the store cannot be opened both raise StoreDown; when it can they work."""
    feedback = Feedback(lambda: SqliteStore(tmp_path / "records.db"))
    with down(tmp_path / "records.db"):
        for _ in range(2):
            with pytest.raises(StoreDown):
                await feedback.find([name()])
            with pytest.raises(StoreDown):
                await feedback.write([(name(), "1", "r")])
    assert await feedback.find([name()]) == {}
    feedback.close()


async def test_the_event_loop_goes_on_while_the_store_waits(
    feedback: Feedback, predicted: list[Record], watched: Watched
) -> None:
    """A locked store makes the outcome wait, and nobody else."""
    await feedback.find([])
    pauses = []
    with closing(sqlite3.connect(watched.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(feedback.write([(predicted[0].id, "1", "r")]))
        for _ in range(30):
            started = time.perf_counter()
            await asyncio.sleep(0.01)
            pauses.append(time.perf_counter() - started)
        assert not writing.done()
        other.execute("ROLLBACK")
    # The median: another program may take the processor for a while.
    assert sorted(pauses)[15] < 0.1
    assert await writing == ["recorded"]


async def test_closing_waits_for_what_is_being_written(
    watched: Watched, predicted: list[Record]
) -> None:
    """An outcome on its way when the worker stops is stored; without a store nothing happens."""
    feedback = Feedback(watched)
    writing = asyncio.ensure_future(feedback.write([(one.id, "1", "r") for one in predicted]))
    await asyncio.sleep(0)
    await asyncio.to_thread(feedback.close)
    assert await writing == ["recorded"] * 3
    Feedback(watched).close()
