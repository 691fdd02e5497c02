"""A connection to PostgreSQL that never hangs, and the errors that come out of one."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Timer
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from bentos.errors import ConfigurationError, RowsRefused, StoreDown

Connection = psycopg.Connection[tuple[Any, ...]]

# How long the server may take for one statement of the service, and how long we wait for
# it at most: a server that hangs does not end its statements either.
STATEMENT_SECONDS = 10
PATIENCE_SECONDS = 15

# DETACH PARTITION ... CONCURRENTLY came with PostgreSQL 14.
_LEAST_VERSION = 140000

# A URL may say otherwise. A dead network is noticed after 15 seconds without an answer.
_DEFAULTS = {
    "connect_timeout": 5,
    "application_name": "tabserve",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_SETUP = """
SET statement_timeout = '{}s';
SET timezone = 'UTC';
SET client_min_messages = 'warning';
"""

# Classes of errors that lie in the rows: data exceptions, broken constraints, and limits
# of the program (PostgreSQL, "Error Codes"): the next attempt would end no better.
_ROWS = ("22", "23", "54")


def read_url(url: str) -> dict[str, Any]:
    """What a URL says, over our defaults. Raises ConfigurationError, which repeats nothing."""
    try:
        # As PostgreSQL's programs do, for what the URL leaves out: PGPASSWORD and the like.
        return {**_DEFAULTS, **conninfo_to_dict(url)}
    except psycopg.Error:
        raise ConfigurationError("the store URL is no PostgreSQL URL that libpq reads") from None


def connect(parameters: dict[str, Any]) -> Connection:
    """Connect; every statement is a transaction of its own unless one is opened."""
    # Prepared statements would keep plans for partitions of yesterday, and break behind a
    # pooler that hands out another connection for each transaction.
    try:
        connection: Connection = psycopg.connect(
            **parameters, autocommit=True, prepare_threshold=None, client_encoding="utf8"
        )
    except psycopg.Error as error:
        # libpq's text has host and user in it.
        raise StoreDown(
            f"PostgreSQL cannot be reached, or does not let us in: {_name(error)}"
        ) from None
    try:
        with limit(connection):
            connection.execute(_SETUP.format(STATEMENT_SECONDS).encode())
        info = connection.info
        if info.server_version < _LEAST_VERSION:
            raise StoreDown("the log needs PostgreSQL 14 or newer")
        if info.parameter_status("server_encoding") != "UTF8":
            raise StoreDown("the log needs a database whose encoding is UTF8")
    except BaseException:
        connection.close()
        raise
    return connection


def is_usable(connection: Connection) -> bool:
    """Whether an idle connection looks alive: a server that ended has said so."""
    if connection.closed:
        return False
    # Nothing is under way, so whatever there is to read is a farewell.
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


@contextmanager
def limit(connection: Connection) -> Iterator[None]:
    """Cut the connection after `PATIENCE_SECONDS`; what is done fails as on any lost one."""
    lock, is_over = Lock(), False

    def cut() -> None:
        with lock:
            if not is_over:
                # A second descriptor of the same socket: the connection keeps its own.
                with (
                    suppress(OSError, psycopg.Error),
                    socket.socket(fileno=os.dup(connection.fileno())) as line,
                ):
                    line.shutdown(socket.SHUT_RDWR)

    timer = Timer(PATIENCE_SECONDS, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        # From here on the number may be that of another file.
        with lock:
            is_over = True


@contextmanager
def naming_errors() -> Iterator[None]:
    """Turn psycopg's errors into RowsRefused and StoreDown.

    Their texts are left out: they quote rows, and say where the server is.
    """
    try:
        yield
    except errors.InsufficientPrivilege:
        raise StoreDown("this role of PostgreSQL may not do that with the log") from None
    except (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedFunction):
        raise StoreDown("the log has no schema in this database: run `tabserve migrate`") from None
    except UnicodeEncodeError:
        raise RowsRefused("PostgreSQL takes no text with half a surrogate pair") from None
    except psycopg.Error as error:
        if _is_of_rows(error):
            raise RowsRefused(f"PostgreSQL refuses a row: {_name(error)}") from None
        raise StoreDown(f"PostgreSQL cannot work: {_name(error)}") from None


def _is_of_rows(error: psycopg.Error) -> bool:
    if isinstance(error, errors.CheckViolation):
        # Our tables have no checks: a partition is missing.
        return False
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_ROWS)
    # Before anything was sent.
    return isinstance(error, psycopg.DataError)


def _name(error: psycopg.Error) -> str:
    name = type(error).__name__
    return name if error.sqlstate is None else f"{name} ({error.sqlstate})"
