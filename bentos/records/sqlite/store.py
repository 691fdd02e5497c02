"""The log in one SQLite file: for one machine, any number of workers.

Write-ahead logging lets readers and the writer work side by side; a busy file is waited
for. Ids begin with the time, so the primary key is the index of every window.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from bentos.errors import StoreDown
from bentos.ids import from_milliseconds, milliseconds
from bentos.records.missing import no_log
from bentos.records.record import (
    Environment,
    Event,
    Outcome,
    OutcomeStatus,
    Record,
    Registration,
    Version,
    Window,
    encode,
    to_outcome,
)
from bentos.records.request import RecordedRequest, unpack
from bentos.records.sqlite import erasure
from bentos.records.sqlite import outcomes as outcome_rows
from bentos.records.sqlite.file import LogFile, find_reading, name_error
from bentos.records.sqlite.rows import COLUMNS, insert, to_record
from bentos.records.sqlite.schema import check_schema, migrate

# SQLite takes at most 32,766 parameters; a lookup of more ids is done in parts.
_IDS_AT_ONCE = 500

_SELECT = f"SELECT {', '.join(COLUMNS)} FROM"

# The last 32 bits of an id are random: beginning at the seed, round the circle.
_SAMPLE = (
    "SELECT id FROM {view} WHERE {where} ORDER BY substr(id, 29) < ?, substr(id, 29), id LIMIT ?"
)


class SqliteStore:
    """A prediction log in one file."""

    # One commit of some hundred rows costs little more than one of a single row.
    max_rows = 4096
    gather_seconds = 0.0

    def __init__(self, path: Path) -> None:
        self._file = LogFile(path)

    def prepare(self) -> None:
        """Open the file and bring its schema up to date."""
        with self._file.working() as connection:
            # Concurrent starts wait here for each other, and the second finds the work done.
            connection.execute("BEGIN IMMEDIATE")
            migrate(connection)
            connection.execute("COMMIT")

    def check(self) -> None:
        """Look at the file's schema, without making or changing a file."""
        if not self._file.path.is_file():
            raise no_log(f"at {self._file.path.name}")
        try:
            # Read only: any other program's file stays as it is.
            path = self._file.path
            connection = sqlite3.connect(
                f"{path.resolve().as_uri()}?{find_reading(path)}", uri=True
            )
            try:
                check_schema(connection)
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StoreDown(name_error(self._file.path, error)) from None

    def register(self, registration: Registration, environment: Environment) -> None:
        """Write down a model version and an environment, unless they are known."""
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO registrations VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    registration.model,
                    registration.version,
                    encode(registration.bare),
                    registration.reference,
                ),
            )
            connection.execute(
                "INSERT INTO environments VALUES (?, ?) ON CONFLICT DO NOTHING",
                (environment.id, bytes(environment.document)),
            )

    def write(self, records: Sequence[Record], *, is_retry: bool) -> None:
        """Store all records or none; what is there by its id stays as it is."""
        with self._file.writing() as connection:
            insert(connection, erasure.pick_allowed(connection, records))

    def write_requests(self, requests: Sequence[RecordedRequest], *, is_retry: bool) -> None:
        """As `write`: the rows become records first."""
        self.write(unpack(requests), is_retry=is_retry)

    def read(self, window: Window) -> Iterator[Record]:
        """The records of a window by id, streaming."""
        where, parameters = _where(window)
        return self._stream(f"{_SELECT} {_view(window)} WHERE {where} ORDER BY id", parameters)

    def get(self, prediction_id: str) -> Record | None:
        """One record by its id."""
        return next(self._stream(f"{_SELECT} recorded WHERE id = ?", (prediction_id,)), None)

    def versions(self, window: Window) -> list[Version]:
        """Which model versions made predictions in a window, and how many."""
        where, parameters = _where(window)
        with self._file.working() as connection:
            rows = connection.execute(
                f"SELECT model, version, contract, count(*) FROM {_view(window)} "  # noqa: S608 - our own text
                f"WHERE {where} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
                parameters,
            ).fetchall()
        return [Version(*row) for row in rows]

    def sample(self, window: Window, rows: int, seed: int) -> list[Record]:
        """At most so many records of a window, picked by the random end of their ids."""
        where, parameters = _where(window)
        picked = _SAMPLE.format(view=_view(window), where=where)
        return list(
            self._stream(
                f"{_SELECT} recorded WHERE id IN ({picked}) ORDER BY id",
                (*parameters, f"{seed % 2**32:08x}", rows),
            )
        )

    def registration(self, model: str, version: str) -> Registration | None:
        """What was registered of a model version."""
        with self._file.working() as connection:
            row = connection.execute(
                "SELECT document, reference FROM registrations WHERE model = ? AND version = ?",
                (model, version),
            ).fetchone()
        if row is None:
            return None
        bare = msgspec.json.decode(row[0], type=Registration)
        return msgspec.structs.replace(bare, reference=row[1])

    def environment(self, environment_id: str) -> Environment | None:
        """What was registered under an environment's id."""
        with self._file.working() as connection:
            row = connection.execute(
                "SELECT document FROM environments WHERE id = ?", (environment_id,)
            ).fetchone()
        return None if row is None else Environment(environment_id, msgspec.Raw(row[0]))

    def find(self, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Model and version of each prediction that is stored, by its id."""
        found: dict[str, tuple[str, str]] = {}
        with self._file.working() as connection:
            for start in range(0, len(ids), _IDS_AT_ONCE):
                part = ids[start : start + _IDS_AT_ONCE]
                marks = ", ".join("?" * len(part))
                found |= {
                    name: (model, version)
                    for name, model, version in connection.execute(
                        f"SELECT id, model, version FROM predictions WHERE id IN ({marks})",  # noqa: S608 - only question marks
                        part,
                    )
                }
        return found

    def write_outcomes(self, outcomes: Sequence[tuple[str, str, str]]) -> list[OutcomeStatus]:
        """Store outcomes `(id, outcome, request_id)`; gives for each what became of it."""
        with self._file.writing() as connection:
            return outcome_rows.write_outcomes(connection, outcomes)

    def outcomes(self, window: Window) -> Iterator[Outcome]:
        """The last revision of each outcome of a window's predictions, by id, streaming."""
        where, parameters = _where(window, "made.")
        select = outcome_rows.SELECT_OF_SHADOWS if window.is_shadow else outcome_rows.SELECT_LAST
        statement = select.format(where=where)
        rows = self._rows(statement, parameters)
        return (to_outcome(row) for row in rows)

    def revisions(self, prediction_id: str) -> list[Outcome]:
        """Every revision of one prediction's outcome, the first one first."""
        rows = self._rows(outcome_rows.SELECT_REVISIONS, (prediction_id,))
        return [to_outcome(row) for row in rows]

    def of_subject(self, tokens: Sequence[str]) -> Iterator[Record]:
        """The records of one subject under any of its tokens, by id."""
        marks = ", ".join("?" * len(tokens))
        return self._stream(f"{_SELECT} recorded WHERE subject IN ({marks}) ORDER BY id", tokens)

    def forget(self, tokens: Sequence[str], now: datetime) -> dict[str, int]:
        """Erase a subject's rows, and bar late ones."""
        with self._file.writing() as connection:
            return erasure.erase(connection, tokens, now)

    def scrub(self) -> None:
        """Write the file anew, which has copies of erased rows until then."""
        with self._file.working() as connection:
            erasure.write_anew(connection)

    def drop_before(self, time: datetime) -> dict[str, int]:
        """Delete the days before the one that `time` is in, UTC."""
        with self._file.writing() as connection:
            return erasure.drop_days(connection, time)

    def note(self, event: Event) -> None:
        """Write down something that was done to the log."""
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO events VALUES (?, ?, ?)",
                (milliseconds(event.time), event.action, encode(event.details).decode()),
            )

    def events(self) -> list[Event]:
        """What was done to the log, the first one first."""
        rows = self._rows("SELECT time_ms, action, details FROM events ORDER BY rowid", ())
        return [Event(from_milliseconds(t), a, msgspec.json.decode(d)) for t, a, d in rows]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _stream(self, statement: str, parameters: Sequence[object]) -> Iterator[Record]:
        return map(to_record, self._rows(statement, parameters))

    def _rows(self, statement: str, parameters: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        with self._file.working() as connection:
            yield from connection.execute(statement, parameters)


def _view(window: Window) -> str:
    return "shadows" if window.is_shadow else "predictions"


def _where(window: Window, table: str = "") -> tuple[str, list[str]]:
    where, parameters = [f"{table}id >= ?", f"{table}id < ?"], [window.first_id, window.end_id]
    for column, value in (("model", window.model), ("version", window.version)):
        if value is not None:
            where.append(f"{table}{column} = ?")
            parameters.append(value)
    return " AND ".join(where), parameters
