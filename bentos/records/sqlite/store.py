"""The log in one SQLite file: for one machine, any number of workers.

Write-ahead logging lets readers and the writer work side by side; a busy file is waited
for. Rows of one write are one block (`blocks`). Ids begin with the time, so the index of the
blocks' first ids is that of every window.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
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
from bentos.records.request import RecordedRequest
from bentos.records.sqlite import erasure
from bentos.records.sqlite import outcomes as outcome_rows
from bentos.records.sqlite.blocks import Rows
from bentos.records.sqlite.file import LogFile, find_reading, name_error
from bentos.records.sqlite.reading import SELECT, Finder, read_blocks, read_rows, where
from bentos.records.sqlite.rows import Kind, of_records, of_requests
from bentos.records.sqlite.schema import check_schema, migrate
from bentos.records.sqlite.selection import count_versions, pick
from bentos.records.sqlite.writing import insert, make_ready


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
        self._insert(of_records(records))

    def write_requests(self, requests: Sequence[RecordedRequest], *, is_retry: bool) -> None:
        """As `write`, without a record for each row."""
        self._insert(of_requests(requests))

    def _insert(self, kinds: Mapping[Kind, Rows]) -> None:
        # Before the transaction: others wait for its end.
        ready = make_ready(kinds)
        with self._file.writing() as connection:
            allowed = erasure.pick_allowed(connection, kinds)
            insert(connection, ready if allowed is kinds else make_ready(allowed))

    def read(self, window: Window) -> Iterator[Record]:
        """The records of a window by id, streaming."""
        condition, parameters = where(window)
        with self._file.working() as connection:
            statement = f"{SELECT} WHERE {condition} ORDER BY first_id"
            yield from read_blocks(connection.execute(statement, parameters), window)

    def get(self, prediction_id: str) -> Record | None:
        """One record by its id."""
        with self._file.reading() as connection:
            found = Finder(connection).find(prediction_id)
            return None if found is None else read_rows(connection, [found[:2]])[0]

    def versions(self, window: Window) -> list[Version]:
        """Which model versions made predictions in a window, and how many."""
        with self._file.working() as connection:
            return count_versions(connection, window)

    def sample(self, window: Window, rows: int, seed: int) -> list[Record]:
        """At most so many records of a window, picked by the random end of their ids."""
        with self._file.reading() as connection:
            return read_rows(connection, pick(connection, window, rows, seed))

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
        with self._file.reading() as connection:
            finder = Finder(connection)
            found = {name: finder.find(name) for name in sorted(ids)}
        return {
            name: (place.model, place.version)
            for name, place in found.items()
            if place is not None and not place.is_shadow
        }

    def write_outcomes(self, outcomes: Sequence[tuple[str, str, str]]) -> list[OutcomeStatus]:
        """Store outcomes `(id, outcome, request_id)`; gives for each what became of it."""
        with self._file.writing() as connection:
            return outcome_rows.write_outcomes(connection, outcomes)

    def outcomes(self, window: Window) -> Iterator[Outcome]:
        """The last revision of each outcome of a window's predictions, by id, streaming."""
        with self._file.working() as connection:
            if window.is_shadow:
                shadows = self.read(window)
                yield from outcome_rows.read_outcomes_of_shadows(connection, shadows)
            else:
                yield from outcome_rows.read_outcomes(connection, window)

    def revisions(self, prediction_id: str) -> list[Outcome]:
        """Every revision of one prediction's outcome, the first one first."""
        rows = self._rows(outcome_rows.SELECT_REVISIONS, (prediction_id,))
        return [to_outcome(row) for row in rows]

    def of_subject(self, tokens: Sequence[str]) -> Iterator[Record]:
        """The records of one subject under any of its tokens, by id."""
        marks = ", ".join("?" * len(tokens))
        mine = f"SELECT block FROM subjects WHERE subject IN ({marks})"  # noqa: S608 - only question marks
        with self._file.working() as connection:
            statement = f"{SELECT} WHERE block IN ({mine}) ORDER BY first_id"
            # Answers and shadow rows: a window has one of them, its bounds are for both.
            records = read_blocks(connection.execute(statement, tokens), Window())
            yield from (record for record in records if record.subject in tokens)

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

    def _rows(self, statement: str, parameters: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        with self._file.working() as connection:
            yield from connection.execute(statement, parameters)
