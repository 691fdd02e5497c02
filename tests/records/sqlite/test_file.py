"""The log's file moved, deleted or replaced while it is open: no row is lost."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from bentos.errors import StoreDown
from bentos.records.record import Record
from bentos.records.sqlite.store import SqliteStore
from tests.records.predictions import ALL, minutes, record, until_up


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "data" / "records.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """An empty log."""
    with closing(SqliteStore(path)) as store:
        store.prepare()
        yield store


def ids_in(path: Path) -> set[str]:
    """The ids that a log has, as another process reads it."""
    with closing(SqliteStore(path)) as store:
        store.check()
        return {one.id for one in store.read(ALL)}


def move(path: Path) -> None:
    """Move the file alone; SQLite's files next to it stay."""
    path.rename(path.with_name("moved.db"))


def move_folder(path: Path) -> None:
    """Move the whole folder away."""
    path.parent.rename(path.parent.with_name("elsewhere"))


def delete(path: Path) -> None:
    """Delete the file alone."""
    path.unlink()


def delete_folder(path: Path) -> None:
    """Delete the whole folder."""
    shutil.rmtree(path.parent)


def replace(path: Path) -> None:
    """Put another log in its place."""
    other = path.with_name("other.db")
    with closing(SqliteStore(other)) as store:
        store.prepare()
    other.replace(path)


@pytest.mark.parametrize("happen", [move, move_folder, delete, delete_folder, replace])
def test_the_next_write_notices(
    store: SqliteStore, path: Path, happen: Callable[[Path], None]
) -> None:
    """A write into a file that is not at its path any more fails, and the retry is whole."""
    store.write(minutes(3), is_retry=False)
    happen(path)
    late = record()
    with pytest.raises(StoreDown, match=r"its file records\.db was moved or deleted"):
        store.write([late], is_retry=False)
    store.prepare()
    store.write([late], is_retry=True)
    assert list(store.read(ALL)) == [late]
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("happen", "place"), [(move, "data/moved.db"), (move_folder, "elsewhere/records.db")]
)
def test_a_moved_file_has_all_that_was_written(
    store: SqliteStore,
    path: Path,
    tmp_path: Path,
    happen: Callable[[Path], None],
    place: str,
) -> None:
    """Rows that only the write-ahead log had are in the moved file once the move was noticed."""
    before = minutes(50)
    store.write(before, is_retry=False)
    happen(path)
    with pytest.raises(StoreDown):
        store.write([record()], is_retry=False)
    assert ids_in(tmp_path / place) == {one.id for one in before}


def test_a_read_notices_too(store: SqliteStore, path: Path) -> None:
    """What is read is the log at the path, never a file that somebody took away."""
    store.write(minutes(3), is_retry=False)
    move(path)
    with pytest.raises(StoreDown, match="was moved or deleted"):
        list(store.read(ALL))


def test_writers_lose_no_row_while_the_file_is_moved(path: Path) -> None:
    """Two workers write while the file is moved away five times: each row is in some file."""
    stop = Event()
    written: list[list[Record]] = [[], []]

    def work(number: int) -> None:
        with closing(SqliteStore(path)) as store:
            until_up(store.prepare)
            while not stop.is_set():
                rows = minutes(5)

                def act(rows: list[Record] = rows) -> None:
                    try:
                        store.write(rows, is_retry=True)
                    except StoreDown:
                        with suppress(StoreDown):
                            store.prepare()
                        raise

                until_up(act)
                written[number] += rows

    workers = [Thread(target=work, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    places = [path]
    for number in range(5):
        time.sleep(0.2)
        while not path.exists():
            time.sleep(0.001)
        places.append(path.with_name(f"moved-{number}.db"))
        path.rename(places[-1])
    time.sleep(0.3)
    stop.set()
    for worker in workers:
        worker.join()
    wanted = {one.id for rows in written for one in rows}
    assert len(wanted) > 100
    found: set[str] = set()
    for place in places:
        with closing(sqlite3.connect(place)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            with suppress(sqlite3.OperationalError):  # moved before it had a table
                found |= {name for (name,) in connection.execute("SELECT id FROM predictions")}
    assert wanted <= found


READ = """
import os, sys
from pathlib import Path
from contextlib import closing
import bentos.records.sqlite.store, bentos.records.sqlite.drift, tests.records.predictions
from bentos.errors import StoreDown
# Imports are done: from here on as a user to whom the folder is read-only.
if os.geteuid() == 0:
    os.setgroups([]); os.setegid(65534); os.seteuid(65534)
path = Path(sys.argv[1])
with closing(bentos.records.sqlite.store.SqliteStore(path)) as log:
    log.check()
    print(len(list(log.read(tests.records.predictions.ALL))))
    results = bentos.records.sqlite.drift.SqliteDriftLog(path)
    results.check()
    print(results.last("daily", "credit", "1", 5))
    try:
        log.prepare()
    except StoreDown as error:
        print(error)
"""


def read_in_vain_to_write(path: Path) -> list[str]:
    """What a process reads of a log in a folder that it may not write to."""
    # A folder of pytest's is closed to other users.
    for folder in path.parents:
        if folder.is_relative_to(tempfile.gettempdir()) and folder != Path(tempfile.gettempdir()):
            folder.chmod(0o755)
    path.parent.chmod(0o555)
    for file in path.parent.iterdir():
        file.chmod(0o444)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False
    )
    path.parent.chmod(0o755)
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_read_only_folder_is_read(path: Path) -> None:
    """A log in a folder that may not be written to can be read, and writing says what fails."""
    with closing(SqliteStore(path)) as store:
        store.prepare()
        store.write(minutes(1), is_retry=False)
    rows, results, refusal = read_in_vain_to_write(path)
    assert (rows, results) == ("1", "[]")
    assert "SQLITE_READONLY" in refusal


def test_a_log_that_is_being_written_is_read_from_a_read_only_folder(path: Path) -> None:
    """Rows that are in the write-ahead log alone are read where its index is there."""
    with closing(SqliteStore(path)) as store:
        store.prepare()
        store.write(minutes(2), is_retry=False)
        assert path.with_name("records.db-wal").stat().st_size > 0
        assert read_in_vain_to_write(path)[0] == "2"


def test_rows_that_wait_in_the_write_ahead_log_are_not_passed_over(path: Path) -> None:
    """Without its index the write-ahead log cannot be read there: an error, not fewer rows."""
    with closing(SqliteStore(path)) as store:
        store.prepare()
        store.write(minutes(1), is_retry=False)
        copied = Path(shutil.copytree(path.parent, path.parent.with_name("copy"))) / path.name
    copied.with_name("records.db-shm").unlink()
    with pytest.raises(AssertionError, match="SQLITE_"):
        read_in_vain_to_write(copied)
