"""The tables of a log in SQLite, and how an older file gets them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from bentos.errors import StoreDown
from bentos.records.missing import damaged_schema, no_log

# Each entry brings the schema from its place in the list to the next; none is ever changed.
# ANY keeps the eight bytes of a float; a REAL column keeps -0.0 as the integer 0.
MIGRATIONS = (
    """
    CREATE TABLE sources (
        source INTEGER PRIMARY KEY, model TEXT NOT NULL, version TEXT NOT NULL,
        contract TEXT NOT NULL, environment TEXT NOT NULL, threshold ANY
    ) STRICT;
    CREATE TABLE scored (
        id TEXT PRIMARY KEY, request_id TEXT NOT NULL, source INTEGER NOT NULL,
        features TEXT NOT NULL, score ANY, scores TEXT, label TEXT,
        consumer TEXT, subject TEXT, subject_key TEXT,
        decode_us INTEGER NOT NULL, queue_us INTEGER NOT NULL,
        predict_us INTEGER NOT NULL, encode_us INTEGER NOT NULL,
        warnings TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX scored_subject ON scored (subject) WHERE subject IS NOT NULL;
    CREATE VIEW predictions AS SELECT * FROM scored LEFT JOIN sources USING (source);
    CREATE TABLE outcomes (
        id TEXT NOT NULL, revision INTEGER NOT NULL, outcome TEXT NOT NULL,
        received_ms INTEGER NOT NULL, request_id TEXT NOT NULL,
        PRIMARY KEY (id, revision)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE registrations (
        model TEXT NOT NULL, version TEXT NOT NULL, document BLOB NOT NULL, reference BLOB,
        PRIMARY KEY (model, version)
    ) STRICT;
    CREATE TABLE environments (id TEXT PRIMARY KEY, document BLOB NOT NULL) STRICT;
    CREATE TABLE erasures (
        subject TEXT PRIMARY KEY, end_id TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE events (
        time_ms INTEGER NOT NULL, action TEXT NOT NULL, details TEXT NOT NULL
    ) STRICT;
    """,
    # The view anew: it has the columns that its table had when it was made.
    """
    ALTER TABLE scored ADD COLUMN reasons TEXT;
    DROP VIEW predictions;
    CREATE VIEW predictions AS SELECT * FROM scored LEFT JOIN sources USING (source);
    """,
    # What a candidate scored beside the answers is no prediction that a client got.
    """
    ALTER TABLE scored ADD COLUMN shadow TEXT;
    DROP VIEW predictions;
    CREATE VIEW recorded AS SELECT * FROM scored LEFT JOIN sources USING (source);
    CREATE VIEW predictions AS SELECT * FROM recorded WHERE shadow IS NULL;
    CREATE VIEW shadows AS SELECT * FROM recorded WHERE shadow IS NOT NULL;
    """,
)

# What this tabserve works with. A migration runs once, so what was dropped later stays away.
_RELATIONS = (
    "sources",
    "scored",
    "recorded",
    "predictions",
    "shadows",
    "outcomes",
    "registrations",
    "environments",
    "erasures",
    "events",
)


def check_schema(connection: sqlite3.Connection) -> None:
    """Raise StoreDown unless the file is a log of our schema."""
    found = _read_version(connection)
    if not found:
        raise no_log("in this file")
    if found < len(MIGRATIONS):
        raise StoreDown("the log's schema is older than this tabserve: run `tabserve migrate`")
    _check_whole(connection)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, in the open transaction. Raises StoreDown for a newer one."""
    found = _read_version(connection)
    for statement in _statements("".join(MIGRATIONS[found:])):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    _check_whole(connection)


def _check_whole(connection: sqlite3.Connection) -> None:
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if missing := [name for name in _RELATIONS if name not in there]:
        raise damaged_schema(missing)


def _read_version(connection: sqlite3.Connection) -> int:
    found: int
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > len(MIGRATIONS):
        raise StoreDown(
            f"the log has schema {found}, this tabserve knows {len(MIGRATIONS)}: "
            "a newer tabserve made it"
        )
    return found


def _statements(script: str) -> Iterator[str]:
    # `executescript` would commit what is open: a migration is one transaction.
    statement = ""
    for part in script.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            if statement.strip("; \n"):
                yield statement
            statement = ""
