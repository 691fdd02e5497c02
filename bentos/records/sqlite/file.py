"""The log's one file: how it is made and opened, and that it is still the one at its path.

A program that holds a file open goes on to write into it after somebody moved or deleted it.
So each use compares the file at the path with the open one, a write does so again after its
commit, and a file that is not there any more is left: the caller gets StoreDown, keeps its
rows, and opens what is at the path then.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from bentos.errors import RowsRefused, StoreDown

# How long a statement waits for another process that writes.
BUSY_SECONDS = 5.0
# The switch to write-ahead logging takes about a millisecond.
_SWITCH_PAUSE_SECONDS = 0.002

# SQLite's own files next to a database.
_COMPANIONS = ("-wal", "-shm", "-journal")


class LogFile:
    """The file of a log, with the connection of one thread to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    @contextmanager
    def working(self) -> Iterator[sqlite3.Connection]:
        """Open the file if need be, and turn what fails into StoreDown or RowsRefused."""
        try:
            connection = self._current()
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
            raise StoreDown(name_error(self.path, error)) from None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read several times what was there at one moment."""
        with self.working() as connection:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Work in one transaction. Raises StoreDown where the file was moved meanwhile."""
        with self.working() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
            self._check_there(connection)

    def close(self) -> None:
        """Close the file; idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _current(self) -> sqlite3.Connection:
        if self._connection is None:
            return self._open()
        self._check_there(self._connection)
        return self._connection

    def _check_there(self, connection: sqlite3.Connection) -> None:
        if _identify(self.path) == self._identity:
            return
        # The last commits may be in the write-ahead log alone, which stays here or is made anew
        # by the next file: this brings them into the file, wherever that is now.
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.close()
        raise StoreDown(
            f"its file {self.path.name} was moved or deleted while it was open; "
            "the next write makes a new one"
        )

    def _open(self) -> sqlite3.Connection:
        _make(self.path)
        identity = _identify(self.path)
        connection = connect(self.path)
        try:
            if not is_writable(self.path):
                # A reader can do without: each of these would write.
                self._connection, self._identity = connection, identity
                return connection
            # A row has about a kilobyte: more of them share a page, and none is split.
            connection.execute("PRAGMA page_size = 16384")
            _log_ahead(connection)
            # A commit survives the death of the process; the last ones may not survive the
            # loss of power, which the write-ahead log bears without damage.
            connection.execute("PRAGMA synchronous = NORMAL")
            # A row that is deleted is overwritten with zeros; not every build of SQLite does so by
            # itself.
            connection.execute("PRAGMA secure_delete = ON")
            if identity is None or _identify(self.path) != identity:
                raise StoreDown(f"its file {self.path.name} is being replaced")
        except BaseException:
            connection.close()
            raise
        self._connection, self._identity = connection, identity
        return connection


def connect(path: Path) -> sqlite3.Connection:
    """Connect to a file that is there, to read alone where its folder is read-only."""
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?{'mode=rw' if is_writable(path) else find_reading(path)}",
        BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )


def is_writable(path: Path) -> bool:
    """Whether this process may make SQLite's own files next to a database."""
    return os.access(path.resolve().parent, os.W_OK, effective_ids=True)


def find_reading(path: Path) -> str:
    """How to open a file for reading alone, as parameters of SQLite's URI.

    Write-ahead logging needs an index file beside the database even to read. Where it can
    neither be there nor be made, and nothing waits in the write-ahead log, no process can be
    writing: then SQLite may take the file for one that does not change.
    """
    log, index = (path.resolve().with_name(path.name + companion) for companion in ("-wal", "-shm"))
    is_settled = not index.exists() and (not log.exists() or log.stat().st_size == 0)
    return "mode=ro&immutable=1" if is_settled and not is_writable(path) else "mode=ro"


class Damaged(sqlite3.DatabaseError):
    """What a block should have is not in it; named as SQLite names what it finds itself."""

    sqlite_errorname = "SQLITE_CORRUPT"


@contextmanager
def whole() -> Iterator[None]:
    """Turn what is wrong with a stored text into an error of the database."""
    try:
        yield
    except ValueError as error:
        raise Damaged from error


def name_error(path: Path, error: sqlite3.Error) -> str:
    """Say what SQLite cannot do, without its own words: they may quote a value."""
    return f"SQLite cannot work on {path.name}: {_name(error)}"


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", type(error).__name__)


def _identify(path: Path) -> tuple[int, int] | None:
    # No other file gets the number of one that is open.
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _make(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreDown(f"the folder of the log cannot be made: {error.strerror}") from None
    # Where this fails, opening the file says why.
    with suppress(OSError), _locked(path.parent):
        if path.exists():
            return
        # Those of a database that was moved: SQLite would read a new file with the old index.
        for companion in _COMPANIONS:
            path.with_name(path.name + companion).unlink(missing_ok=True)
        # The owner's alone, from the file's first moment on: it has what people sent.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # One process at a time makes the file: none may take away what another has just made.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _log_ahead(connection: sqlite3.Connection) -> None:
    # Two that switch a new file at once would wait for each other's lock: SQLite refuses one of
    # them with SQLITE_BUSY at once, whatever its timeout, and it must ask again.
    until = monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > until:
                raise
            sleep(_SWITCH_PAUSE_SECONDS)
