"""The log in PostgreSQL: what a server adds, and what it may do to us."""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import psycopg
import pytest
from psycopg import errors, sql

from bentos.errors import ConfigurationError, RowsRefused, StoreDown
from bentos.records.postgres import schema
from bentos.records.postgres import session as sessions
from bentos.records.postgres.store import PostgresStore
from bentos.records.record import Event, Record, Window
from bentos.records.store import Store
from tests.records.postgresql import Server
from tests.records.predictions import (
    ALL,
    DAY,
    ENVIRONMENT,
    NOON,
    REGISTRATION,
    by_id,
    minutes,
    name,
    record,
    until_up,
)

# How long another thread may take for what takes milliseconds.
PATIENCE_SECONDS = 60.0
# The log itself; what a drift job writes beside it has tests of its own.
TABLES = ("predictions", "outcomes", "registrations", "environments", "erasures", "events")
OTHERS = ("migrations", "drift_predictions", "drift_shadows")
# Roles are of the whole server, which lives as long as the session.
_numbers = count(1)
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


@pytest.fixture
def store(database: str, open_log: Callable[[str], Store]) -> Store:
    """An empty log, as its owner."""
    return open_log(database)


@pytest.fixture(scope="module")
def fragile() -> Iterator[Server]:
    """A server that tests may end; its databases belong to a role without CREATEROLE."""
    server = Server()
    server.execute(sql.SQL("CREATE ROLE plain LOGIN").format())
    yield server
    server.close()


@pytest.fixture
def logins(server: Server) -> Callable[..., str]:
    """Make a role that logs in, a member of a group where one is named."""

    def make(group: str | None = None) -> str:
        login = f"login_{next(_numbers)}"
        server.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(login)))
        if group is not None:
            server.execute(
                sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(login))
            )
        return login

    return make


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


# The schema


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


# How statements run


def test_plans_use_the_partition_and_the_index(
    server: Server, store: Store, database: str, open_log: Callable[[str], Store]
) -> None:
    """A window and a lookup by id scan the index of one day's partition, nothing else."""
    stored = [one for day in range(4) for one in minutes(1400, NOON.replace(hour=0) - day * DAY)]
    store.write(stored, is_retry=False)
    store.write_outcomes([(one.id, "1", "r") for one in stored])
    tell(database, "ANALYZE")
    options = (
        "-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0 "
        "-c auto_explain.log_nested_statements=on -c auto_explain.log_analyze=on"
    )
    explained = open_log(f"{database}?options={quote(options)}")

    def plan(act: Callable[[], object]) -> str:
        start = server.log.stat().st_size
        act()
        # A backend writes the plan before it answers, but the one of a cursor when it closes.
        explained.close()
        wait_until(lambda: "_20261120" in server.log.read_text()[start:])
        plans = server.log.read_text()[start:].split("Query Text:")
        return "\n".join(plan for plan in plans if "_20261120" in plan)

    hour = Window(since=NOON - DAY, until=NOON - DAY + timedelta(hours=1))
    wanted = stored[1400 + 720]
    assert wanted.time == hour.since
    cases: dict[str, Callable[[], object]] = {
        "an hour": lambda: list(explained.read(hour)),
        "an hour of a model": lambda: list(
            explained.read(Window(hour.since, hour.until, "credit", "1"))
        ),
        "by id": lambda: explained.get(wanted.id),
        "find": lambda: explained.find([wanted.id]),
        "revisions": lambda: explained.revisions(wanted.id),
        "outcomes": lambda: explained.write_outcomes([(wanted.id, "0", "r")]),
    }
    for case, act in cases.items():
        # Which partition holds an id that is one of many is only known while it runs.
        lines = [line for line in plan(act).splitlines() if "never executed" not in line]
        scans = re.findall(r"(\w+ (?:Only )?Scan.*) on (\w+?)_(\d{8})", "\n".join(lines))
        assert scans, (case, lines)
        for scan, table, day in scans:
            assert scan.startswith("Index "), (case, lines)
            assert scan.endswith(f" using {table}_20261120_pkey"), (case, lines)
            assert day == "20261120", (case, lines)


def test_erased_rows_and_subjects_have_an_index(store: Store, database: str) -> None:
    """A subject's rows are found without reading those of all others."""
    store.write(minutes(1000), is_retry=False)
    store.write(minutes(3, subject="mine"), is_retry=False)
    tell(database, "ANALYZE")
    with session(database) as connection:
        plan = connection.execute(
            "EXPLAIN SELECT id FROM tabserve.predictions_20261121 WHERE subject = ANY('{mine,x}')"
        ).fetchall()
    assert "subject_idx" in str(plan), plan


def test_settings_of_the_connection(store: Store, database: str) -> None:
    """The server sees who we are; a URL may ask for another name."""
    store.versions(ALL)
    names = "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
    assert ("tabserve",) in ask(database, names)
    with closing(PostgresStore(f"{database}?application_name=audit")) as other:
        other.prepare()
        assert ("audit",) in ask(database, names)


def test_a_url_that_cannot_be_read() -> None:
    """What is no URL stops the start, and is not repeated."""
    with pytest.raises(ConfigurationError) as raised:
        PostgresStore("postgresql://someone:secret@[::1/log?nonsense=1")
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_database_of_another_encoding_is_refused(server: Server) -> None:
    """Where not every text can be kept no row is written."""
    server.execute(
        sql.SQL("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'").format()
    )
    with (
        closing(PostgresStore(server.url("latin"))) as store,
        pytest.raises(StoreDown, match="UTF8"),
    ):
        store.prepare()


def test_a_database_that_is_not_there(server: Server) -> None:
    """An unknown database is a store that is down; the error names neither it nor a host."""
    with closing(PostgresStore(server.url("nowhere", "nobody"))) as store:
        with pytest.raises(StoreDown) as raised:
            store.prepare()
        for word in ("nowhere", "nobody", "127.0.0.1", str(server.port)):
            assert word not in str(raised.value)


def test_why_there_is_no_connection(fragile: Server) -> None:
    """Each reason has its own words, which repeat nothing of the URL."""
    for statement in (
        "CREATE ROLE secret_login LOGIN PASSWORD 'right'",
        "CREATE ROLE secret_few LOGIN CONNECTION LIMIT 0",
        "CREATE ROLE secret_group NOLOGIN",
        "CREATE DATABASE secret_shut ALLOW_CONNECTIONS false",
    ):
        fragile.execute(sql.SQL(statement))  # type: ignore[arg-type]  # a literal of ours
    rules = fragile.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"host all secret_login 127.0.0.1/32 scram-sha-256\n{before}")
    fragile.execute(sql.SQL("SELECT pg_reload_conf()").format())
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        silent = f"postgresql://secret@127.0.0.1:{deaf.getsockname()[1]}/x?connect_timeout=2"
        wrong = fragile.url("postgres", "secret_login:secret_word")
        reasons = {
            "postgresql://secret:secret@127.0.0.1:1/secret": "the connection is refused",
            "postgresql://secret@secret.invalid/secret": "its host name is not found",
            "postgresql:///secret?host=/secret": "no server listens at that socket",
            silent: "it does not answer in time",
            fragile.url("secret"): "there is no such database",
            fragile.url("secret_shut"): "this database takes no connections",
            fragile.url("postgres", "secret"): "it refuses the login: no such role",
            fragile.url("postgres", "secret_group"): "the role may not log in",
            fragile.url("postgres", "secret_few"): "it has too many connections",
            fragile.url("postgres", "secret_login"): "it wants a password",
            wrong: "it refuses the login: wrong password",
            fragile.url("postgres") + "?sslmode=require": "it has no TLS",
        }
        wait_until(lambda: "wrong password" in told(wrong))
        for url, reason in reasons.items():
            said = told(url)
            assert reason in said
            assert "secret" not in said
            assert "127.0.0.1" not in said
    rules.write_text(before)
    fragile.execute(sql.SQL("SELECT pg_reload_conf()").format())


def told(url: str) -> str:
    """What a store says that cannot connect."""
    with closing(PostgresStore(url)) as store:
        try:
            store.check()
        except StoreDown as error:
            return str(error)
    return ""


# What is refused


@pytest.mark.parametrize("is_retry", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {"label": "a\x00b"},
        {"request_id": "\x00"},
        {"label": "half \ud83d"},
        {"features": msgspec.Raw(b'{"a": NaN}')},
        {"features": msgspec.Raw(b'{"a": "\xff"}')},
        {"features": msgspec.Raw(b"")},
        {"features": msgspec.Raw(b"[" * 200_000 + b"]" * 200_000)},
        {"decode_us": 2**31},
        {"queue_us": -1},
        {"subject": "x" * 100_000 + "".join(map(chr, range(0x4E00, 0x9FFF)))},
        {"id": "no-id"},
        {"id": name().upper()},
        {"id": "00000000-0000-4000-8000-000000000000"},
        {"id": "ffffffff-ffff-7000-8000-000000000000"},
    ],
)
def test_what_can_never_be_stored_is_refused(
    store: Store, changes: dict[str, Any], is_retry: bool
) -> None:
    """One bad record refuses its write, says no value of it, and leaves the store usable."""
    good = minutes(3)
    bad = record(**changes)
    with pytest.raises(RowsRefused) as raised:
        store.write([*good, bad], is_retry=is_retry)
    assert len(str(raised.value)) < 100
    assert raised.value.__cause__ is None
    assert list(store.read(ALL)) == []
    store.write(good, is_retry=is_retry)
    assert list(store.read(ALL)) == good


def test_a_bad_outcome_is_refused(store: Store) -> None:
    """Text that cannot be stored, and what is no id, refuses all outcomes of a call."""
    good = record()
    store.write([good], is_retry=False)
    for bad in ((good.id, "a\x00", "r"), (good.id, "\udc80", "r"), ("no-id", "1", "r")):
        with pytest.raises(RowsRefused):
            store.write_outcomes([(good.id, "1", "r"), bad])
    assert store.revisions(good.id) == []
    assert store.write_outcomes([(good.id, "1", "r")]) == ["recorded"]


def test_a_write_of_many_days_is_one(store: Store) -> None:
    """A write over several partitions is stored whole or not at all."""
    days = [record(NOON + day * DAY) for day in range(5)]
    with pytest.raises(RowsRefused):
        store.write([*days, record(NOON + 5 * DAY, label="\x00")], is_retry=False)
    assert list(store.read(ALL)) == []


# Erasure and retention


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


# Roles


def test_the_service_writes_and_cannot_read(
    store: Store, database: str, logins: Callable[..., str], open_log: Callable[[str], Store]
) -> None:
    """All that the service does works for its role; reading what was said of whom does not."""
    service = open_log(as_role(database, logins("tabserve_service")))
    service.register(REGISTRATION, ENVIRONMENT)
    service.register(REGISTRATION, ENVIRONMENT)
    stored = minutes(3, subject="mine") + minutes(2, NOON - 40 * DAY)
    service.write(stored[:4], is_retry=False)
    service.write(stored, is_retry=False)
    service.write(stored, is_retry=True)
    assert service.find([one.id for one in stored]) == {one.id: ("credit", "1") for one in stored}
    assert service.write_outcomes([(stored[0].id, "1", "r"), (stored[4].id, "0", "r")]) == [
        "recorded",
        "recorded",
    ]
    assert service.write_outcomes([(stored[0].id, "1", "r")]) == ["unchanged"]
    assert service.registration("credit", "1") == REGISTRATION
    assert service.environment("e") == ENVIRONMENT
    refused: list[Callable[[], object]] = [
        lambda: list(service.read(ALL)),
        lambda: service.get(stored[0].id),
        lambda: list(service.of_subject(["mine"])),
        lambda: service.sample(ALL, 1, 0),
        lambda: service.versions(ALL),
        lambda: list(service.outcomes(ALL)),
        lambda: service.revisions(stored[0].id),
        lambda: service.forget(["mine"], NOON),
        lambda: service.drop_before(NOON),
        lambda: service.note(Event(NOON, "x", {})),
        service.events,
    ]
    for act in refused:
        with pytest.raises(StoreDown, match="may not do that"):
            act()
    assert list(store.read(ALL)) == by_id(stored)


def test_late_rows_of_the_service_are_held_to_the_erasures(
    store: Store, database: str, logins: Callable[..., str], open_log: Callable[[str], Store]
) -> None:
    """The service cannot see who was erased, and still cannot bring them back."""
    store.forget(["mine"], NOON + DAY)
    service = open_log(as_role(database, logins("tabserve_service")))
    service.write(minutes(2, subject="mine"), is_retry=False)
    service.write(minutes(2, subject="mine"), is_retry=True)
    assert list(store.read(ALL)) == []


def test_the_drift_reader_sees_no_subjects(
    store: Store, database: str, logins: Callable[..., str], open_log: Callable[[str], Store]
) -> None:
    """A drift job reads windows, samples and outcomes, without whom they are about."""
    stored = minutes(50, subject="mine", subject_key="k", consumer="key-1")
    store.write(stored, is_retry=False)
    store.register(REGISTRATION, ENVIRONMENT)
    store.write_outcomes([(stored[0].id, "1", "of-whom")])
    drift = open_log(as_role(database, logins("tabserve_drift")))
    hidden = {"subject": None, "subject_key": None, "consumer": None, "request_id": ""}
    seen = [msgspec.structs.replace(one, **hidden) for one in stored]
    assert list(drift.read(ALL)) == seen
    assert drift.get(stored[7].id) == seen[7]
    assert drift.versions(ALL) == store.versions(ALL)
    assert [one.id for one in drift.sample(ALL, 9, 3)] == [
        one.id for one in store.sample(ALL, 9, 3)
    ]
    assert [(x.outcome, x.request_id) for x in drift.outcomes(ALL)] == [("1", "")]
    assert [(x.outcome, x.request_id) for x in drift.revisions(stored[0].id)] == [("1", "")]
    assert drift.registration("credit", "1") == REGISTRATION
    assert drift.environment("e") == ENVIRONMENT
    refused: list[Callable[[], object]] = [
        lambda: list(drift.of_subject(["mine"])),
        lambda: drift.write(minutes(1), is_retry=False),
        lambda: drift.write_outcomes([(stored[0].id, "0", "r")]),
        lambda: drift.find([stored[0].id]),
        lambda: drift.register(msgspec.structs.replace(REGISTRATION, version="9"), ENVIRONMENT),
        lambda: drift.forget(["mine"], NOON),
        lambda: drift.drop_before(NOON + DAY),
        drift.events,
    ]
    for act in refused:
        with pytest.raises(StoreDown):
            act()
    assert list(store.read(ALL)) == stored


def test_roles_have_these_rights_and_no_other(store: Store, database: str) -> None:
    """Every right of both roles, and of everybody, on everything in the schema."""
    expected = {
        "tabserve_service": {
            ("predictions", "INSERT"),
            ("registrations", "INSERT"),
            ("registrations", "SELECT"),
            ("environments", "INSERT"),
            ("environments", "SELECT"),
            ("migrations", "SELECT"),
        },
        "tabserve_drift": {
            ("drift_predictions", "SELECT"),
            ("drift_shadows", "SELECT"),
            ("registrations", "SELECT"),
            ("environments", "SELECT"),
            ("migrations", "SELECT"),
        },
    }
    functions = {
        "tabserve_service": {"make_partitions", "find_predictions", "add_outcomes"},
        "tabserve_drift": set(),
    }
    parts = partitions(database)
    assert parts
    with session(database) as connection:

        def has(statement: str, *parameters: str) -> bool:
            row = connection.execute(f"SELECT {statement}".encode(), parameters).fetchone()
            return row == (True,)

        for role, rights in expected.items():
            found = {
                (table, right)
                for table in (*TABLES, *OTHERS, *parts)
                for right in RIGHTS
                if has("has_table_privilege(%s, %s, %s)", role, f"tabserve.{table}", right)
            }
            assert found == rights
            assert has("has_schema_privilege(%s, 'tabserve', 'USAGE')", role)
            assert not has("has_schema_privilege(%s, 'tabserve', 'CREATE')", role)
            columns = connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'tabserve.outcomes'::regclass "
                "AND attnum > 0 AND has_column_privilege(%s, attrelid, attnum, 'SELECT')",
                (role,),
            ).fetchall()
            seen = {"time", "id", "revision", "outcome", "received"}
            assert {name for (name,) in columns} == (seen if role == "tabserve_drift" else set())
            callable_by = connection.execute(
                "SELECT proname FROM pg_proc WHERE pronamespace = 'tabserve'::regnamespace "
                "AND has_function_privilege(%s, oid, 'EXECUTE')",
                (role,),
            ).fetchall()
            assert {name for (name,) in callable_by} == functions[role]
        unsafe = connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'tabserve'::regnamespace "
            "AND NOT 'search_path=pg_catalog, pg_temp' = ANY(coalesce(proconfig, '{}'))"
        ).fetchall()
        assert unsafe == []
        hidden = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attnum > 0 "
            "AND attrelid = 'tabserve.drift_predictions'::regclass"
        ).fetchall()
        assert not {"subject", "subject_key", "request_id", "consumer"} & {x for (x,) in hidden}


def test_the_log_goes_without_roles(
    fragile: Server, open_log: Callable[[str], Store], caplog: pytest.LogCaptureFixture
) -> None:
    """An owner who may make no roles gets a log and a warning, and roles later."""
    url = fragile.make_database("plain")
    store = open_log(url)
    assert [line for line in caplog.messages if "takes CREATEROLE" in line]
    store.write(minutes(2), is_retry=False)
    assert len(list(store.read(ALL))) == 2
    fragile.execute(sql.SQL("CREATE ROLE tabserve_drift NOLOGIN").format())
    fragile.execute(sql.SQL("CREATE ROLE late_reader LOGIN IN ROLE tabserve_drift").format())
    tell(url, "SELECT tabserve.grant_roles()")
    assert len(list(open_log(as_role(url, "late_reader")).read(ALL))) == 2


# What a server may do


def test_a_read_only_database_is_down_for_writers_only(
    server: Server, store: Store, database: str, open_log: Callable[[str], Store]
) -> None:
    """While nothing may be written, writes wait and reads work."""
    stored = minutes(3)
    store.write(stored, is_retry=False)
    this = database.rpartition("/")[2]
    tell(database, f"ALTER DATABASE {this} SET default_transaction_read_only = on")
    store.close()
    store.prepare()
    assert list(store.read(ALL)) == stored
    later = minutes(2, NOON + DAY)
    for is_retry in (False, True):
        with pytest.raises(StoreDown, match="ReadOnlySqlTransaction"):
            store.write(later, is_retry=is_retry)
    with pytest.raises(StoreDown, match="ReadOnlySqlTransaction"):
        store.write_outcomes([(stored[0].id, "1", "r")])
    with session(database) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER DATABASE {this} RESET default_transaction_read_only".encode())
    store.write(later, is_retry=True)
    assert list(store.read(ALL)) == stored + later


def test_a_locked_table_is_not_waited_for_long(
    store: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement ends by its time limit, and the rows are stored the next time."""
    monkeypatch.setattr(sessions, "STATEMENT_SECONDS", 0.5)
    stored = minutes(3)
    store.write(stored[:1], is_retry=False)
    store.close()
    with session(database) as other:
        other.execute("BEGIN")
        other.execute("LOCK TABLE tabserve.predictions IN ACCESS EXCLUSIVE MODE")
        for is_retry in (False, True):
            with pytest.raises(StoreDown, match=r"QueryCanceled \(57014\)"):
                store.write(stored, is_retry=is_retry)
    store.write(stored, is_retry=True)
    assert list(store.read(ALL)) == stored


def test_a_server_that_hangs_is_not_waited_for(
    server: Server, store: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that is stopped says nothing at all: the connection is cut."""
    monkeypatch.setattr(sessions, "PATIENCE_SECONDS", 0.5)
    stored = minutes(3)
    store.write(stored[:1], is_retry=False)
    ((backend,),) = ask(
        database, "SELECT pid FROM pg_stat_activity WHERE application_name = 'tabserve'"
    )
    os.kill(backend, signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(StoreDown):
            store.write(stored, is_retry=False)
        assert time.monotonic() - started < 10
        store.write(stored, is_retry=True)
    finally:
        os.kill(backend, signal.SIGCONT)
    assert list(store.read(ALL)) == stored


def test_a_connection_that_was_ended_is_made_anew(store: Store, database: str) -> None:
    """An administrator who ends our idle connections costs nothing."""
    stored = minutes(3)
    for one in stored:
        store.write([one], is_retry=False)
        tell(
            database,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = 'tabserve' AND datname = current_database()",
        )
    assert store.find([one.id for one in stored]).keys() == {one.id for one in stored}


def test_a_stream_whose_server_goes_is_down(store: Store, database: str) -> None:
    """A read that is cut off says so; it never ends as if that were all."""
    store.write(minutes(9000, NOON.replace(hour=0)), is_retry=False)
    stream = store.read(ALL)
    next(stream)
    tell(
        database,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name = 'tabserve' AND datname = current_database()",
    )
    with pytest.raises(StoreDown):
        list(stream)


def test_a_server_that_is_away_and_returns(
    fragile: Server, open_log: Callable[[str], Store]
) -> None:
    """Stopped and started, the server gets what it missed, and an idle store notices nothing."""
    store = open_log(fragile.make_database("plain"))
    stored = minutes(3)
    store.write(stored[:1], is_retry=False)
    fragile.stop()
    for _ in range(2):
        with pytest.raises(StoreDown):
            store.write(stored, is_retry=True)
    with pytest.raises(StoreDown):
        store.find([stored[0].id])
    fragile.start()
    store.write(stored, is_retry=True)
    fragile.stop()
    fragile.start()
    assert list(store.read(ALL)) == stored
    assert store.write_outcomes([(stored[0].id, "1", "r")]) == ["recorded"]


def test_a_server_killed_under_load_has_everything_once(
    fragile: Server, open_log: Callable[[str], Store]
) -> None:
    """Killed twice while two writers are at work, the server ends with every row, once."""
    url = fragile.make_database("plain")
    open_log(url)
    stored = [minutes(12_000, NOON.replace(hour=0) - day * DAY) for day in (0, 20)]
    down = [0, 0]
    progress = [0, 0]

    def deliver(writer: int) -> None:
        store = open_log(url)
        for start in range(0, len(stored[writer]), 60):
            chunk = stored[writer][start : start + 60]
            tries = 0

            def attempt(chunk: list[Record] = chunk) -> None:
                nonlocal tries
                tries += 1
                store.write(chunk, is_retry=tries > 1)

            down[writer] += until_up(attempt)
            progress[writer] = start

    with beside(lambda: deliver(0)), beside(lambda: deliver(1)):
        for share in (0.2, 0.5):
            wait_until(lambda share=share: min(progress) > share * 12_000)  # type: ignore[misc]  # mypy infers no default of a lambda
            fragile.kill()
            fragile.start()
    assert all(count > 0 for count in down)
    assert list(open_log(url).read(ALL)) == by_id([one for some in stored for one in some])


def test_migrations_ship_with_the_package() -> None:
    """The SQL files lie in the package, numbered without a gap."""
    folder = Path(schema.__file__).parent / "migrations"
    names = sorted(path.name for path in folder.iterdir() if path.suffix == ".sql")
    assert [name for name, _ in schema.read_migrations()] == names
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
