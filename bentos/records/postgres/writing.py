"""New rows on their way into PostgreSQL: binary COPY, and a merge for rows that may be there."""

from __future__ import annotations

from collections.abc import Sequence

from bentos.errors import RowsRefused
from bentos.records.postgres import rows as row_codec
from bentos.records.postgres.session import Connection

_COPY = f"COPY {{}} ({row_codec.COLUMNS}) FROM STDIN (FORMAT BINARY)"
_MAKE_INCOMING = (
    f"CREATE TEMP TABLE IF NOT EXISTS incoming ({row_codec.DEFINITIONS}) ON COMMIT DELETE ROWS"
)
# In the order in which they came, by id: two merges of the same rows then wait for each other's
# rows in one order, and never in a circle.
_TAKE_INCOMING = (
    f"INSERT INTO tabserve.predictions ({row_codec.COLUMNS}) "  # noqa: S608 - our own column names
    f"SELECT {row_codec.COLUMNS} FROM pg_temp.incoming ON CONFLICT DO NOTHING"
)

Rows = Sequence[tuple[object, ...]]


def append(connection: Connection, rows: Rows) -> None:
    """Add rows that are new. Raises UniqueViolation where one is not."""
    _copy(connection, "tabserve.predictions", rows)


def merge(connection: Connection, rows: Rows) -> None:
    """Add the rows that are not there yet, by way of a temporary table."""
    with connection.transaction():
        connection.execute(_MAKE_INCOMING.encode())
        _copy(connection, "pg_temp.incoming", rows)
        connection.execute(_TAKE_INCOMING.encode())


def _copy(connection: Connection, table: str, rows: Rows) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY.format(table).encode()) as copy:
        copy.set_types(row_codec.COPY_TYPES)
        write_row = copy.write_row
        try:
            for row in rows:
                write_row(row)
        except (OverflowError, TypeError, ValueError) as error:
            raise RowsRefused(f"a record cannot be encoded: {type(error).__name__}") from None
