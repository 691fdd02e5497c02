"""Rows that leave the log in PostgreSQL: one subject's, and those of past days.

All of it works on one connection that the store gives. A retention detaches a partition and
then drops it. One that was cut short in between leaves a table that no query of the log reaches,
so a search for a subject reads that table too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from bentos.ids import from_milliseconds, milliseconds
from bentos.records.postgres import rows as row_codec
from bentos.records.postgres import schema, session
from bentos.records.postgres.session import Connection
from bentos.records.record import Record

# Predictions and outcomes of some subjects. A CTE that changes rows runs once.
_ERASE = """
WITH erased AS (
    DELETE FROM tabserve.predictions WHERE subject = ANY(%s)
    RETURNING time, id, tableoid::regclass::text AS part
), also AS (
    DELETE FROM tabserve.outcomes AS outcome USING erased
    WHERE outcome.time = erased.time AND outcome.id = erased.id
    RETURNING outcome.tableoid::regclass::text AS part
)
SELECT (SELECT count(*) FROM erased), (SELECT count(*) FROM also),
    ARRAY(SELECT part FROM erased UNION SELECT part FROM also)
"""

# Every table that is or was a partition: a drop that was cut short leaves one detached.
_PARTITIONS = """
SELECT relname, substring(relname FROM '^[a-z]+'), inhparent IS NOT NULL, inhdetachpending
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
LEFT JOIN pg_inherits ON inhrelid = pg_class.oid
WHERE nspname = 'tabserve' AND relkind = 'r' AND relname ~ '^(predictions|outcomes)_[0-9]{8}$'
AND right(relname, 8) < %s ORDER BY relname
"""
# Those of predictions that are none now: no query of the log reaches their rows.
_DETACHED = """
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = 'tabserve' AND relkind = 'r' AND relname ~ '^predictions_[0-9]{8}$'
AND NOT tabserve.is_attached(relname) ORDER BY relname
"""
# A retention holds this lock alone while it works; none begins while another session shares it.
_RETENTION = "hashtextextended('tabserve.drop_before', 0)"


def read_subject(connection: Connection, tokens: Sequence[str]) -> Iterator[Record]:
    """The records of one subject by id, streaming; a retention at work is waited for."""
    with connection.transaction():
        connection.execute(f"SELECT pg_advisory_xact_lock_shared({_RETENTION})".encode())
        detached = [name for (name,) in connection.execute(_DETACHED.encode()).fetchall()]
        # From the tables, for every role: the view has no subjects.
        found = " UNION ALL ".join(
            f"SELECT {row_codec.COLUMNS} FROM tabserve.{name} WHERE subject = ANY(%(tokens)s)"  # noqa: S608 - names of ours, read from the catalogue
            for name in ("predictions", *detached)
        )
        columns = row_codec.selected(sees_all=True)
        statement = f"SELECT {columns} FROM ({found}) AS found ORDER BY time, id"  # noqa: S608 - our own text
        rows = session.stream(connection, statement.encode(), {"tokens": list(tokens)})
        yield from map(row_codec.to_record, rows)


def bar(connection: Connection, tokens: Sequence[str], now: datetime) -> None:
    """Let no row of a subject in that was made before `now`."""
    until = from_milliseconds(milliseconds(now))
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO tabserve.erasures VALUES (%s, %s) ON CONFLICT (subject) "
            "DO UPDATE SET until = greatest(erasures.until, excluded.until)",
            # In one order: two erasures of one subject must not wait for each other.
            [(token, until) for token in sorted(tokens)],
        )
    with connection.transaction():
        # Writers that began before the mark was there have not seen it: wait for them, so
        # that their rows are erased as well. Later ones see it.
        connection.execute("LOCK TABLE ONLY tabserve.predictions IN SHARE MODE")


def erase(connection: Connection, tokens: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Erase a subject's rows; gives how many, by kind, and the partitions that they were in."""
    with connection.transaction():
        connection.execute("SET LOCAL statement_timeout = 0")
        _attach_again(connection)
        # Outcomes on their way are stored before the erasure looks, or not at all.
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('tabserve.forget', 0))")
        row = connection.execute(_ERASE.encode(), [list(tokens)]).fetchone()
    predictions, outcomes, parts = row or (0, 0, [])
    return {"predictions": predictions, "outcomes": outcomes}, parts


def vacuum(connection: Connection, parts: Sequence[str]) -> None:
    """Make free space of deleted rows, which are whole in their pages until then.

    VACUUM FULL would write a table without them, and keep everybody out meanwhile.
    """
    connection.execute("SET statement_timeout = 0")
    for part in parts:
        connection.execute(f"VACUUM {part}".encode())


def drop_days(connection: Connection, day: datetime) -> dict[str, int]:
    """Drop the partitions of the days before one; gives how many rows, by kind, and partitions.

    The connection keeps the lock and the settings: it must be closed afterwards.
    """
    dropped = {"predictions": 0, "outcomes": 0, "partitions": 0}
    connection.execute("SET statement_timeout = 0")
    connection.execute(f"SELECT pg_advisory_lock({_RETENTION})".encode())
    for name, parent, is_attached, is_pending in connection.execute(
        _PARTITIONS.encode(), [f"{day:%Y%m%d}"]
    ).fetchall():
        if is_attached:
            how = "FINALIZE" if is_pending else "CONCURRENTLY"
            connection.execute(
                f"ALTER TABLE tabserve.{parent} DETACH PARTITION tabserve.{name} {how}".encode()
            )
        # Detached, it gets no more rows: the count is what is dropped.
        row = connection.execute(f"SELECT count(*) FROM tabserve.{name}".encode())  # noqa: S608 - a name of ours, read from the catalogue
        dropped[parent] += (row.fetchone() or (0,))[0]
        connection.execute(f"DROP TABLE tabserve.{name}".encode())
        dropped["partitions"] += 1
    connection.execute("DELETE FROM tabserve.erasures WHERE until < %s", [day])
    return dropped


def _attach_again(connection: Connection) -> None:
    # What a retention detached and did not drop. One that is at work is waited for.
    names = connection.execute(_DETACHED.encode()).fetchall()
    dates = [datetime.strptime(name[-8:], "%Y%m%d").date() for (name,) in names]
    if dates:
        schema.make_partitions(connection, dates)
