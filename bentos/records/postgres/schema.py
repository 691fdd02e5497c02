"""The schema of the log in PostgreSQL: numbered SQL files, each run once.

A file's first line names the oldest tabserve that can work with the log after it: with
`-- least: 2`, one that knows two migrations can. A migration that only adds something keeps the
number of the file before it; one that changes what is there takes its own number. So a rolling
upgrade locks the older pods out only where it must.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from typing import Any

import psycopg
from psycopg import errors

from bentos.errors import StoreDown
from bentos.logs import LOGGER
from bentos.records.missing import damaged_schema, no_log
from bentos.records.postgres.session import Connection, limit

# How many days ahead of today partitions are made at the start.
DAYS_AHEAD = 7

_FILE = re.compile(r"(\d{4})_\w+\.sql")
_LEAST = re.compile(r"-- least: (\d+)\n")

# The advisory lock of a migration.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('tabserve.migrations', 0))"

_HAS_SCHEMA = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'tabserve')"
_HAS_TABLE = """
SELECT EXISTS (
    SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = 'tabserve' AND relname = 'migrations'
)
"""
_NUMBERS = "SELECT coalesce(max(number), 0), coalesce(max(least), 0) FROM tabserve.migrations"
_MAKE_TABLE = """
CREATE TABLE IF NOT EXISTS tabserve.migrations (
    number int4 PRIMARY KEY, name text NOT NULL, applied timestamptz NOT NULL DEFAULT now(),
    least int4 NOT NULL
);
"""
_CAN_MAKE = """
SELECT has_function_privilege('tabserve.make_partitions(date[])', 'EXECUTE')
AND NOT current_setting('transaction_read_only')::bool
"""
# What this tabserve works with. A migration runs once, so what was dropped later stays away.
_RELATIONS = (
    "predictions",
    "outcomes",
    "registrations",
    "environments",
    "erasures",
    "events",
    "drift_predictions",
    "drift_shadows",
    "drift_runs",
    "drift_features",
)
_FUNCTIONS = (
    "is_attached",
    "make_partitions",
    "find_predictions",
    "add_outcomes",
    "skip_erased",
)
_MISSING = """
SELECT name FROM unnest(%(relations)s::text[]) AS name WHERE NOT EXISTS (
    SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = 'tabserve' AND relname = name
)
UNION ALL
SELECT name || '()' FROM unnest(%(functions)s::text[]) AS name WHERE NOT EXISTS (
    SELECT FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
    WHERE nspname = 'tabserve' AND proname = name
)
"""
_TO_MIGRATE = "run `tabserve migrate` as the owner of the database"


def read_migrations() -> list[tuple[str, str]]:
    """Name and text of each migration, the first one first."""
    folder = resources.files("bentos.records.postgres") / "migrations"
    files = sorted((file.name, file) for file in folder.iterdir() if _FILE.fullmatch(file.name))
    return [(name, file.read_text("utf-8")) for name, file in files]


def bring_up_to_date(connection: Connection) -> None:
    """Run the migrations that are missing; nothing where none is.

    Raises StoreDown where the schema is too new for us, or older and this role may not
    change it.
    """
    migrations = read_migrations()
    if _read_usable(connection, len(migrations)) < len(migrations):
        _migrate(connection, migrations)
    _check_whole(connection)


def check_schema(connection: Connection) -> None:
    """Raise StoreDown unless there is a log that we can work with; change nothing."""
    known = len(read_migrations())
    number = _read_usable(connection, known)
    if not number:
        raise no_log("in this database")
    if number < known:
        raise StoreDown(f"the log's schema is older than this tabserve: {_TO_MIGRATE}")
    _check_whole(connection)


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


def _check_whole(connection: Connection) -> None:
    with limit(connection):
        missing = connection.execute(
            _MISSING.encode(), {"relations": list(_RELATIONS), "functions": list(_FUNCTIONS)}
        ).fetchall()
    if missing:
        raise damaged_schema([f"tabserve.{name}" for (name,) in missing])


def _read_usable(connection: Connection, known: int) -> int:
    with limit(connection):
        number, least = _read_numbers(connection)
    if least > known:
        raise StoreDown(
            f"the log has schema {number}, this tabserve knows {known}: a newer tabserve made it"
        )
    return number


def _read_numbers(connection: Connection) -> tuple[int, int]:
    # to_regclass would raise for a role that may not use the schema.
    if not _read_one(connection, _HAS_TABLE):
        return 0, 0
    try:
        number, least = connection.execute(_NUMBERS).fetchone() or (0, 0)
    except errors.InsufficientPrivilege:
        raise StoreDown(
            "this role may not use the log: grant it tabserve_service or tabserve_drift"
        ) from None
    return number, least


def _migrate(connection: Connection, migrations: list[tuple[str, str]]) -> None:
    connection.add_notice_handler(_warn)
    try:
        with connection.transaction():
            # A process that starts at the same time waits here, and then finds the work done.
            # That may take longer than a statement of the service may.
            connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute(_LOCK)
            # IF NOT EXISTS would ask for the right to make schemas where one was made for us.
            if not _read_one(connection, _HAS_SCHEMA):
                connection.execute("CREATE SCHEMA tabserve")
            connection.execute(_MAKE_TABLE)
            for place, (name, text) in enumerate(migrations, 1):
                if place > _read_numbers(connection)[0]:
                    connection.execute(text.encode())
                    connection.execute(
                        "INSERT INTO tabserve.migrations (number, name, least) VALUES (%s, %s, %s)",
                        (place, name, _read_least(text, place)),
                    )
    except errors.InsufficientPrivilege:
        raise StoreDown(
            f"the log's schema is missing or older than this tabserve, and this role may "
            f"not change it: {_TO_MIGRATE}"
        ) from None
    except (errors.DuplicateTable, errors.DuplicateFunction):
        raise damaged_schema(["the list of its migrations, tabserve.migrations"]) from None
    finally:
        connection.remove_notice_handler(_warn)


def _read_least(text: str, own: int) -> int:
    stated = _LEAST.match(text)
    return int(stated[1]) if stated else own


def _warn(notice: psycopg.errors.Diagnostic) -> None:
    LOGGER.warning("PostgreSQL: %s", notice.message_primary)


def _read_one(connection: Connection, statement: str) -> Any:
    row = connection.execute(statement.encode()).fetchone()
    return None if row is None else row[0]
