"""The tables of a log in SQLite, and how an older file gets them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from bentos.errors import StoreDown
from bentos.records.missing import damaged_schema, no_log
from bentos.records.sqlite.moving import move_rows

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
    # Rows of one write are one value (`blocks`): `moving` brings those of `scored` there.
    """
    DROP VIEW shadows;
    DROP VIEW predictions;
    DROP VIEW recorded;
    ALTER TABLE sources ADD COLUMN names TEXT;
    CREATE TABLE blocks (
        block INTEGER PRIMARY KEY, source INTEGER NOT NULL, is_shadow INTEGER NOT NULL,
        first_id TEXT NOT NULL, last_id TEXT NOT NULL, rows INTEGER NOT NULL,
        ids BLOB NOT NULL, requests TEXT NOT NULL, content TEXT NOT NULL
    ) STRICT;
    CREATE INDEX blocks_ids ON blocks (first_id, last_id);
    CREATE TABLE subjects (
        subject TEXT NOT NULL, block INTEGER NOT NULL, PRIMARY KEY (subject, block)
    ) STRICT, WITHOUT ROWID;
    CREATE VIEW recorded AS
    SELECT
        substr(digits, 1, 8) || '-' || substr(digits, 9, 4) || '-' || substr(digits, 13, 4)
        || '-' || substr(digits, 17, 4) || '-' || substr(digits, 21) AS id,
        json_extract(request, '$[0]') AS request_id,
        source,
        CASE WHEN names IS NULL THEN json_extract(item, '$[1]') ELSE (
            SELECT '{' || coalesce(group_concat(
                json_quote(value) || ':' || (item -> ('$[1][' || key || ']')), ','
            ), '') || '}' FROM json_each(names)
        ) END AS features,
        json_extract(item, '$[2]') AS score,
        json_extract(item, '$[4]') AS scores,
        json_extract(item, '$[3]') AS label,
        json_extract(request, '$[5]') AS consumer,
        json_extract(request, '$[6]') AS subject,
        json_extract(request, '$[7]') AS subject_key,
        json_extract(request, '$[1]') AS decode_us,
        json_extract(request, '$[2]') AS queue_us,
        json_extract(request, '$[3]') AS predict_us,
        json_extract(request, '$[4]') AS encode_us,
        json_extract(item, '$[5]') AS warnings,
        json_extract(item, '$[6]') AS reasons,
        json_extract(item, '$[7]') AS shadow,
        model, version, contract, environment, threshold, is_shadow, first_id, last_id
    FROM (
        SELECT
            source, is_shadow, first_id, last_id, item.value AS item,
            json_extract(
                requests, '$[' || json_extract(item.value, '$[0]') || ']'
            ) AS request,
            lower(hex(substr(ids, 16 * item.key + 1, 16))) AS digits
        FROM blocks, json_each(content) AS item
    ) LEFT JOIN sources USING (source);
    CREATE VIEW predictions AS SELECT * FROM recorded WHERE NOT is_shadow;
    CREATE VIEW shadows AS SELECT * FROM recorded WHERE is_shadow;
    """,
)

# What this tabserve works with. A migration runs once, so what was dropped later stays away.
_RELATIONS = (
    "sources",
    "blocks",
    "subjects",
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
    move_rows(connection)
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
