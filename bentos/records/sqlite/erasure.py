"""Rows that leave the log in SQLite: one subject's, and those of past days.

Each function but the last works in the open transaction of the caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from bentos.errors import StoreDown
from bentos.ids import floor_id, start_of_day
from bentos.records.record import Record


def pick_allowed(connection: sqlite3.Connection, records: Sequence[Record]) -> Sequence[Record]:
    """Leave out the records that an erasure bars."""
    # Not a trigger: that is run for each row, and most have no subject.
    subjects = {record.subject for record in records if record.subject is not None}
    ends: dict[str | None, str] = {}
    for subject in subjects:
        ends.update(
            connection.execute("SELECT subject, end_id FROM erasures WHERE subject = ?", (subject,))
        )
    if not ends:
        return records
    return [record for record in records if record.id >= ends.get(record.subject, "")]


def erase(connection: sqlite3.Connection, tokens: Sequence[str], now: datetime) -> dict[str, int]:
    """Erase a subject's rows, and bar late ones; gives how many rows, by kind."""
    marks = ", ".join("?" * len(tokens))
    mine = f"SELECT id FROM scored WHERE subject IN ({marks})"  # noqa: S608 - only question marks
    connection.executemany(
        "INSERT INTO erasures VALUES (?, ?) "
        "ON CONFLICT (subject) DO UPDATE SET end_id = max(end_id, excluded.end_id)",
        [(token, floor_id(now)) for token in tokens],
    )
    outcomes = connection.execute(f"DELETE FROM outcomes WHERE id IN ({mine})", tokens)  # noqa: S608 - the same
    predictions = connection.execute(
        f"DELETE FROM scored WHERE subject IN ({marks})",  # noqa: S608 - the same
        tokens,
    )
    return {"predictions": predictions.rowcount, "outcomes": outcomes.rowcount}


def drop_days(connection: sqlite3.Connection, time: datetime) -> dict[str, int]:
    """Delete the days before the one that `time` is in, UTC; gives how many rows, by kind."""
    end = (floor_id(start_of_day(time)),)
    outcomes = connection.execute("DELETE FROM outcomes WHERE id < ?", end).rowcount
    rows = connection.execute("DELETE FROM scored WHERE id < ?", end).rowcount
    connection.execute("DELETE FROM erasures WHERE end_id < ?", end)
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
