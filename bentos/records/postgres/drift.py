"""Drift results in the PostgreSQL of the log, in the tables of `migrations/0003_drift.sql`.

It works for members of `tabserve_drift`, who may read and add results, and change none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from bentos.records.drift import CONCLUSIVE, DriftResult, FeatureResult
from bentos.records.postgres import schema, session
from bentos.records.postgres.session import Connection

_INSERT_RUN = """
INSERT INTO tabserve.drift_runs VALUES (
    %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s
) ON CONFLICT DO NOTHING
"""
_INSERT_FEATURE = """
INSERT INTO tabserve.drift_features VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_LAST = """
SELECT * FROM tabserve.drift_runs WHERE job = %s AND model = %s AND version = %s
ORDER BY time DESC, run COLLATE "C" DESC LIMIT %s
"""
_CONCLUSIVE = """
SELECT * FROM tabserve.drift_runs WHERE job = %s AND model = %s AND version = %s
AND outcome = ANY(%s) ORDER BY time DESC, run COLLATE "C" DESC
"""
_FEATURES = """
SELECT feature, kind, test, statistic, p_value, effect, drifted, missing_rate
FROM tabserve.drift_features WHERE model = %s AND version = %s AND run = %s ORDER BY place
"""


class PostgresDriftLog:
    """Drift results in a database; each call is a connection of its own, as they are rare."""

    def __init__(self, url: str) -> None:
        """Raises ConfigurationError for what is no URL of PostgreSQL."""
        self._parameters = session.read_url(url)

    def prepare(self) -> None:
        """Migrate the schema where it is old and this role may."""
        with self._working() as connection:
            schema.bring_up_to_date(connection)

    def write(self, result: DriftResult) -> None:
        """Store one result; one that is stored already stays as it is."""
        row = [
            getattr(result, name) for name in DriftResult.__struct_fields__ if name != "features"
        ]
        key = (result.model, result.version, result.run)
        features = [
            (*key, place, *(getattr(item, name) for name in FeatureResult.__struct_fields__))
            for place, item in enumerate(result.features)
        ]
        with (
            self._working() as connection,
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            if cursor.execute(_INSERT_RUN, row).rowcount:
                cursor.executemany(_INSERT_FEATURE, features)

    def last(self, job: str, model: str, version: str, count: int) -> list[DriftResult]:
        """A job's last results of a version, the latest first, with their features."""
        with self._working() as connection:
            rows = connection.execute(_LAST, (job, model, version, count)).fetchall()
            return [_to_result(connection, row) for row in rows]

    def conclusive(self, job: str, model: str, version: str) -> Iterator[DriftResult]:
        """A job's results that found drift or none, latest first, without features."""
        with self._working() as connection, connection.cursor() as cursor:
            for row in cursor.stream(_CONCLUSIVE, (job, model, version, list(CONCLUSIVE))):
                yield DriftResult(*row)

    def close(self) -> None:
        """Nothing is held between calls."""

    @contextmanager
    def _working(self) -> Iterator[Connection]:
        with (
            session.naming_errors(),
            closing(session.connect(self._parameters)) as connection,
            session.limit(connection),
        ):
            yield connection


def _to_result(connection: Connection, row: tuple[Any, ...]) -> DriftResult:
    run, _, _, model, version, *_ = row
    features = connection.execute(_FEATURES, (model, version, run)).fetchall()
    return DriftResult(*row, tuple(FeatureResult(*item) for item in features))  # type: ignore[call-arg]  # the columns are its fields
