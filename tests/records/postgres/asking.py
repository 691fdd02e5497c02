"""Sessions beside the store's: what a test asks and tells a database, and waits for."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg

# How long another thread may take for what takes milliseconds.
PATIENCE_SECONDS = 60.0

# The log itself; what a drift job writes beside it has tests of its own.
TABLES = ("predictions", "outcomes", "registrations", "environments", "erasures", "events")


@contextmanager
def session(url: str, **options: Any) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection beside the store's."""
    with closing(psycopg.connect(url, autocommit=True, **options)) as connection:
        yield connection


def as_role(url: str, role: str) -> str:
    """The URL of a database for another role."""
    return re.sub(r"//\w+@", f"//{role}@", url)


def ask(url: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows that a statement gives."""
    with session(url) as connection:
        return connection.execute(statement.encode()).fetchall()


def tell(url: str, *statements: str) -> None:
    """Run statements."""
    with session(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def partitions(url: str) -> set[str]:
    """Names of the partitions of the log."""
    rows = ask(
        url,
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE relkind = 'r'",
    )
    return {part for (part,) in rows}


def waits_for_lock(url: str) -> bool:
    """Whether a session of the database waits for a lock."""
    return bool(
        ask(
            url,
            "SELECT 1 FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
    )


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def beside(act: Callable[[], None]) -> Iterator[threading.Thread]:
    """Do something in another thread; its failure is that of the test."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield thread
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert not failures, failures
