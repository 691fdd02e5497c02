"""The schema of the log in PostgreSQL: numbered SQL files, each run once."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from typing import Any

import psycopg
from psycopg import errors

from bentos.errors import StoreDown
from bentos.logs import LOGGER
from bentos.records.postgres_session import Connection, limit

# How many days ahead of today partitions are made at the start.
DAYS_AHEAD = 7

_FILE = re.compile(r"(\d{4})_\w+\.sql")

# The number that says "migrating" among all advisory locks of a database.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('tabserve.migrations', 0))"

_HAS_SCHEMA = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'tabserve')"
_HAS_TABLE = """
SELECT EXISTS (
    SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = 'tabserve' AND relname = 'migrations'
)
"""
_NUMBER = "SELECT coalesce(max(number), 0) FROM tabserve.migrations"
_MAKE_TABLE = """
CREATE TABLE IF NOT EXISTS tabserve.migrations (
    number int4 PRIMARY KEY, name text NOT NULL, applied timestamptz NOT NULL DEFAULT now()
);
"""
_CAN_MAKE = """
SELECT has_function_privilege('tabserve.make_partitions(date[])', 'EXECUTE')
AND NOT current_setting('transaction_read_only')::bool
"""
_TO_MIGRATE = "run `tabserve migrate` as the owner of the database"


def read_migrations() -> list[tuple[str, str]]:
    """Name and text of each migration, the first one first."""
    folder = resources.files("bentos.records") / "migrations"
    files = sorted((file.name, file) for file in folder.iterdir() if _FILE.fullmatch(file.name))
    return [(name, file.read_text("utf-8")) for name, file in files]


def bring_up_to_date(connection: Connection) -> None:
    """Run the migrations that are missing; nothing where none is.

    Raises StoreDown where the schema is newer than ours, or older and this role may not
    change it.
    """
    migrations = read_migrations()
    with limit(connection):
        number = _read_number(connection)
    if number > len(migrations):
        raise StoreDown(
            f"the log has schema {number}, this tabserve knows {len(migrations)}: "
            "a newer tabserve made it"
        )
    if number < len(migrations):
        _migrate(connection, migrations)


def make_ahead(connection: Connection) -> None:
    """Make the partitions of the coming days, where this role and this server can."""
    today = datetime.now(UTC).date()
    with limit(connection):
        if _read_one(connection, _CAN_MAKE):
            days = [today + timedelta(count) for count in range(DAYS_AHEAD + 1)]
            make_partitions(connection, days)


def make_partitions(connection: Connection, days: list[date]) -> None:
    """Make the partitions of some days where they are missing."""
    connection.execute("SELECT tabserve.make_partitions(%s::date[])", [days])


def _read_number(connection: Connection) -> int:
    # to_regclass would raise for a role that may not use the schema.
    if not _read_one(connection, _HAS_TABLE):
        return 0
    try:
        number: int = _read_one(connection, _NUMBER)
    except errors.InsufficientPrivilege:
        raise StoreDown(
            "this role may not use the log: grant it tabserve_service or tabserve_drift"
        ) from None
    return number


def _migrate(connection: Connection, migrations: list[tuple[str, str]]) -> None:
    connection.add_notice_handler(_warn)
    try:
        with connection.transaction():
            # Who starts at the same time waits here, and then finds the work done; that
            # may take longer than a statement of the service may.
            connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute(_LOCK)
            # IF NOT EXISTS would ask for the right to make schemas where one was made for us.
            if not _read_one(connection, _HAS_SCHEMA):
                connection.execute("CREATE SCHEMA tabserve")
            connection.execute(_MAKE_TABLE)
            for place, (name, text) in enumerate(migrations, 1):
                if place > _read_number(connection):
                    connection.execute(text.encode())
                    connection.execute(
                        "INSERT INTO tabserve.migrations (number, name) VALUES (%s, %s)",
                        (place, name),
                    )
    except errors.InsufficientPrivilege:
        raise StoreDown(
            f"the log's schema is missing or older than this tabserve, and this role may "
            f"not change it: {_TO_MIGRATE}"
        ) from None
    finally:
        connection.remove_notice_handler(_warn)


def _warn(notice: psycopg.errors.Diagnostic) -> None:
    LOGGER.warning("PostgreSQL: %s", notice.message_primary)


def _read_one(connection: Connection, statement: str) -> Any:
    row = connection.execute(statement.encode()).fetchone()
    return None if row is None else row[0]
