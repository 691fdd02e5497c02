"""Sessions that make partitions and store the same rows at once: all take locks in one order."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import date
from typing import Any

import psycopg

from bentos.records.postgres.store import PostgresStore
from bentos.records.record import Record
from tests.records.predictions import ALL, DAY, NOON, by_id, minutes

Connection = psycopg.Connection[tuple[Any, ...]]

PATIENCE_SECONDS = 60.0
MAKE = "SELECT tabserve.make_partitions(%s::date[])"
DETACHED, NEW = date(2031, 1, 1), date(2031, 1, 2)


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """Open a session of its own."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        yield connection


def wait_for_waiters(connection: Connection, count: int) -> None:
    """Wait until so many sessions wait for an advisory lock."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    statement = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    while connection.execute(statement).fetchone() != (count,):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def make(url: str, day: date) -> None:
    """Make the partitions of a day in a session of its own."""
    with connect(url) as connection:
        connection.execute(MAKE, [[day]])


def test_a_partition_made_meanwhile_takes_no_lock_out_of_order(database: str) -> None:
    """A call that finds its partition made by another never waits for a retention's lock.

    One session attaches a detached partition: it holds the lock of retentions and waits for
    the lock of those who make partitions. Another waits for that lock first, and then finds its
    partitions made: were it to ask for the first lock now, each would wait for the other.
    """
    with closing(PostgresStore(database)) as store:
        store.prepare()
    make(database, DETACHED)
    with (
        connect(database) as first,
        connect(database) as observer,
        ThreadPoolExecutor(2) as pool,
    ):
        first.execute(
            "ALTER TABLE tabserve.predictions DETACH PARTITION tabserve.predictions_20310101"
        )
        first.execute("BEGIN")
        first.execute(MAKE, [[NEW]])
        second = pool.submit(make, database, NEW)
        wait_for_waiters(observer, 1)
        third = pool.submit(make, database, DETACHED)
        wait_for_waiters(observer, 2)
        first.execute("COMMIT")
        second.result(PATIENCE_SECONDS)
        third.result(PATIENCE_SECONDS)
        attached = observer.execute("SELECT tabserve.is_attached('predictions_20310101')")
        assert attached.fetchone() == (True,)


def test_the_same_rows_in_any_order_at_once(database: str) -> None:
    """Sessions that store the same rows in different orders never wait for each other's rows.

    Each brings the rows of three days that have no partition yet, shuffled, as new rows and as
    rows that may be there already.
    """
    sessions, rounds = 6, 3
    batches = [
        [one for day in range(3) for one in minutes(600, NOON + (1000 + 3 * number + day) * DAY)]
        for number in range(rounds)
    ]
    together = threading.Barrier(sessions)

    def write(store: PostgresStore, number: int) -> None:
        order = random.Random(number)  # noqa: S311 - an order, no secret
        for batch in batches:
            rows: list[Record] = list(batch)
            order.shuffle(rows)
            together.wait(PATIENCE_SECONDS)
            store.write(rows, is_retry=number > 0)

    with ExitStack() as stack, ThreadPoolExecutor(sessions) as pool:
        stores = [stack.enter_context(closing(PostgresStore(database))) for _ in range(sessions)]
        stores[0].prepare()
        for task in [pool.submit(write, store, n) for n, store in enumerate(stores)]:
            task.result()
        stored = list(stores[0].read(ALL))
    assert stored == by_id([one for batch in batches for one in batch])
