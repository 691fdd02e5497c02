"""Drift results in the PostgreSQL of the log, in tables that `migrations/*_drift*.sql` make.

It works for members of `tabserve_drift`, who may read and add results, and change none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

from bentos.errors import StoreReadOnly
from bentos.records.drift import CONCLUSIVE, DriftResult, FeatureResult
from bentos.records.postgres import schema, session
from bentos.records.postgres.session import Connection

_COLUMNS = (
    "run, time, job, model, version, outcome, reason, since, until, row_count, sampled, seed, "
    "signal, retraining, reference, distinct_rows, accepted"
)
_INSERT_RUN = f"""
INSERT INTO tabserve.drift_runs ({_COLUMNS}) VALUES (
    %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s
) ON CONFLICT DO NOTHING
"""  # noqa: S608 - our own names
_INSERT_FEATURE = """
INSERT INTO tabserve.drift_features VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_SELECT = f"""
SELECT {_COLUMNS} FROM tabserve.drift_runs
WHERE job = %s AND model = %s AND version = %s AND until <= coalesce(%s, 'infinity'::timestamptz)
"""  # noqa: S608 - our own names
_LATEST_FIRST = 'ORDER BY until DESC, time DESC, run COLLATE "C" DESC'
_LAST = f"{_SELECT} {_LATEST_FIRST} LIMIT %s"
_CONCLUSIVE = f"{_SELECT} AND outcome = ANY(%s) {_LATEST_FIRST}"
# A standby or a role that only reads is seen before anything is compared.
_CAN_WRITE = """
SELECT has_table_privilege('tabserve.drift_runs', 'INSERT')
AND has_table_privilege('tabserve.drift_features', 'INSERT')
AND NOT current_setting('transaction_read_only')::bool
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
            row = connection.execute(_CAN_WRITE).fetchone()
        if row is None or not row[0]:
            raise StoreReadOnly("PostgreSQL lets this role read the log and write no drift results")

    def check(self) -> None:
        """Raises StoreDown where there is no log of this schema."""
        with self._working() as connection:
            schema.check_schema(connection)

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

    def last(
        self, job: str, model: str, version: str, count: int, until: datetime | None = None
    ) -> list[DriftResult]:
        """A job's last results of a version, with their features."""
        with self._working() as connection:
            if not _can_read(connection):
                return []
            rows = connection.execute(_LAST, (job, model, version, until, count)).fetchall()
            return [_to_result(connection, row) for row in rows]

    def conclusive(
        self, job: str, model: str, version: str, until: datetime | None = None
    ) -> Iterator[DriftResult]:
        """A job's results of a version that found drift or none, without features."""
        with self._working() as connection, connection.cursor() as cursor:
            if not _can_read(connection):
                return
            for row in cursor.stream(_CONCLUSIVE, (job, model, version, until, list(CONCLUSIVE))):
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


def _can_read(connection: Connection) -> bool:
    """Whether this role may read results; a role that may not has no history to look at."""
    row = connection.execute(
        "SELECT has_table_privilege('tabserve.drift_runs', 'SELECT')"
    ).fetchone()
    return bool(row and row[0])


def _to_result(connection: Connection, row: tuple[Any, ...]) -> DriftResult:
    run, _, _, model, version, *_ = row
    features = connection.execute(_FEATURES, (model, version, run)).fetchall()
    return DriftResult(*row, tuple(FeatureResult(*item) for item in features))  # type: ignore[call-arg]  # the columns are its fields
