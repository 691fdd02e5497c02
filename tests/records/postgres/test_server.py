"""What a PostgreSQL server may do to the log: refuse, hang, leave, and come back."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from psycopg import sql

from bentos.errors import ConfigurationError, StoreDown
from bentos.records.postgres import session as sessions
from bentos.records.postgres.store import PostgresStore
from bentos.records.record import Record
from bentos.records.store import Store
from tests.records.postgres.asking import ask, beside, session, tell, wait_until
from tests.records.postgresql import Server
from tests.records.predictions import (
    ALL,
    DAY,
    NOON,
    by_id,
    minutes,
    until_up,
)


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
