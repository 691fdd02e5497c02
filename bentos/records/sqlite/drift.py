"""Drift results in the SQLite file of the log, in two tables of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bentos.errors import StoreDown
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
_INSERT_RUN = f"INSERT INTO drift_runs VALUES ({', '.join('?' * 14)}) ON CONFLICT DO NOTHING"  # noqa: S608 - only question marks
_INSERT_FEATURE = f"INSERT INTO drift_features VALUES ({', '.join('?' * 12)})"  # noqa: S608 - the same
_LAST = """
SELECT * FROM drift_runs WHERE job = ? AND model = ? AND version = ?
ORDER BY time_ms DESC, run DESC LIMIT ?
"""
_CONCLUSIVE = f"""
SELECT * FROM drift_runs WHERE job = ? AND model = ? AND version = ?
AND outcome IN ({", ".join("?" * len(CONCLUSIVE))}) ORDER BY time_ms DESC, run DESC
"""  # noqa: S608 - only question marks
_FEATURES = """
SELECT feature, kind, test, statistic, p_value, effect, drifted, missing_rate
FROM drift_features WHERE model = ? AND version = ? AND run = ? ORDER BY place
"""


class SqliteDriftLog:
    """Drift results in one file; each call is a connection and a transaction of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def prepare(self) -> None:
        """Make the tables where they are missing. Raises StoreDown where there is no log."""
        if not self._path.is_file():
            # An empty file of ours would hide that the job looks in the wrong place.
            raise StoreDown(f"there is no log at {self._path.name}: did the service write one?")
        with self._working() as connection:
            connection.executescript(_TABLES)

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

    def last(self, job: str, model: str, version: str, count: int) -> list[DriftResult]:
        """A job's last results of a version, the latest first, with their features."""
        with self._working() as connection:
            rows = connection.execute(_LAST, (job, model, version, count)).fetchall()
            return [
                _to_result(row, connection.execute(_FEATURES, (model, version, row[0])).fetchall())
                for row in rows
            ]

    def conclusive(self, job: str, model: str, version: str) -> Iterator[DriftResult]:
        """A job's results that found drift or none, latest first, without features."""
        with self._working() as connection:
            for row in connection.execute(_CONCLUSIVE, (job, model, version, *CONCLUSIVE)):
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


def _to_result(row: tuple[Any, ...], features: list[tuple[Any, ...]]) -> DriftResult:
    run, time, job, model, version, outcome, reason, since, until, *rest = row
    rows, sampled, seed, signal, retraining = rest
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
        tuple(_to_feature(*item) for item in features),
    )


def _to_feature(feature: str, kind: str, test: str, *numbers: Any) -> FeatureResult:
    statistic, p_value, effect, drifted, missing_rate = numbers
    return FeatureResult(
        feature, kind, test, statistic, p_value, effect, bool(drifted), missing_rate
    )
