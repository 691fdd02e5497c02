"""Rows that leave the log in SQLite: one subject's, and those of past days.

Each function but the last works in the open transaction of the caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime

from bentos.errors import StoreDown
from bentos.ids import floor_id, start_of_day
from bentos.records.sqlite.blocks import Rows, collect
from bentos.records.sqlite.rows import Kind
from bentos.records.sqlite.writing import rewrite


def pick_allowed(connection: sqlite3.Connection, kinds: Mapping[Kind, Rows]) -> Mapping[Kind, Rows]:
    """Leave out the rows that an erasure bars."""
    # Not a trigger: most rows have no subject.
    ends: dict[str | None, str] = {}
    for subject in {subject for rows in kinds.values() for subject in rows.subjects}:
        ends.update(
            connection.execute("SELECT subject, end_id FROM erasures WHERE subject = ?", (subject,))
        )
    if not ends:
        return kinds
    return {
        kind: collect(one for one in rows.each() if one[1] >= ends.get(one[0][6], ""))
        for kind, rows in kinds.items()
    }


def erase(connection: sqlite3.Connection, tokens: Sequence[str], now: datetime) -> dict[str, int]:
    """Erase a subject's rows, and bar late ones; gives how many rows, by kind."""
    connection.executemany(
        "INSERT INTO erasures VALUES (?, ?) "
        "ON CONFLICT (subject) DO UPDATE SET end_id = max(end_id, excluded.end_id)",
        [(token, floor_id(now)) for token in tokens],
    )
    marks = ", ".join("?" * len(tokens))
    blocks = connection.execute(
        f"SELECT DISTINCT block FROM subjects WHERE subject IN ({marks})",  # noqa: S608 - only question marks
        tokens,
    ).fetchall()
    mine = frozenset(tokens)
    predictions = outcomes = 0
    for (block,) in blocks:
        erased = rewrite(connection, block, lambda head, _: head[6] not in mine)
        predictions += len(erased)
        outcomes += connection.executemany(
            "DELETE FROM outcomes WHERE id = ?", [(name,) for name in erased]
        ).rowcount
    return {"predictions": predictions, "outcomes": outcomes}


def drop_days(connection: sqlite3.Connection, time: datetime) -> dict[str, int]:
    """Delete the days before the one that `time` is in, UTC; gives how many rows, by kind."""
    end = floor_id(start_of_day(time))
    outcomes = connection.execute("DELETE FROM outcomes WHERE id < ?", (end,)).rowcount
    past = "first_id < ? AND last_id < ?"
    (rows,) = connection.execute(
        f"SELECT coalesce(sum(rows), 0) FROM blocks WHERE {past}",  # noqa: S608 - our own text
        (end, end),
    ).fetchone()
    connection.execute(f"DELETE FROM blocks WHERE {past}", (end, end))  # noqa: S608 - the same
    connection.execute("DELETE FROM subjects WHERE block NOT IN (SELECT block FROM blocks)")
    # Those that were begun before midnight.
    for (block,) in connection.execute(
        "SELECT block FROM blocks WHERE first_id < ?", (end,)
    ).fetchall():
        rows += len(rewrite(connection, block, lambda _, name: name >= end))
    connection.execute("DELETE FROM erasures WHERE end_id < ?", (end,))
    return {"predictions": rows, "outcomes": outcomes}


def write_anew(connection: sqlite3.Connection) -> None:
    """Take erased rows out of the file and its write-ahead log, not in a transaction.

    Raises StoreDown where a reader holds the write-ahead log.
    """
    # secure_delete overwrites a row that is deleted. Where a page was split before, a copy of the
    # row may lie in the free part of the page, and stays there.
    connection.execute("VACUUM")
    (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        raise StoreDown(
            "another process reads the log, and what was erased stays in its write-ahead log "
            "until that is done"
        )
