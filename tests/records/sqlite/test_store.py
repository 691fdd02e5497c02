"""The log in SQLite: one file, and what may happen to it."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import msgspec
import pytest

from bentos.errors import RowsRefused, StoreDown
from bentos.records.sqlite import file as module
from bentos.records.sqlite import schema
from bentos.records.sqlite.store import SqliteStore
from tests.records.predictions import ALL, DAY, NOON, by_id, minutes, name, record

MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "records.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """An empty log."""
    store = SqliteStore(path)
    store.prepare()
    yield store
    store.close()


def bytes_of(path: Path) -> bytes:
    """All that is on disk of a log."""
    return b"".join(part.read_bytes() for part in sorted(path.parent.glob(f"{path.name}*")))


def test_the_file_is_for_its_owner_only(store: SqliteStore, path: Path) -> None:
    """What people sent is nobody else's on this machine, nor are the files beside it."""
    store.write(minutes(1), is_retry=False)
    for part in path.parent.glob(f"{path.name}*"):
        assert stat.S_IMODE(part.stat().st_mode) == 0o600, part.name


def test_the_file_is_never_for_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even at its first moment, whatever the mask: who has opened it then could read on."""
    seen: list[int] = []

    def connect(place: str, *arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = sqlite3.Connection(place, *arguments, **options)
        seen.append(stat.S_IMODE(path.stat().st_mode))
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    mask = os.umask(0)
    try:
        with closing(SqliteStore(path)) as store:
            store.prepare()
    finally:
        os.umask(mask)
    assert seen == [0o600]


def test_a_new_file_is_opened_by_several_at_once(tmp_path: Path) -> None:
    """Starting together costs nobody an error: SQLite itself does not wait for the switch."""
    openers = 4
    with ThreadPoolExecutor(openers) as pool:
        for attempt in range(40):
            together = Barrier(openers)
            stores = [SqliteStore(tmp_path / f"{attempt}.db") for _ in range(openers)]

            def open_at_once(store: SqliteStore, together: Barrier = together) -> None:
                together.wait()
                store.prepare()

            list(pool.map(open_at_once, stores))
            for store in stores:
                store.close()


def test_readers_do_not_wait_for_writers(store: SqliteStore, path: Path) -> None:
    """While somebody writes, the log can be read as it was."""
    stored = minutes(3)
    store.write(stored, is_retry=False)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert list(store.read(ALL)) == stored
        other.execute("ROLLBACK")


def test_a_locked_file_is_waited_for_and_then_down(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that writes for too long costs a retry, not a row."""
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.2)
    store.close()
    stored = minutes(3)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for is_retry in (False, True):
            with pytest.raises(StoreDown, match="SQLITE_BUSY"):
                store.write(stored, is_retry=is_retry)
        other.execute("ROLLBACK")
    store.write(stored, is_retry=True)
    assert list(store.read(ALL)) == stored


def test_a_full_disk_stores_all_of_a_write_or_nothing(store: SqliteStore, path: Path) -> None:
    """Where no page is left the store is down, and has room again when there is some."""
    first = minutes(10)
    store.write(first, is_retry=False)
    # The limit is one of the connection, so it is set on the store's own; a failure makes
    # a new one, which has none.
    connection = store._file._connection
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    later = minutes(500, NOON + DAY)
    with pytest.raises(StoreDown, match="SQLITE_FULL"):
        store.write(later, is_retry=False)
    assert list(store.read(ALL)) == first
    store.write(later, is_retry=True)
    assert list(store.read(ALL)) == first + later


def test_a_file_that_is_no_database(path: Path) -> None:
    """Something else in its place is left as it is."""
    path.write_bytes(b"this was never a database " * 400)
    before = path.read_bytes()
    with closing(SqliteStore(path)) as store:
        with pytest.raises(StoreDown, match="SQLITE_NOTADB"):
            store.prepare()
        with pytest.raises(StoreDown, match="SQLITE_NOTADB"):
            store.write(minutes(1), is_retry=False)
    assert path.read_bytes() == before


def test_a_damaged_file_never_reads_as_a_whole_one(store: SqliteStore, path: Path) -> None:
    """Pages overwritten with noise end a read with an error, not with fewer rows."""
    store.write(minutes(3000), is_retry=False)
    store.close()
    content = bytearray(path.read_bytes())
    content[4096 * 20 : 4096 * 60] = bytes(number % 251 for number in range(4096 * 40))
    path.write_bytes(content)
    with pytest.raises(StoreDown, match="SQLITE_CORRUPT"):
        list(store.read(ALL))


def test_a_file_that_was_removed_is_made_again(store: SqliteStore, path: Path) -> None:
    """A log deleted under a running service is an empty one after the next start."""
    store.write(minutes(3), is_retry=False)
    store.close()
    for part in path.parent.glob(f"{path.name}*"):
        part.unlink()
    with pytest.raises(StoreDown):
        store.write(minutes(1), is_retry=False)
    store.prepare()
    store.write(minutes(1), is_retry=False)
    assert len(list(store.read(ALL))) == 1


def test_a_newer_schema_is_left_alone(store: SqliteStore, path: Path) -> None:
    """A log that a newer tabserve made is not written with an older one's ideas."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreDown, match="the log has schema 99"):
        store.prepare()


def test_who_only_reads_changes_no_file(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program's file, a newer log and an older one are told, and stay as they are."""
    other = path.with_name("other.db")
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    before = other.read_bytes()
    with pytest.raises(StoreDown, match="there is no log in this file"):
        SqliteStore(other).check()
    assert other.read_bytes() == before
    known = len(schema.MIGRATIONS)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "SELECT 1;"))
    with pytest.raises(StoreDown, match="older than this tabserve: run `tabserve migrate`"):
        store.check()
    monkeypatch.setattr(schema, "MIGRATIONS", ())
    with pytest.raises(StoreDown, match=f"the log has schema {known}"):
        store.check()


def test_a_failing_migration_leaves_nothing(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Migrations are one transaction: after a failure the schema is as it was."""
    known = schema.MIGRATIONS
    broken = "CREATE TABLE extra (x); SELECT * FROM nothing;"
    monkeypatch.setattr(schema, "MIGRATIONS", (*known, broken))
    with pytest.raises(StoreDown):
        store.prepare()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (len(known),)
        assert other.execute("SELECT 1 FROM sqlite_master WHERE name = 'extra'").fetchall() == []
    monkeypatch.setattr(schema, "MIGRATIONS", (*known, "CREATE TABLE extra (x);"))
    store.prepare()


@pytest.mark.parametrize(
    "changes",
    [{"label": "half \ud83d"}, {"decode_us": 2**63}, {"id": "no-id"}, {"id": name().upper()}],
)
def test_what_can_never_be_stored_is_refused(store: SqliteStore, changes: dict[str, Any]) -> None:
    """One bad record refuses its write, says no value of it, and leaves the store usable."""
    good = minutes(3)
    with pytest.raises(RowsRefused) as raised:
        store.write([*good, record(**changes)], is_retry=False)
    assert "half" not in str(raised.value)
    assert list(store.read(ALL)) == []
    store.write(good, is_retry=True)
    assert list(store.read(ALL)) == good


SECRET = msgspec.Raw(b'{"note":"a-word-that-nobody-else-has"}')


def without_secure_delete(*arguments: Any, **options: Any) -> sqlite3.Connection:
    """A connection as a build of SQLite gives it that overwrites nothing by itself."""
    connection = sqlite3.Connection(*arguments, **options)
    connection.execute("PRAGMA secure_delete = OFF")
    return connection


@pytest.mark.parametrize("width", [0, 300])
def test_an_erased_subject_leaves_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """After an erasure no byte of what was stored about a subject is in any of its files.

    Rows come out of order, so pages are split and rows moved: that leaves copies, too.
    """
    monkeypatch.setattr(sqlite3, "connect", without_secure_delete)
    others = minutes(400)
    # Where a page is split, and what stays of it, depends on how large the rows are.
    secret = msgspec.Raw(bytes(SECRET).replace(b"else", b"else" + b"x" * width))
    mine = minutes(400, subject="mine" * 8, features=secret)
    random.Random(1).shuffle(mine)  # noqa: S311 - the same order in every run
    with closing(SqliteStore(path)) as store:
        store.prepare()
        for one, other in zip(mine, others, strict=True):
            store.write([one, other], is_retry=False)
        assert b"nobody-else" in bytes_of(path)
        store.forget(["mine" * 8], NOON + DAY)
        store.scrub()
        left = bytes_of(path)
        assert b"nobody-else" not in left
        # Ids are there as text, and as 16 bytes.
        assert all(one.id.encode() not in left for one in mine)
        assert all(bytes.fromhex(one.id.replace("-", "")) not in left for one in mine)
        assert list(store.read(ALL)) == by_id(others)


def test_an_erasure_while_somebody_reads(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader in the middle of the log does not stop an erasure, but keeps its bytes: said so."""
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.2)
    store.close()
    store.write(minutes(500, subject="mine", features=SECRET), is_retry=False)
    with closing(SqliteStore(path)) as other:
        stream = other.read(ALL)
        next(stream)
        assert store.forget(["mine"], NOON + DAY)["predictions"] == 500
        with pytest.raises(StoreDown, match="another process reads"):
            store.scrub()
        assert b"nobody-else" in bytes_of(path)
        assert len(list(stream)) == 499
    store.scrub()
    assert b"nobody-else" not in bytes_of(path)
    assert list(store.read(ALL)) == []


def peak_of_reading(store: SqliteStore, rows: int) -> int:
    """How many bytes a read of a log of so many rows holds at most."""
    tracemalloc.start()
    try:
        assert sum(1 for _ in store.read(ALL)) == rows
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_many_rows_in_bounded_memory(store: SqliteStore) -> None:
    """Rows are streamed: a read holds as little of 30,000 as of 3,000."""

    def write(start: int, stop: int) -> None:
        for part in range(start, stop, 1000):
            moments = [NOON + count * MILLISECOND for count in range(part, part + 1000)]
            store.write([record(moment) for moment in moments], is_retry=False)

    write(0, 3000)
    little = peak_of_reading(store, 3000)
    write(3000, 30_000)
    assert peak_of_reading(store, 30_000) < 1.2 * little
