"""The log in one SQLite file: for one machine, any number of workers.

Write-ahead logging lets readers and the writer work side by side; a busy file is waited
for. Ids begin with the time, so the primary key is the index of every window.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import msgspec

from bentos.errors import RowsRefused, StoreDown
from bentos.ids import floor_id, from_milliseconds, milliseconds, start_of_day
from bentos.records.missing import no_log
from bentos.records.record import (
    MOST_REVISIONS,
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
from bentos.records.sqlite.rows import COLUMNS, insert, to_record
from bentos.records.sqlite.schema import check_schema, migrate

# How long a statement waits for another process that writes.
BUSY_SECONDS = 5.0
# The switch to write-ahead logging takes about a millisecond.
_SWITCH_PAUSE_SECONDS = 0.002

# SQLite takes at most 32,766 parameters; a lookup of more ids is done in parts.
_IDS_AT_ONCE = 500

_SELECT = f"SELECT {', '.join(COLUMNS)} FROM predictions"  # noqa: S608 - our own column names

# The last 32 bits of an id are random: beginning at the seed, round the circle.
_SAMPLE = (
    "SELECT id FROM predictions WHERE {where} "
    "ORDER BY substr(id, 29) < ?, substr(id, 29), id LIMIT ?"
)


class SqliteStore:
    """A prediction log in one file."""

    # One commit of some hundred rows costs little more than one of a single row.
    max_rows = 4096
    gather_seconds = 0.0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def prepare(self) -> None:
        """Open the file and bring its schema up to date."""
        with self._working() as connection:
            # Concurrent starts wait here for each other, and the second finds the work done.
            connection.execute("BEGIN IMMEDIATE")
            migrate(connection)
            connection.execute("COMMIT")

    def check(self) -> None:
        """Look at the file's schema, without making or changing a file."""
        if not self._path.is_file():
            raise no_log(f"at {self._path.name}")
        try:
            # Read only: any other program's file stays as it is.
            connection = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=ro", uri=True)
            try:
                check_schema(connection)
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise StoreDown(name_error(self._path, error)) from None

    def register(self, registration: Registration, environment: Environment) -> None:
        """Write down a model version and an environment, unless they are known."""
        with self._writing() as connection:
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
        with self._writing() as connection:
            insert(connection, _without_erased(connection, records))

    def read(self, window: Window) -> Iterator[Record]:
        """The records of a window by id, streaming."""
        where, parameters = _where(window)
        return self._stream(f"{_SELECT} WHERE {where} ORDER BY id", parameters)

    def get(self, prediction_id: str) -> Record | None:
        """One record by its id."""
        return next(self._stream(f"{_SELECT} WHERE id = ?", (prediction_id,)), None)

    def versions(self, window: Window) -> list[Version]:
        """Which model versions made predictions in a window, and how many."""
        where, parameters = _where(window)
        with self._working() as connection:
            rows = connection.execute(
                "SELECT model, version, contract, count(*) FROM predictions "  # noqa: S608 - our own text
                f"WHERE {where} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
                parameters,
            ).fetchall()
        return [Version(*row) for row in rows]

    def sample(self, window: Window, rows: int, seed: int) -> list[Record]:
        """At most so many records of a window, picked by the random end of their ids."""
        where, parameters = _where(window)
        picked = _SAMPLE.format(where=where)
        return list(
            self._stream(
                f"{_SELECT} WHERE id IN ({picked}) ORDER BY id",
                (*parameters, f"{seed % 2**32:08x}", rows),
            )
        )

    def registration(self, model: str, version: str) -> Registration | None:
        """What was registered of a model version."""
        with self._working() as connection:
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
        with self._working() as connection:
            row = connection.execute(
                "SELECT document FROM environments WHERE id = ?", (environment_id,)
            ).fetchone()
        return None if row is None else Environment(environment_id, msgspec.Raw(row[0]))

    def find(self, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Model and version of each prediction that is stored, by its id."""
        found: dict[str, tuple[str, str]] = {}
        with self._working() as connection:
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
        now = milliseconds(datetime.now(UTC))
        with self._writing() as connection:
            return [_write_outcome(connection, *outcome, now) for outcome in outcomes]

    def outcomes(self, window: Window) -> Iterator[Outcome]:
        """The last revision of each outcome of a window's predictions, by id, streaming."""
        where, parameters = _where(window, "predictions.")
        # SQLite gives the other columns of the row that has the maximum.
        rows = self._rows(
            "SELECT outcomes.id, outcome, max(revision), received_ms, outcomes.request_id "  # noqa: S608 - our own text
            f"FROM outcomes JOIN predictions USING (id) WHERE {where} "
            "GROUP BY outcomes.id ORDER BY outcomes.id",
            parameters,
        )
        return (to_outcome(row) for row in rows)

    def revisions(self, prediction_id: str) -> list[Outcome]:
        """Every revision of one prediction's outcome, the first one first."""
        rows = self._rows(
            "SELECT id, outcome, revision, received_ms, request_id FROM outcomes "
            "WHERE id = ? ORDER BY revision",
            (prediction_id,),
        )
        return [to_outcome(row) for row in rows]

    def of_subject(self, tokens: Sequence[str]) -> Iterator[Record]:
        """The records of one subject under any of its tokens, by id."""
        marks = ", ".join("?" * len(tokens))
        return self._stream(f"{_SELECT} WHERE subject IN ({marks}) ORDER BY id", tokens)

    def forget(self, tokens: Sequence[str], now: datetime) -> dict[str, int]:
        """Erase a subject's rows, and bar late ones."""
        marks = ", ".join("?" * len(tokens))
        mine = f"SELECT id FROM predictions WHERE subject IN ({marks})"  # noqa: S608 - only question marks
        with self._writing() as connection:
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

    def scrub(self) -> None:
        """Empty the write-ahead log, which has erased rows until then."""
        with self._working() as connection:
            (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise StoreDown(
                "another process reads the log, and what was erased stays in its write-ahead log "
                "until that is done"
            )

    def drop_before(self, time: datetime) -> dict[str, int]:
        """Delete the days before the one that `time` is in, UTC."""
        day = start_of_day(time)
        end = (floor_id(day),)
        with self._writing() as connection:
            outcomes = connection.execute("DELETE FROM outcomes WHERE id < ?", end).rowcount
            rows = connection.execute("DELETE FROM scored WHERE id < ?", end).rowcount
            connection.execute("DELETE FROM erasures WHERE end_id < ?", end)
        return {"predictions": rows, "outcomes": outcomes}

    def note(self, event: Event) -> None:
        """Write down something that was done to the log."""
        with self._writing() as connection:
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
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _stream(self, statement: str, parameters: Sequence[object]) -> Iterator[Record]:
        return map(to_record, self._rows(statement, parameters))

    def _rows(self, statement: str, parameters: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        with self._working() as connection:
            yield from connection.execute(statement, parameters)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._working() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _working(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._connection or self._open()
            try:
                yield connection
            finally:
                # A stream may be left when the store is closed already.
                if connection is self._connection and connection.in_transaction:
                    connection.execute("ROLLBACK")
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError) as error:
            raise RowsRefused(f"SQLite refuses a row: {_name(error)}") from None
        except (OverflowError, UnicodeEncodeError) as error:
            # Raised before SQLite sees it: a number of more than 64 bits, half a surrogate pair.
            raise RowsRefused(f"SQLite cannot hold a value: {type(error).__name__}") from None
        except sqlite3.Error as error:
            # A file that was replaced or unmounted needs another connection.
            self.close()
            raise StoreDown(name_error(self._path, error)) from None

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreDown(f"the folder of the log cannot be made: {error.strerror}") from None
        # What people sent is nobody else's on this machine, from the file's first moment on.
        with suppress(OSError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(
            self._path, BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            # A row has about a kilobyte: more of them share a page, and none is split.
            connection.execute("PRAGMA page_size = 16384")
            _log_ahead(connection)
            # A commit survives the death of the process; the last ones may not survive the
            # loss of power, which the write-ahead log bears without damage.
            connection.execute("PRAGMA synchronous = NORMAL")
            # Whoever deletes or moves a row overwrites it with zeros; not every build of
            # SQLite does so by itself.
            connection.execute("PRAGMA secure_delete = ON")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection


def _log_ahead(connection: sqlite3.Connection) -> None:
    # Two that switch a new file at once would wait for each other's lock: SQLite tells one of
    # them SQLITE_BUSY at once, whatever its timeout, and it must ask again.
    until = monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > until:
                raise
            sleep(_SWITCH_PAUSE_SECONDS)


def _where(window: Window, table: str = "") -> tuple[str, list[str]]:
    where, parameters = [f"{table}id >= ?", f"{table}id < ?"], [window.first_id, window.end_id]
    for column, value in (("model", window.model), ("version", window.version)):
        if value is not None:
            where.append(f"{table}{column} = ?")
            parameters.append(value)
    return " AND ".join(where), parameters


def _write_outcome(
    connection: sqlite3.Connection, name: str, outcome: str, request_id: str, now_ms: int
) -> OutcomeStatus:
    # Nobody else writes meanwhile: the prediction that is there stays until this is done.
    if connection.execute("SELECT 1 FROM scored WHERE id = ?", (name,)).fetchone() is None:
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


def _without_erased(connection: sqlite3.Connection, records: Sequence[Record]) -> Sequence[Record]:
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


def name_error(path: Path, error: sqlite3.Error) -> str:
    """Say what SQLite cannot do, without its own words: they may quote a value."""
    return f"SQLite cannot work on {path.name}: {_name(error)}"


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", type(error).__name__)
