"""A log that an older tabserve made, brought up to date with its rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import psycopg
import pytest

from bentos.errors import StoreDown
from bentos.records.opening import open_store
from bentos.records.postgres import schema as postgres_schema
from bentos.records.record import Record
from bentos.records.sqlite import schema as sqlite_schema
from bentos.records.store import Store
from tests.records.predictions import ALL, DAY, NOON, by_id, record

# How many migrations a log had before reasons were recorded.
_BEFORE = {"sqlite": 1, "postgresql": 5, "parquet": 1}

_OLD_SQLITE = (
    "INSERT INTO scored VALUES "
    "(?, 'r', 1, ?, 0.25, NULL, '0', NULL, NULL, NULL, 10, 20, 30, 40, NULL)"
)
_OLD_POSTGRES = (
    "INSERT INTO tabserve.predictions VALUES (%s, %s, 10, 20, 30, 40, 0.25, 0.5, 'r', 'credit', "
    "'1', 'c', 'e', %s, NULL, '0', NULL, NULL, NULL, '[]')"
)


def make_old(url: str, kind: str, old: list[Record]) -> None:
    """Make a log as it was before reasons were recorded, with some rows in it."""
    if kind == "sqlite":
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.executescript(sqlite_schema.MIGRATIONS[0])
            connection.execute("INSERT INTO sources VALUES (1, 'credit', '1', 'c', 'e', 0.5)")
            connection.executemany(_OLD_SQLITE, [(o.id, bytes(o.features).decode()) for o in old])
            connection.execute("PRAGMA user_version = 1")
            connection.commit()
    elif kind == "postgresql":
        with psycopg.connect(url, autocommit=True) as connection:
            migrations = postgres_schema.read_migrations()[: _BEFORE[kind]]
            postgres_schema._migrate(connection, migrations)
            days = sorted({one.time.date() for one in old})
            postgres_schema.make_partitions(connection, days)
            for one in old:
                features = bytes(one.features).decode()
                connection.execute(_OLD_POSTGRES.encode(), (one.time, one.id, features))
    else:
        make_old_files(url, Path(url.removeprefix("parquet:")), old)


def make_old_files(url: str, folder: Path, old: list[Record]) -> None:
    """The same in Parquet files, which had a column less."""
    pq = pytest.importorskip("pyarrow.parquet")
    store = open_store(url)
    store.prepare()
    store.write(old, is_retry=False)
    store.close()
    for path in folder.glob("predictions/*/*.parquet"):
        pq.write_table(pq.ParquetFile(path).read().drop_columns(["reasons"]), path)
    (folder / "schema.json").write_text('{"schema":1}')


def test_an_older_log_is_brought_up_to_date(
    url: str, open_log: Callable[[str], Store], request: pytest.FixtureRequest
) -> None:
    """Readers ask for `tabserve migrate`; then old rows have no reasons, and new ones theirs."""
    kind = request.node.callspec.params["url"]
    # Of two days, as partitions and files are.
    old = [
        record(
            time, contract="c", environment="e", request_id="r", features=msgspec.Raw(b'{"age":1}')
        )
        for time in (NOON, NOON - DAY)
    ]
    make_old(url, kind, old)
    reader = open_store(url)
    with pytest.raises(StoreDown, match="older than this tabserve: run `tabserve migrate`"):
        reader.check()
    store = open_log(url)
    reader.check()
    reader.close()
    assert list(store.read(ALL)) == by_id(old)
    new = [record(NOON, reasons=("R02",)), record(NOON, reasons=())]
    store.write(new, is_retry=False)
    store.write(new, is_retry=True)
    assert list(store.read(ALL)) == by_id([*old, *new])
    assert store.get(old[0].id) == old[0]
    assert len(store.sample(ALL, 3, 7)) == 3


def test_a_newer_log_is_left_alone(url: str, request: pytest.FixtureRequest) -> None:
    """A log of the next schema is refused, by readers and by a service."""
    kind = request.node.callspec.params["url"]
    store = open_store(url)
    store.prepare()
    store.close()
    if kind == "sqlite":
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute(f"PRAGMA user_version = {len(sqlite_schema.MIGRATIONS) + 1}")
    elif kind == "postgresql":
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("INSERT INTO tabserve.migrations VALUES (99, '', now(), 99)")
    else:
        Path(url.removeprefix("parquet:"), "schema.json").write_text('{"schema":99}')
    for act in ("check", "prepare"):
        newer = open_store(url)
        with pytest.raises(StoreDown, match="a newer tabserve made it"):
            getattr(newer, act)()
        newer.close()


def test_a_retention_that_was_cut_short(
    make_url: Callable[[str], str], open_log: Callable[[str], Store]
) -> None:
    """PostgreSQL: a table that a retention detached gets the column, and is attached again."""
    url = make_url("postgresql")
    mine = record(
        NOON, contract="c", environment="e", request_id="r", features=msgspec.Raw(b'{"age":1}')
    )
    make_old(url, "postgresql", [mine])
    part = f"predictions_{NOON:%Y%m%d}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"ALTER TABLE tabserve.predictions DETACH PARTITION tabserve.{part}".encode()
        )
    store = open_log(url)
    assert list(store.read(ALL)) == []
    store.write([record(NOON, reasons=("R02",))], is_retry=False)
    assert len(list(store.read(ALL))) == 2
