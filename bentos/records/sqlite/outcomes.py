"""Outcomes in SQLite: one row for each revision."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

from bentos.ids import milliseconds
from bentos.records.record import MOST_REVISIONS, OutcomeStatus

# The last revision of each outcome of a window's predictions: SQLite gives the other columns
# of the row that has the maximum.
SELECT_LAST = (
    "SELECT made.id, outcome, max(revision), received_ms, outcomes.request_id "
    "FROM outcomes JOIN predictions AS made USING (id) WHERE {where} "
    "GROUP BY made.id ORDER BY made.id"
)
# The same of shadow rows: the outcome is that of the answer that each names.
SELECT_OF_SHADOWS = (
    "SELECT made.id, outcome, max(revision), received_ms, outcomes.request_id "
    "FROM shadows AS made JOIN outcomes ON outcomes.id = made.shadow WHERE {where} "
    "GROUP BY made.id ORDER BY made.id"
)
SELECT_REVISIONS = (
    "SELECT id, outcome, revision, received_ms, request_id FROM outcomes "
    "WHERE id = ? ORDER BY revision"
)


def write_outcomes(
    connection: sqlite3.Connection, outcomes: Sequence[tuple[str, str, str]]
) -> list[OutcomeStatus]:
    """Store outcomes `(id, outcome, request_id)` in the open transaction."""
    now_ms = milliseconds(datetime.now(UTC))
    return [_write(connection, *outcome, now_ms) for outcome in outcomes]


def _write(
    connection: sqlite3.Connection, name: str, outcome: str, request_id: str, now_ms: int
) -> OutcomeStatus:
    # The transaction is the only writer: the prediction that is there stays until its end.
    if connection.execute("SELECT 1 FROM predictions WHERE id = ?", (name,)).fetchone() is None:
        return "unknown"
    revision, last = connection.execute(
        "SELECT revision, outcome FROM outcomes WHERE id = ? ORDER BY revision DESC LIMIT 1",
        (name,),
    ).fetchone() or (0, None)
    if last == outcome:
        return "unchanged"
    if revision >= MOST_REVISIONS:
        return "too_many"
    connection.execute(
        "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?)",
        (name, revision + 1, outcome, now_ms, request_id),
    )
    return "recorded"
