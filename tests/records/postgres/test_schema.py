"""The schema in PostgreSQL: partitions, migrations, and who may make them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bentos.errors import RowsRefused, StoreDown
from bentos.records.postgres import schema
from bentos.records.postgres.store import PostgresStore
from bentos.records.store import Store
from tests.records.postgres.asking import TABLES, as_role, ask, partitions, tell
from tests.records.postgresql import Server
from tests.records.predictions import (
    ALL,
    DAY,
    NOON,
    minutes,
    record,
)


def test_partitions_are_made_ahead(store: Store, database: str) -> None:
    """Today and the next seven days have partitions before a row comes."""
    today = datetime.now(UTC).date()
    days = [today + timedelta(count) for count in range(8)]
    expected = {f"{table}_{day:%Y%m%d}" for table in TABLES[:2] for day in days}
    assert partitions(database) == expected


def test_partitions_are_whole_days_of_utc(
    store: Store, database: str, open_log: Callable[[str], Store]
) -> None:
    """A day's bounds are midnights of UTC, whatever the time zone of the database."""
    tell(database, f"ALTER DATABASE {database.rpartition('/')[2]} SET timezone = 'Asia/Kolkata'")
    midnight = NOON.replace(hour=0)
    edges = [midnight - timedelta(milliseconds=1), midnight, midnight + DAY]
    store.close()
    store = open_log(database)
    store.write([record(edge) for edge in edges], is_retry=False)
    found = ask(database, "SELECT tableoid::regclass::text FROM tabserve.predictions ORDER BY id")
    assert [part.rpartition("_")[2] for (part,) in found] == ["20261120", "20261121", "20261122"]
    assert [one.time for one in store.read(ALL)] == edges


def test_days_far_away_get_partitions(store: Store, database: str) -> None:
    """A clock that is wrong by centuries costs partitions, not rows."""
    stored = [record(datetime(1970, 1, 1, tzinfo=UTC)), record(datetime(9999, 12, 31, tzinfo=UTC))]
    store.write(stored, is_retry=False)
    assert {"predictions_19700101", "predictions_99991231"} <= partitions(database)


def test_migrations_run_once(store: Store, database: str, open_log: Callable[[str], Store]) -> None:
    """Each migration is written down, and a second start runs none."""
    before = ask(database, "SELECT * FROM tabserve.migrations ORDER BY number")
    names = [name for name, _ in schema.read_migrations()]
    assert [(number, name) for number, name, *_ in before] == list(enumerate(names, 1))
    open_log(database)
    assert ask(database, "SELECT * FROM tabserve.migrations ORDER BY number") == before


def test_a_failing_migration_leaves_nothing(
    store: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Migrations are one transaction: after a failure the schema is as it was."""
    known = schema.read_migrations()
    broken = [*known, ("9999_x.sql", "CREATE TABLE tabserve.x (); SELECT 1 / 0;")]
    monkeypatch.setattr(schema, "read_migrations", lambda: broken)
    for _ in range(2):
        with pytest.raises((StoreDown, RowsRefused)):
            store.prepare()
    monkeypatch.undo()
    store.prepare()
    assert ask(database, "SELECT to_regclass('tabserve.x')") == [(None,)]
    assert ask(database, "SELECT max(number) FROM tabserve.migrations") == [(len(known),)]


def test_a_newer_schema_is_left_alone(store: Store, database: str) -> None:
    """A log that a newer tabserve made is not written with an older one's ideas."""
    tell(
        database,
        "INSERT INTO tabserve.migrations (number, name, least) VALUES (99, '0099_later.sql', 98)",
    )
    for act in (store.prepare, store.check):
        with pytest.raises(StoreDown, match=r"the log has schema 99, this tabserve knows \d"):
            act()


def test_a_newer_schema_that_only_adds_lets_older_ones_work(
    store: Store, database: str, monkeypatch: pytest.MonkeyPatch, open_log: Callable[[str], Store]
) -> None:
    """A migration says who may go on to write after it: a rolling upgrade locks nobody out."""
    known = schema.read_migrations()
    more = f"-- least: {len(known)}\nCREATE TABLE tabserve.added (x int4);"
    monkeypatch.setattr(schema, "read_migrations", lambda: [*known, ("9999_x.sql", more)])
    with pytest.raises(StoreDown, match="older than this tabserve: run `tabserve migrate`"):
        store.check()
    store.prepare()
    monkeypatch.undo()
    older = open_log(database)
    older.check()
    stored = minutes(2)
    older.write(stored, is_retry=False)
    assert list(older.read(ALL)) == stored
    rest = [*known, ("9999_x.sql", more), ("9999_y.sql", "CREATE TABLE tabserve.changed ();")]
    monkeypatch.setattr(schema, "read_migrations", lambda: rest)
    store.prepare()
    monkeypatch.undo()
    with pytest.raises(StoreDown, match="a newer tabserve made it"):
        older.prepare()


def test_who_only_reads_makes_no_schema(server: Server, database: str) -> None:
    """Pointed at a wrong database, a reader leaves neither schema, tables nor roles in it."""
    roles = ask(database, "SELECT count(*) FROM pg_roles")
    with (
        closing(PostgresStore(database)) as store,
        pytest.raises(StoreDown, match="there is no log in this database"),
    ):
        store.check()
    assert ask(database, "SELECT to_regnamespace('tabserve')::text") == [(None,)]
    assert ask(database, "SELECT count(*) FROM pg_roles") == roles


def test_a_role_without_rights_says_who_must_migrate(
    server: Server, database: str, logins: Callable[..., str], open_log: Callable[[str], Store]
) -> None:
    """No schema, an old one, or no rights in it: the error says what to do."""
    tell(database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    stranger = open_log_unprepared(as_role(database, logins()))
    with pytest.raises(StoreDown, match="run `tabserve migrate` as the owner"):
        stranger.prepare()
    open_log(database)
    with pytest.raises(StoreDown, match="grant it tabserve_service or tabserve_drift"):
        stranger.prepare()
    member = open_log_unprepared(as_role(database, logins("tabserve_service")))
    member.prepare()
    # The last one is not there yet.
    last = len(schema.read_migrations())
    tell(database, f"DELETE FROM tabserve.migrations WHERE number = {last}")  # noqa: S608 - a number
    with pytest.raises(StoreDown, match="run `tabserve migrate` as the owner"):
        member.prepare()
    for store in (stranger, member):
        store.close()


def open_log_unprepared(url: str) -> PostgresStore:
    """A store that has not connected."""
    return PostgresStore(url)


def test_a_schema_made_by_somebody_else_will_do(
    server: Server, database: str, logins: Callable[..., str], open_log: Callable[[str], Store]
) -> None:
    """An owner of the schema alone, who may make neither schemas nor roles, can migrate."""
    owner = logins()
    tell(database, f"CREATE SCHEMA tabserve AUTHORIZATION {owner}")
    store = open_log(as_role(database, owner))
    stored = minutes(2)
    store.write(stored, is_retry=False)
    assert list(store.read(ALL)) == stored


def test_a_log_without_schema_says_so(database: str) -> None:
    """Reading and writing before anybody migrated is no riddle."""
    with closing(PostgresStore(database)) as store:
        with pytest.raises(StoreDown, match="run `tabserve migrate`"):
            list(store.read(ALL))
        with pytest.raises(StoreDown, match="run `tabserve migrate`"):
            store.write(minutes(1), is_retry=False)


def test_migrations_ship_with_the_package() -> None:
    """The SQL files lie in the package, numbered without a gap."""
    folder = Path(schema.__file__).parent / "migrations"
    names = sorted(path.name for path in folder.iterdir() if path.suffix == ".sql")
    assert [name for name, _ in schema.read_migrations()] == names
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
