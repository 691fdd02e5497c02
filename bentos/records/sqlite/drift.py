"""Drift results in the SQLite file of the log, in two tables of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from bentos.errors import StoreDown, StoreReadOnly
from bentos.ids import from_milliseconds, milliseconds
from bentos.records.drift import CONCLUSIVE, DriftResult, FeatureResult
from bentos.records.sqlite.file import connect, name_error

_TABLES = """
CREATE TABLE IF NOT EXISTS drift_runs (
    run TEXT NOT NULL, time_ms INTEGER NOT NULL, job TEXT NOT NULL,
    model TEXT NOT NULL, version TEXT NOT NULL,
    outcome TEXT NOT NULL, reason TEXT NOT NULL,
    since_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL,
    row_count INTEGER NOT NULL, sampled INTEGER NOT NULL, seed INTEGER NOT NULL,
    signal INTEGER NOT NULL, retraining TEXT NOT NULL,
    PRIMARY KEY (model, version, run)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS drift_features (
    model TEXT NOT NULL, version TEXT NOT NULL, run TEXT NOT NULL,
    place INTEGER NOT NULL, feature TEXT NOT NULL, kind TEXT NOT NULL, test TEXT NOT NULL,
    statistic REAL, p_value REAL, effect REAL, drifted INTEGER NOT NULL, missing_rate REAL,
    PRIMARY KEY (model, version, run, place)
) STRICT, WITHOUT ROWID;
"""
# Columns that came later, with what the rows of before have in them.
_ADDED = {
    "reference": ("TEXT NOT NULL DEFAULT 'training'", "'training'"),
    "distinct_rows": ("INTEGER NOT NULL DEFAULT 0", "0"),
    "accepted": ("INTEGER NOT NULL DEFAULT 0", "0"),
}
_COLUMNS = (
    "run", "time_ms", "job", "model", "version", "outcome", "reason", "since_ms", "until_ms",
    "row_count", "sampled", "seed", "signal", "retraining",
)  # fmt: skip
_INSERT_RUN = (
    f"INSERT INTO drift_runs ({', '.join((*_COLUMNS, *_ADDED))}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join('?' * (len(_COLUMNS) + len(_ADDED)))}) ON CONFLICT DO NOTHING"
)
_INSERT_FEATURE = f"INSERT INTO drift_features VALUES ({', '.join('?' * 12)})"  # noqa: S608 - the same
_OF_WINDOWS = """
FROM drift_runs WHERE job = ? AND model = ? AND version = ? AND until_ms <= ?
"""
_LATEST_FIRST = "ORDER BY until_ms DESC, time_ms DESC, run DESC"
_CONCLUSIVE = f"AND outcome IN ({', '.join('?' * len(CONCLUSIVE))})"
_FEATURES = """
SELECT feature, kind, test, statistic, p_value, effect, drifted, missing_rate
FROM drift_features WHERE model = ? AND version = ? AND run = ? ORDER BY place
"""


class SqliteDriftLog:
    """Drift results in one file; each call is a connection and a transaction of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def prepare(self) -> None:
        """Make or update the tables. Raises StoreDown where there is no log."""
        self._check_there()
        with self._working() as connection:
            try:
                _make_tables(connection)
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorname", "").startswith("SQLITE_READONLY"):
                    raise StoreReadOnly(f"{self._path.name} is read-only") from None
                raise

    def check(self) -> None:
        """Raises StoreDown where there is no log, or it cannot be read."""
        self._check_there()
        with self._working() as connection:
            _list_columns(connection)

    def _check_there(self) -> None:
        if not self._path.is_file():
            # An empty file of ours would hide that the job looks in the wrong place.
            raise StoreDown(f"there is no log at {self._path.name}: did the service write one?")

    def write(self, result: DriftResult) -> None:
        """Store one result; one that is stored already stays as it is."""
        key = (result.model, result.version, result.run)
        row = (
            result.run,
            milliseconds(result.time),
            result.job,
            result.model,
            result.version,
            result.outcome,
            result.reason,
            milliseconds(result.since),
            milliseconds(result.until),
            result.rows,
            result.sampled,
            result.seed,
            result.signal,
            result.retraining,
            result.reference,
            result.distinct,
            result.accepted,
        )
        features = [
            (
                *key,
                place,
                item.feature,
                item.kind,
                item.test,
                item.statistic,
                item.p_value,
                item.effect,
                item.drifted,
                item.missing_rate,
            )
            for place, item in enumerate(result.features)
        ]
        with self._working() as connection:
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute(_INSERT_RUN, row).rowcount:
                connection.executemany(_INSERT_FEATURE, features)
            connection.execute("COMMIT")

    def last(
        self, job: str, model: str, version: str, count: int, until: datetime | None = None
    ) -> list[DriftResult]:
        """A job's last results of a version, with their features."""
        with self._working() as connection:
            if not (select := _select(connection)):
                return []
            rows = connection.execute(
                f"{select} {_LATEST_FIRST} LIMIT ?", (job, model, version, _end(until), count)
            ).fetchall()
            return [
                _to_result(row, connection.execute(_FEATURES, (model, version, row[0])).fetchall())
                for row in rows
            ]

    def conclusive(
        self, job: str, model: str, version: str, until: datetime | None = None
    ) -> Iterator[DriftResult]:
        """A job's results of a version that found drift or none, without features."""
        with self._working() as connection:
            if not (select := _select(connection)):
                return
            for row in connection.execute(
                f"{select} {_CONCLUSIVE} {_LATEST_FIRST}",
                (job, model, version, _end(until), *CONCLUSIVE),
            ):
                yield _to_result(row, [])

    def close(self) -> None:
        """Nothing is held between calls."""

    @contextmanager
    def _working(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(connect(self._path)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise StoreDown(name_error(self._path, error)) from None


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.split(";"):
        connection.execute(statement)
    there = _list_columns(connection)
    for name, (kind, _) in _ADDED.items():
        if name not in there:
            connection.execute(f"ALTER TABLE drift_runs ADD COLUMN {name} {kind}")
    # Something to write: where all is there already, nothing would show that the file is read-only.
    connection.execute("UPDATE drift_runs SET run = run WHERE false")
    connection.execute("COMMIT")


def _list_columns(connection: sqlite3.Connection) -> set[str]:
    return {row[1] for row in connection.execute("PRAGMA table_info(drift_runs)")}


def _select(connection: sqlite3.Connection) -> str:
    """What reads results; empty where there is no table of them, as in a log only ever read."""
    there = _list_columns(connection)
    if not there:
        return ""
    added = (name if name in there else empty for name, (_, empty) in _ADDED.items())
    return f"SELECT {', '.join((*_COLUMNS, *added))} {_OF_WINDOWS}"


def _end(until: datetime | None) -> int:
    # Without an end: the largest integer of SQLite, later than any time.
    return 2**63 - 1 if until is None else milliseconds(until)


def _to_result(row: tuple[Any, ...], features: list[tuple[Any, ...]]) -> DriftResult:
    run, time, job, model, version, outcome, reason, since, until, *rest = row
    rows, sampled, seed, signal, retraining, reference, distinct, accepted = rest
    return DriftResult(
        run,
        from_milliseconds(time),
        job,
        model,
        version,
        outcome,
        reason,
        from_milliseconds(since),
        from_milliseconds(until),
        rows,
        sampled,
        seed,
        bool(signal),
        retraining,
        reference,
        distinct,
        bool(accepted),
        tuple(_to_feature(*item) for item in features),
    )


def _to_feature(feature: str, kind: str, test: str, *numbers: Any) -> FeatureResult:
    statistic, p_value, effect, drifted, missing_rate = numbers
    return FeatureResult(
        feature, kind, test, statistic, p_value, effect, bool(drifted), missing_rate
    )
