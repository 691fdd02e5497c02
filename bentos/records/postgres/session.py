"""A connection to PostgreSQL that never hangs, and the errors that come out of one."""

from __future__ import annotations

import os
import re
import select
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
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

# Rows that one round trip of a streaming read brings.
_ROWS_AT_ONCE = 2000

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

# What libpq and the server say where no connection comes about, and what we say: their own text
# has host, user and database in it, and there is no SQLSTATE before there is a connection. In
# English, the default of both; other errors are named by their class.
_REFUSALS = (
    ("failed to resolve host", "its host name is not found"),
    ("could not translate host name", "its host name is not found"),
    ("Connection refused", "the connection is refused: no server listens there"),
    ("No such file or directory", "no server listens at that socket"),
    ("timeout expired", "it does not answer in time"),
    ("timed out", "it does not answer in time"),
    ("No route to host", "there is no route to its host"),
    ("Network is unreachable", "there is no route to its host"),
    ("too many connections", "it has too many connections"),
    ("too many clients", "it has too many connections"),
    ("connection slots are reserved", "it has too many connections"),
    ("password authentication failed", "it refuses the login: wrong password or no such role"),
    ("no password supplied", "it wants a password, and there is none"),
    ("is not permitted to log in", "it refuses the login: the role may not log in"),
    ("authentication failed", "it refuses the login"),
    ("pg_hba.conf", "its pg_hba.conf does not let us in"),
    ("permission denied for database", "the role may not connect to this database"),
    ("is not currently accepting connections", "this database takes no connections"),
    ("starting up", "it is starting"),
    ("shutting down", "it is stopping"),
    ("is in recovery mode", "it recovers from a crash"),
    ("but SSL was required", "it has no TLS, and the URL asks for it"),
    ("certificate", "its certificate is not accepted, or ours is not"),
)
# These end with what is missing; a name in front of it may be anything.
_MISSING = (
    (re.compile(r'FATAL: +database ".*" does not exist'), "there is no such database"),
    (re.compile(r'FATAL: +role ".*" does not exist'), "it refuses the login: no such role"),
)

# Classes of errors that lie in the rows: data exceptions, broken constraints, and limits
# of the program (PostgreSQL, "Error Codes"): the next attempt would end no better.
_ROWS = ("22", "23", "54")


def read_url(url: str) -> dict[str, Any]:
    """What a URL says, over our defaults. Raises ConfigurationError, which repeats nothing."""
    try:
        # What the URL leaves out comes from PGPASSWORD and the like, as in PostgreSQL's programs.
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
        raise StoreDown(_explain(error)) from None
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
    """Whether an idle connection is open: a server that stops closes it."""
    if connection.closed:
        return False
    # No statement is under way: data on an idle connection means that the server closed it.
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
        # From here on the descriptor's number may belong to another file.
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
        raise StoreDown(
            "this role of PostgreSQL may not do that with the log: the service needs "
            "tabserve_service, who reads and the drift job tabserve_drift, who migrates, drops, "
            "forgets or exports must be the schema's owner"
        ) from None
    except errors.ReadOnlySqlTransaction:
        raise StoreDown(
            "PostgreSQL is read-only: a standby, or set so (ReadOnlySqlTransaction)"
        ) from None
    except (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedFunction):
        raise StoreDown(
            "a table or function of the log is missing in this database: run `tabserve migrate`, "
            "which makes the schema or says what was dropped"
        ) from None
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


def _explain(error: psycopg.Error) -> str:
    text = str(error)
    for pattern, meaning in _MISSING:
        if pattern.search(text):
            return f"PostgreSQL cannot be used: {meaning}"
    for words, meaning in _REFUSALS:
        if words in text:
            return f"PostgreSQL cannot be used: {meaning}"
    return f"PostgreSQL cannot be reached, or does not let us in: {_name(error)}"


def _name(error: psycopg.Error) -> str:
    name = type(error).__name__
    return name if error.sqlstate is None else f"{name} ({error.sqlstate})"


def stream(
    connection: Connection,
    statement: bytes,
    parameters: Sequence[object] | Mapping[str, object],
) -> Iterator[tuple[Any, ...]]:
    """The rows of a query, some thousand at a time, in the open transaction."""
    with closing(connection.cursor("records", binary=True)) as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        cursor.execute(statement, parameters)
        yield from cursor
