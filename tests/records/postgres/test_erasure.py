"""Erasure and retention in PostgreSQL, beside writers at work."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise

import msgspec
import pytest
from psycopg import errors

from bentos.records.record import Window
from bentos.records.store import Store
from tests.records.postgres.asking import (
    PATIENCE_SECONDS,
    ask,
    beside,
    partitions,
    session,
    tell,
    wait_until,
    waits_for_lock,
)
from tests.records.postgresql import Server
from tests.records.predictions import (
    ALL,
    DAY,
    NOON,
    minutes,
    name,
    record,
)


def test_an_erasure_waits_for_writers_that_began_before(store: Store, database: str) -> None:
    """A row on its way while its subject is forgotten is erased with the others."""
    store.write(minutes(1, subject="mine"), is_retry=False)
    gone: dict[str, int] = {}
    with session(database) as writer:
        writer.execute("BEGIN")
        writer.execute(
            "INSERT INTO tabserve.predictions SELECT (jsonb_populate_record(p, %s)).* "
            "FROM tabserve.predictions AS p",
            (msgspec.json.encode({"id": name()}).decode(),),
        )
        with beside(lambda: gone.update(store.forget(["mine"], NOON + DAY))) as forgetting:
            wait_until(lambda: waits_for_lock(database))
            assert forgetting.is_alive()
            writer.execute("COMMIT")
    assert gone == {"predictions": 2, "outcomes": 0}
    assert list(store.of_subject(["mine"])) == []


def test_an_outcome_waits_for_an_erasure_at_work(
    store: Store, database: str, open_log: Callable[[str], Store]
) -> None:
    """An outcome of a person who is being forgotten is not stored behind the erasure's back."""
    mine = minutes(1, subject="mine")
    store.write(mine, is_retry=False)
    other = open_log(database)
    gone: dict[str, int] = {}
    taken: list[str] = []
    with session(database) as reader:
        # It keeps the erasure from its end, with the row deleted and not yet gone.
        reader.execute("BEGIN")
        reader.execute("SELECT FROM tabserve.predictions FOR KEY SHARE")
        with beside(lambda: gone.update(store.forget(["mine"], NOON + DAY))):
            wait_until(lambda: waits_for_lock(database))
            with beside(
                lambda: taken.extend(other.write_outcomes([(mine[0].id, "1", "r")]))
            ) as writing:
                time.sleep(0.3)
                assert writing.is_alive()
                reader.execute("COMMIT")
    assert (gone, taken) == ({"predictions": 1, "outcomes": 0}, ["unknown"])
    assert ask(database, "SELECT * FROM tabserve.outcomes") == []


def test_an_erased_row_leaves_its_page(server: Server, store: Store, database: str) -> None:
    """After an erasure the touched pages have no dead rows left, only free space."""
    store.write(minutes(5, subject="mine") + minutes(5), is_retry=False)
    store.forget(["mine"], NOON + DAY)
    with session(database) as connection:
        connection.execute("CREATE EXTENSION pageinspect")
        (left,) = connection.execute(
            "SELECT count(*) FROM heap_page_items("
            "get_raw_page('tabserve.predictions_20261121', 0)) WHERE t_data IS NOT NULL"
        ).fetchone() or (None,)
    assert left == 5


def test_partitions_are_dropped_whole(store: Store, database: str) -> None:
    """Retention drops tables, and says how many."""
    store.write([record(NOON - day * DAY) for day in range(4)], is_retry=False)
    dropped = store.drop_before(NOON - DAY)
    assert dropped == {"predictions": 2, "outcomes": 0, "partitions": 4}
    assert not any(part.endswith(("20261119", "20261118")) for part in partitions(database))
    assert any(part.endswith("20261120") for part in partitions(database))
    left = ask(database, "SELECT relname FROM pg_class WHERE relname LIKE '%20261118%'")
    assert left == []


def test_nobody_waits_for_retention(
    store: Store, database: str, open_log: Callable[[str], Store]
) -> None:
    """Retention waits for a reader of the log; meanwhile others write and read."""
    old = minutes(2500, NOON - 9 * DAY)
    store.write(old, is_retry=False)
    stream = store.read(ALL)
    assert next(stream) == old[0]
    dropped: dict[str, int] = {}
    with beside(lambda: dropped.update(open_log(database).drop_before(NOON))) as dropping:
        wait_until(lambda: waits_for_lock(database))
        later = minutes(3)
        store.write(later, is_retry=False)
        assert list(store.read(Window(since=NOON))) == later
        assert list(stream) == old[1:]
        dropping.join(PATIENCE_SECONDS)
    assert dropped["predictions"] == 2500
    assert list(store.read(ALL)) == later


def test_a_drop_that_was_cut_short_is_finished(
    store: Store, database: str, open_log: Callable[[str], Store]
) -> None:
    """A partition left half detached, or detached and not dropped, goes the next time."""
    store.write([record(NOON - 3 * DAY), record(NOON - 2 * DAY), record()], is_retry=False)
    stream = store.read(ALL)
    next(stream)
    with session(database) as other, pytest.raises(errors.QueryCanceled):
        other.execute("SET statement_timeout = '300ms'")
        other.execute(
            "ALTER TABLE tabserve.predictions "
            "DETACH PARTITION tabserve.predictions_20261118 CONCURRENTLY"
        )
    del stream
    gc.collect()
    tell(
        database,
        "ALTER TABLE tabserve.outcomes DETACH PARTITION tabserve.outcomes_20261119",
        "ALTER TABLE tabserve.predictions DETACH PARTITION tabserve.predictions_20261118 FINALIZE",
        "ALTER TABLE tabserve.predictions ATTACH PARTITION tabserve.predictions_20261118 "
        "FOR VALUES FROM ('2026-11-18 00:00+00') TO ('2026-11-19 00:00+00')",
    )
    reader = open_log(database).read(ALL)
    next(reader)
    with session(database) as other, pytest.raises(errors.QueryCanceled):
        other.execute("SET statement_timeout = '300ms'")
        other.execute(
            "ALTER TABLE tabserve.predictions "
            "DETACH PARTITION tabserve.predictions_20261118 CONCURRENTLY"
        )
    del reader
    gc.collect()
    assert store.drop_before(NOON)["predictions"] == 2
    assert len(list(store.read(ALL))) == 1
    left = ask(database, "SELECT relname FROM pg_class WHERE relname ~ '_2026111[89]$'")
    assert left == []


def leave_half_dropped(url: str, store: Store, day: datetime, *, is_pending: bool) -> None:
    """Cut a retention short: a day's predictions are detached, or half so, and not dropped."""
    part = f"predictions_{day:%Y%m%d}"
    detach = f"ALTER TABLE tabserve.predictions DETACH PARTITION tabserve.{part} CONCURRENTLY"
    if not is_pending:
        tell(url, detach)
        return
    stream = store.read(ALL)
    next(stream)
    with session(url) as other, pytest.raises(errors.QueryCanceled):
        other.execute("SET statement_timeout = '300ms'")
        other.execute(detach.encode())
    del stream
    gc.collect()


@pytest.mark.parametrize("is_pending", [False, True])
def test_a_half_dropped_day_can_be_written(
    store: Store, database: str, open_log: Callable[[str], Store], is_pending: bool
) -> None:
    """A late row of a day that was detached and not dropped is stored, and the others are back."""
    stored = minutes(4, NOON - 9 * DAY, subject="mine")
    store.write(stored[:1], is_retry=False)
    leave_half_dropped(database, store, NOON - 9 * DAY, is_pending=is_pending)
    store.write(stored[1:2], is_retry=False)
    assert list(store.read(ALL)) == stored[:2]
    leave_half_dropped(database, store, NOON - 9 * DAY, is_pending=is_pending)
    fresh = open_log(database)
    fresh.write(stored[2:], is_retry=True)
    assert list(store.read(ALL)) == stored
    # As before: with its key, and with what keeps the rows of the erased out.
    fresh.write(stored, is_retry=False)
    store.forget(["mine"], NOON)
    fresh.write(stored, is_retry=False)
    assert list(store.read(ALL)) == []
    assert store.drop_before(NOON)["partitions"] == 2


@pytest.mark.parametrize("is_pending", [False, True])
def test_a_subject_is_found_and_forgotten_in_a_half_dropped_day(
    store: Store, database: str, is_pending: bool
) -> None:
    """Rows that a retention detached and did not drop are a person's rows like any other."""
    stored = [
        record(NOON - 9 * DAY, subject="mine"),
        record(NOON - 8 * DAY, subject="mine"),
        record(NOON - 8 * DAY, subject="other"),
    ]
    store.write(stored, is_retry=False)
    store.write_outcomes([(stored[0].id, "1", "r")])
    leave_half_dropped(database, store, NOON - 9 * DAY, is_pending=is_pending)
    assert list(store.of_subject(["mine"])) == stored[:2]
    assert store.forget(["mine"], NOON) == {"predictions": 2, "outcomes": 1}
    assert list(store.of_subject(["mine"])) == []
    assert list(store.read(ALL)) == stored[2:]
    assert ask(database, "SELECT count(*) FROM tabserve.predictions_20261112") == [(0,)]


def test_a_retention_at_work_is_waited_for(
    store: Store, database: str, open_log: Callable[[str], Store]
) -> None:
    """A late row does not attach what a retention is dropping: it gets a new partition."""
    stored = minutes(2, NOON - 9 * DAY, subject="mine")
    store.write(stored[:1], is_retry=False)
    reader = store.read(ALL)
    next(reader)
    late = open_log(database)
    dropped: dict[str, int] = {}
    with beside(lambda: dropped.update(open_log(database).drop_before(NOON))):
        wait_until(lambda: waits_for_lock(database))
        with beside(lambda: late.write(stored[1:], is_retry=False)) as writing:
            time.sleep(0.3)
            assert writing.is_alive()
            del reader
            gc.collect()
    assert dropped["predictions"] == 1
    assert list(store.of_subject(["mine"])) == stored[1:]


def test_a_writer_notices_that_its_partition_was_dropped(
    store: Store, database: str, open_log: Callable[[str], Store]
) -> None:
    """A day that another process dropped is made anew, on either way."""
    stored = minutes(3, NOON - 9 * DAY)
    store.write(stored, is_retry=False)
    for is_retry in (False, True):
        open_log(database).drop_before(NOON)
        store.write(stored, is_retry=is_retry)
        assert list(store.read(ALL)) == stored


def test_outcomes_posted_at_once_are_counted_up(
    store: Store, database: str, open_log: Callable[[str], Store]
) -> None:
    """However many post for one prediction, revisions have no gap and no neighbour's value."""
    stored = minutes(20)
    store.write(stored, is_retry=False)

    def post(worker: int) -> None:
        mine = open_log(database)
        for turn in range(15):
            some = stored if worker % 2 else stored[::-1]
            mine.write_outcomes([(one.id, str(turn % 2), str(worker)) for one in some])

    with beside(lambda: post(0)), beside(lambda: post(1)), beside(lambda: post(2)):
        pass
    for one in stored:
        found = store.revisions(one.id)
        assert [x.revision for x in found] == list(range(1, len(found) + 1))
        values = [x.outcome for x in found]
        assert all(left != right for left, right in pairwise(values))
