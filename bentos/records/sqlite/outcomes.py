"""Outcomes in SQLite: one row for each revision."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from bentos.ids import milliseconds
from bentos.records.record import (
    MOST_REVISIONS,
    Outcome,
    OutcomeStatus,
    Record,
    Window,
    to_outcome,
)
from bentos.records.sqlite.reading import Finder

# The last revision of each: SQLite gives the other columns of the row that has the maximum.
_LAST = "SELECT id, outcome, max(revision), received_ms, request_id FROM outcomes"
_LAST_OF_RANGE = f"{_LAST} WHERE id >= ? AND id < ? GROUP BY id ORDER BY id"
_LAST_OF_ONE = f"{_LAST} WHERE id = ? GROUP BY id"
SELECT_REVISIONS = (
    "SELECT id, outcome, revision, received_ms, request_id FROM outcomes "
    "WHERE id = ? ORDER BY revision"
)


def write_outcomes(
    connection: sqlite3.Connection, outcomes: Sequence[tuple[str, str, str]]
) -> list[OutcomeStatus]:
    """Store outcomes `(id, outcome, request_id)` in the open transaction."""
    now_ms = milliseconds(datetime.now(UTC))
    # The transaction is the only writer: a prediction that is there stays until its end.
    finder = Finder(connection)
    return [_write(connection, finder, *outcome, now_ms) for outcome in outcomes]


def read_outcomes(connection: sqlite3.Connection, window: Window) -> Iterator[Outcome]:
    """The last revision of each outcome of a window's answers, by id."""
    finder = Finder(connection)
    for row in connection.execute(_LAST_OF_RANGE, (window.first_id, window.end_id)):
        found = finder.find(row[0])
        if (
            found is not None
            and not found.is_shadow
            and window.model in (None, found.model)
            and window.version in (None, found.version)
        ):
            yield to_outcome(row)


def read_outcomes_of_shadows(
    connection: sqlite3.Connection, shadows: Iterable[Record]
) -> Iterator[Outcome]:
    """The last revision of each outcome of the answers that shadow rows name, under their ids."""
    for shadow in shadows:
        for _, *rest in connection.execute(_LAST_OF_ONE, (shadow.shadow,)).fetchall():
            yield to_outcome((shadow.id, *rest))


def _write(
    connection: sqlite3.Connection,
    finder: Finder,
    name: str,
    outcome: str,
    request_id: str,
    now_ms: int,
) -> OutcomeStatus:
    found = finder.find(name)
    if found is None or found.is_shadow:
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
