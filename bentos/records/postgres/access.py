"""How the store reaches its database: one connection that is made anew where it is lost.

Streams, and what holds locks for long, get connections of their own: what the service writes
meanwhile is committed at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from datetime import date, timedelta
from typing import Any

from bentos.errors import RowsRefused
from bentos.records.postgres import schema, session
from bentos.records.postgres.session import Connection

_FIRST_DAY = date(1970, 1, 1)


class Access:
    """Connections to one database, and what is known of it as long as the main one lasts."""

    def __init__(self, url: str) -> None:
        """Raises ConfigurationError for what is no URL of PostgreSQL."""
        self._parameters = session.read_url(url)
        self._connection: Connection | None = None
        # Days whose partitions are known to be there, counted from 1970.
        self._days: set[int] = set()

    @contextmanager
    def working(self, *, is_patient: bool = False) -> Iterator[Connection]:
        """The main connection; unless `is_patient`, it is cut after `PATIENCE_SECONDS`."""
        try:
            with session.naming_errors():
                connection = self._connection
                if connection is None or not session.is_usable(connection):
                    self.close()
                    connection = session.connect(self._parameters)
                    self._connection = connection
                with nullcontext() if is_patient else session.limit(connection):
                    yield connection
        except RowsRefused:
            # The server has refused the rows and waits for the next statement.
            raise
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The main connection in a transaction whose statements may take as long as they need."""
        with self.working(is_patient=True) as connection, connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0")
            yield connection

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """A connection of its own, closed afterwards with its locks and settings."""
        with (
            session.naming_errors(),
            closing(session.connect(self._parameters)) as connection,
        ):
            yield connection

    def stream(self, statement: bytes, parameters: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, on a connection of its own."""
        with self.alone() as connection:
            connection.execute("SET statement_timeout = 0")
            with connection.transaction():
                yield from session.stream(connection, statement, parameters)

    def make_days(self, connection: Connection, days: set[int]) -> None:
        """Make the partitions of some days, counted from 1970, unless they are known."""
        if missing := days - self._days:
            schema.make_partitions(
                connection, [_FIRST_DAY + timedelta(day) for day in sorted(missing)]
            )
            self._days |= missing

    def forget_days(self) -> None:
        """Know of no partition: some may be gone."""
        self._days.clear()

    def close(self) -> None:
        """Close the main connection; idempotent."""
        connection, self._connection = self._connection, None
        self._days.clear()
        if connection is not None:
            connection.close()
