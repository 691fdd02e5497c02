"""Whatever the store does, rows that are kept reach it exactly once."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from bentos.errors import RowsRefused, StoreDown
from bentos.records.opening import open_store
from bentos.records.record import Record, encode_lines
from bentos.records.sqlite.store import SqliteStore
from bentos.records.store import Store
from bentos.records.writer.delivery.counts import Counts
from bentos.records.writer.delivery.delivery import Delivery
from bentos.records.writer.spool.segment import LINES, Segment
from bentos.records.writer.spool.source import RecordSource
from bentos.records.writer.spool.spool import Spool
from tests.records.answers import (
    SERVED,
    Watched,
    broken,
    down,
    ids_of,
    listening,
    messages,
    read_log,
    served,
    wait_until,
)
from tests.records.postgresql import Server
from tests.records.predictions import ALL, NOON, minutes, record


class Delivering:
    """A delivery on a spool below a folder, and the rows that were given to it."""

    def __init__(
        self,
        folder: Path,
        open_one: Callable[[], Store] | None = None,
        *,
        memory_rows: int = 100_000,
        spool_bytes: int = 2**30,
        served_by: RecordSource = SERVED,
        calm_bytes: int = 0,
    ) -> None:
        self.path = folder / "records.db"
        self.counts = Counts()
        self.served = served_by
        self.spool = Spool(folder / "spool", spool_bytes, served_by)
        self.delivery = Delivery(
            open_one or (lambda: SqliteStore(self.path)),
            self.spool,
            self.counts,
            memory_rows=memory_rows,
            calm_bytes=calm_bytes,
        )
        self.given: list[str] = []
        self._days = 0

    def give(self, *records: Record, is_spooled: bool = True) -> bool:
        """Hand records over, as the flusher does."""
        data = encode_lines(records)
        segment = Segment(
            data,
            rows=len(records),
            first_id=records[0].id,
            source=self.served,
            path=self.spool.write(data, LINES) if is_spooled else None,
            size=len(data) if is_spooled else 0,
            ending=LINES,
        )
        is_taken = self.delivery.take(segment)
        if is_taken:
            self.given += ids_of(records)
        return is_taken

    def give_new(self, count: int, *, is_spooled: bool = True) -> None:
        """Hand so many new records over in one segment."""
        self._days += 1
        self.give(*minutes(count, NOON + timedelta(days=self._days)), is_spooled=is_spooled)

    def wait(self) -> None:
        """Wait until all is delivered."""
        wait_until(lambda: self.delivery.rows == 0)

    def assert_all_is_there(self) -> None:
        """Assert that the store has every row that was given, once, and nothing else."""
        assert ids_of(read_log(self.path)) == sorted(self.given)
        assert self.counts.written == len(self.given)
        assert not any(self.counts.dropped.values())


@contextmanager
def delivering(folder: Path, *args: object, **options: object) -> Iterator[Delivering]:
    """A started delivery; it is stopped afterwards, and must leave no row behind."""
    made = Delivering(folder, *args, **options)  # type: ignore[arg-type]  # its own options
    made.delivery.start()
    yield made
    made.delivery.stop(30)
    assert made.spool.size == 0
    assert not list((folder / "spool").glob("*/*"))


@contextmanager
def starting_down(folder: Path, **options: object) -> Iterator[tuple[Delivering, ExitStack]]:
    """A delivery whose store is down from the start, until `close` of what comes with it."""
    with ExitStack() as outage:
        outage.enter_context(down(folder / "records.db"))
        with delivering(folder, **options) as made:
            yield made, outage


def test_the_store_is_up(tmp_path: Path) -> None:
    """What is given is in the store, and the spool is empty again."""
    with delivering(tmp_path) as made:
        for _ in range(20):
            made.give_new(10)
        made.wait()
        assert len(made.counts.write_seconds) >= 1
        made.assert_all_is_there()


def test_the_store_is_down_at_the_start(tmp_path: Path) -> None:
    """Rows wait for a store that is not there yet, and are all in it once it is."""
    with listening() as heard, starting_down(tmp_path) as (made, outage):
        for _ in range(5):
            made.give_new(10)
        wait_until(lambda: bool(messages(heard)))
        assert made.delivery.rows == 50
        assert made.delivery.first_id == made.given[0]
        outage.close()
        made.wait()
        made.assert_all_is_there()
        assert made.delivery.first_id is None
    assert len(messages(heard)) == 1
    assert messages(heard)[0].startswith("the prediction log is down, rows are kept: SQLite")
    assert [record.getMessage() for record in heard][-1] == "the prediction log is written again"


def test_the_store_goes_down_in_the_middle(tmp_path: Path) -> None:
    """A store that breaks and comes back, again and again, has every row exactly once."""
    with listening() as heard, delivering(tmp_path) as made:
        for number in range(3):
            made.give_new(100)
            made.wait()
            with broken(made.path):
                made.give_new(50)
                wait_until(lambda count=number: len(messages(heard)) > count)  # type: ignore[misc]  # of this turn
                made.give_new(50)
            made.wait()
        made.assert_all_is_there()
    # Each time that it goes down is told once, however often it is tried.
    assert len(messages(heard)) == 3


def test_a_locked_file_is_waited_for(tmp_path: Path) -> None:
    """While another process holds the file's lock rows wait; then they are all written."""
    with delivering(tmp_path) as made:
        made.give_new(5)
        made.wait()
        with closing(sqlite3.connect(made.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            made.give_new(5)
            time.sleep(0.5)
            assert made.delivery.rows == 5
            other.execute("ROLLBACK")
        made.wait()
        made.assert_all_is_there()


def test_a_killed_server_comes_back(server: Server, tmp_path: Path) -> None:
    """PostgreSQL ended and started again under load has every row exactly once."""
    url = server.make_database()
    with delivering(tmp_path, lambda: open_store(url)) as made:
        for number in range(30):
            made.give_new(20)
            if number == 10:
                wait_until(lambda: made.counts.written > 0)
                server.kill()
            if number == 20:
                server.start()
        made.wait()
        with closing(open_store(url)) as store:
            found = ids_of(list(store.read(ALL)))
        assert found == sorted(made.given)
        assert made.counts.written == len(made.given)


def test_a_long_outage_is_survived_by_the_spool(tmp_path: Path) -> None:
    """Rows beyond the memory wait on disk alone, and come back from there."""
    with starting_down(tmp_path, memory_rows=30) as (made, outage):
        for _ in range(20):
            made.give_new(10)
        held = [segment for segment in made.delivery._segments if segment.data is not None]
        assert sum(segment.rows for segment in held) == 30
        outage.close()
        made.wait()
        made.assert_all_is_there()
        # The memory is free again.
        assert made.delivery._rows_in_memory == 0


def test_without_room_anywhere_rows_are_refused(tmp_path: Path) -> None:
    """What fits neither memory nor disk is not taken in, and said so."""
    with starting_down(tmp_path, memory_rows=10) as (made, outage):
        assert made.give(*minutes(10), is_spooled=False)
        assert not made.give(record(), is_spooled=False)
        assert made.delivery.rows == 10
        outage.close()
        made.wait()
        made.assert_all_is_there()


def test_the_model_is_registered_before_its_rows(tmp_path: Path) -> None:
    """A store is prepared and told of the model before the first row, once a connection."""
    watched = Watched(tmp_path / "records.db")
    with delivering(tmp_path, watched) as made:
        made.give_new(1)
        made.wait()
        made.give_new(1)
        made.wait()
        assert [call if isinstance(call, str) else "write" for call in watched.calls] == [
            "prepare",
            "register",
            "write",
            "write",
        ]
        watched.calls.clear()
        watched.is_down = True
        made.give_new(1)
        wait_until(lambda: bool(watched.writes))
        watched.is_down = False
        made.wait()
        calls = [call if isinstance(call, str) else "write" for call in watched.calls]
        # The store that comes back may be another one.
        assert calls[0] == "write"
        assert calls[-3:] == ["prepare", "register", "write"]
        made.assert_all_is_there()


def test_only_a_second_try_is_a_retry(tmp_path: Path) -> None:
    """Rows that the store may have already are marked, and new ones are not among them."""
    watched = Watched(tmp_path / "records.db")
    with delivering(tmp_path, watched) as made:
        made.give_new(1)
        made.wait()
        watched.is_down = True
        made.give_new(1)
        wait_until(lambda: len(watched.writes) > 1)
        made.give_new(1)
        watched.is_down = False
        made.wait()
        first, second, third = made.given
        assert watched.writes == [
            ([first], False),
            ([second], False),
            ([second], True),
            ([third], False),
        ]


def test_rows_of_an_earlier_model_are_written_under_it(tmp_path: Path) -> None:
    """What a dead worker left is delivered first, and its own model is registered for it."""
    left = Delivering(tmp_path, served_by=served(version="1"))
    for _ in range(3):
        left.give_new(4)
    left.spool.close()
    watched = Watched(tmp_path / "records.db")
    with listening() as heard, delivering(tmp_path, watched, served_by=served(version="2")) as made:
        made.give_new(2)
        wait_until(lambda: made.counts.written == 14)
        assert made.delivery.rows == 0
    assert ids_of(read_log(made.path)) == sorted(left.given + made.given)
    with closing(SqliteStore(made.path)) as store:
        assert store.registration("credit", "1") is not None
        assert store.registration("credit", "2") is not None
    assert (left.given, True) in watched.writes
    (told,) = [line for line in heard if "earlier start" in line.getMessage()]
    assert told.__dict__["fields"] == {"rows": 12}


def test_what_the_store_has_already_is_not_written_twice(tmp_path: Path) -> None:
    """A worker that died after a write and before it could tidy up costs no second row."""
    records = minutes(5)
    with closing(SqliteStore(tmp_path / "records.db")) as store:
        store.prepare()
        store.write(records[:3], is_retry=False)
    left = Delivering(tmp_path)
    left.give(*records)
    left.spool.close()
    with delivering(tmp_path) as made:
        wait_until(lambda: made.counts.written == 5)
    assert read_log(made.path) == records


def unstorable() -> Record:
    """A record with a number that SQLite has no room for."""
    return record(NOON + timedelta(days=400), decode_us=2**63)


def test_a_refused_row_is_dropped_alone(tmp_path: Path) -> None:
    """A row that the store can never take is counted and told; all its neighbours are stored."""
    with pytest.raises(RowsRefused), closing(SqliteStore(tmp_path / "alone.db")) as store:
        store.prepare()
        store.write([unstorable()], is_retry=False)
    good, bad = minutes(100), [unstorable(), unstorable()]
    with listening() as heard, delivering(tmp_path) as made:
        made.give(*good[:30], bad[0], *good[30:99], bad[1], good[99], is_spooled=False)
        made.wait()
        made.give_new(1)
        made.wait()
    assert ids_of(read_log(made.path)) == [*ids_of(good), made.given[-1]]
    assert made.counts.dropped["refused"] == 2
    assert made.counts.written == 101
    told = [line.__dict__["fields"] for line in heard if "refuses" in line.getMessage()]
    assert [line["id"] for line in told] == ids_of(bad)
    assert str(2**63) not in str(told)


def test_a_refused_row_is_counted_once(tmp_path: Path) -> None:
    """A store that goes down after it refused a row makes one lost row of it, not two."""

    class Falling(SqliteStore):
        """Goes down at its fourth write, the one after it has refused a single row."""

        writes = 0

        def write(self, records: Sequence[Record], *, is_retry: bool) -> None:
            Falling.writes += 1
            if Falling.writes == 4:
                raise StoreDown("fallen")
            super().write(records, is_retry=is_retry)

    with delivering(tmp_path, lambda: Falling(tmp_path / "records.db")) as made:
        made.give(unstorable(), *minutes(3), is_spooled=False)
        made.wait()
    assert (made.counts.written, made.counts.dropped["refused"]) == (3, 1)
    assert len(read_log(made.path)) == 3


def test_rows_are_gathered_for_a_store_that_wants_many(tmp_path: Path) -> None:
    """A store that gathers gets one write for what comes within its time, or as it fills."""
    watched = Watched(tmp_path / "records.db", gather_seconds=0.5, max_rows=10)
    with delivering(tmp_path, watched) as made:
        for _ in range(4):
            made.give_new(2)
        made.wait()
        assert [len(ids) for ids, _ in watched.writes] == [8]
        watched.gather_seconds = 3600.0
        for _ in range(7):
            made.give_new(2)
        wait_until(lambda: len(watched.writes) >= 2)
    # The stop waits for nothing: what is left goes in the same way.
    assert sum(len(ids) for ids, _ in watched.writes) == 22
    assert max(len(ids) for ids, _ in watched.writes) <= 10
    made.assert_all_is_there()


def test_a_backlog_goes_in_large_writes(tmp_path: Path) -> None:
    """Many small segments are one write, as large as the store takes it."""
    watched = Watched(tmp_path / "records.db", max_rows=100)
    watched.is_down = True
    with delivering(tmp_path, watched) as made:
        for _ in range(50):
            made.give_new(7)
        watched.is_down = False
        made.wait()
        made.assert_all_is_there()
    assert max(len(ids) for ids, _ in watched.writes) == 98


def test_a_segment_that_went_bad_holds_nothing_up(tmp_path: Path) -> None:
    """Rows that can no longer be read from the disk are counted; they stay, the rest goes on."""
    made = Delivering(tmp_path, memory_rows=0)
    with listening() as heard:
        with down(made.path):
            made.delivery.start()
            for _ in range(4):
                made.give_new(3)
            paths = [segment.path for segment in made.delivery._segments]
            assert paths[1] is not None and paths[2] is not None
            paths[1].write_bytes(paths[1].read_bytes()[:-30])
            paths[2].unlink()
        wait_until(lambda: made.counts.written == 6)
        made.delivery.stop(30)
    assert made.counts.dropped["unreadable"] == 6
    assert ids_of(read_log(made.path)) == sorted(made.given[:3] + made.given[9:])
    assert list((tmp_path / "spool").glob("*/*.jsonl")) == [paths[1]]
    assert made.spool.size >= paths[1].stat().st_size
    told = [line for line in messages(heard) if "spool" in line]
    assert len(told) == 2
    assert "a segment of the spool is gone: someone emptied it" in told


def test_a_pipe_in_the_spool_holds_nothing_up(tmp_path: Path) -> None:
    """Rows are delivered past a pipe that a dead worker's folder holds, and one line names it."""
    dead = Spool(tmp_path / "spool", 2**30, SERVED)
    path = dead.write(encode_lines(minutes(2, NOON)), LINES)
    os.mkfifo(path.with_name("000000000000.jsonl"))
    dead.close()
    made = Delivering(tmp_path)
    with listening() as heard:
        made.delivery.start()
        made.give_new(3)
        wait_until(lambda: made.counts.written == 5)
        made.delivery.stop(30)
    assert len([line for line in messages(heard) if "cannot be read" in line]) == 1


@pytest.mark.parametrize("is_deleted", [False, True], ids=["moved", "deleted"])
def test_a_log_that_was_taken_away_gets_a_new_file(tmp_path: Path, *, is_deleted: bool) -> None:
    """Rows written after it are in a new file with their model, each once, and one line says so."""
    made = Delivering(tmp_path)
    with listening() as heard:
        made.delivery.start()
        made.give_new(3)
        made.wait()
        if is_deleted:
            made.path.unlink()
        else:
            made.path.rename(tmp_path / "moved.db")
        made.give_new(4)
        made.wait()
        made.delivery.stop(30)
    assert ids_of(read_log(made.path)) == sorted(made.given[3:])
    assert made.counts.written == 7
    assert not any(made.counts.dropped.values())
    with closing(SqliteStore(made.path)) as store:
        registration = made.served.registration
        assert store.registration(registration.model, registration.version) is not None
    (line,) = [line for line in messages(heard) if "moved or deleted" in line]
    assert line.startswith("the prediction log is down, rows are kept: its file records.db")


def test_a_stop_delivers_what_is_left(tmp_path: Path) -> None:
    """A stop waits for rows that are still to be written, and then ends at once."""
    with starting_down(tmp_path) as (made, outage):
        made.give_new(100)
        stopping = threading.Thread(target=made.delivery.stop, args=(30,))
        stopping.start()
        time.sleep(0.1)
        assert stopping.is_alive()
        outage.close()
        stopping.join(10)
        assert not stopping.is_alive()
        made.assert_all_is_there()


def test_a_stop_with_the_store_down_leaves_rows_in_the_spool(tmp_path: Path) -> None:
    """In bounded time a stop gives up, says what is on disk, and loses only what is not."""
    made = Delivering(tmp_path, memory_rows=1000)
    with listening() as heard, down(made.path):
        made.delivery.start()
        made.give_new(7)
        made.give_new(5, is_spooled=False)
        made.give_new(3)
        started = time.monotonic()
        made.delivery.stop(0.3)
        assert 0.2 < time.monotonic() - started < 2.0
    assert made.counts.dropped["stopped"] == 5
    (told,) = [line for line in heard if line.getMessage() == "the prediction log stopped behind"]
    assert told.__dict__["fields"] == {"spooled": 10, "lost": 5}
    # The thread is a daemon: it ends with its process, or here at its next look.
    wait_until(lambda: not made.delivery._thread.is_alive())
    with delivering(tmp_path) as after:
        wait_until(lambda: after.counts.written == 10)
    assert ids_of(read_log(made.path)) == sorted(made.given[:7] + made.given[12:])


def test_a_stop_is_in_time_while_a_write_hangs(tmp_path: Path) -> None:
    """A store that does not come back from a write does not hold the stop up."""
    with ExitStack() as stack:
        watched = Watched(tmp_path / "records.db")
        stack.callback(watched.may_write.set)
        watched.may_write.clear()
        made = Delivering(tmp_path, watched)
        made.delivery.start()
        made.give_new(4)
        wait_until(lambda: bool(watched.writes))
        started = time.monotonic()
        made.delivery.stop(0.3)
        assert time.monotonic() - started < 2.0
        assert made.counts.dropped["stopped"] == 0
    wait_until(lambda: not made.delivery._thread.is_alive())


def test_a_stop_without_rows_is_instant(tmp_path: Path) -> None:
    """With nothing to deliver a stop does not wait for a store that is down."""
    made = Delivering(tmp_path)
    with listening() as heard, down(made.path):
        made.delivery.start()
        wait_until(lambda: bool(messages(heard)))
        started = time.monotonic()
        made.delivery.stop(30)
        assert time.monotonic() - started < 1.0
    assert not any(made.counts.dropped.values())


def test_an_error_of_our_own_ends_nothing(tmp_path: Path) -> None:
    """A store with a mistake in it is tried again like one that is down."""

    class Mistaken(SqliteStore):
        """Divides by zero, twice."""

        left = 2

        def write(self, records: Sequence[Record], *, is_retry: bool) -> None:
            if Mistaken.left:
                Mistaken.left -= 1
                raise ZeroDivisionError
            super().write(records, is_retry=is_retry)

    with (
        listening() as heard,
        delivering(tmp_path, lambda: Mistaken(tmp_path / "records.db")) as made,
    ):
        made.give_new(3)
        made.wait()
        made.assert_all_is_there()
    assert messages(heard) == ["the prediction log failed, rows are kept"] * 2


def test_a_newer_schema_is_waited_out(tmp_path: Path) -> None:
    """A log that a newer tabserve made is left as it is; rows wait in the spool."""
    with closing(sqlite3.connect(tmp_path / "records.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    made = Delivering(tmp_path)
    with listening() as heard:
        made.delivery.start()
        made.give_new(2)
        wait_until(lambda: bool(messages(heard)))
        made.delivery.stop(0.1)
    assert "a newer tabserve made it" in messages(heard)[0]
    assert len(list((tmp_path / "spool").glob("*/*.jsonl"))) == 1


def test_an_unreadable_spool_does_not_stop_the_log(tmp_path: Path) -> None:
    """Where the spool cannot even be listed new rows are written all the same."""
    left = Delivering(tmp_path)
    left.give_new(2)
    left.spool.close()
    (folder,) = (tmp_path / "spool").iterdir()
    (folder / "served.json").write_bytes(b"\x00")
    made = Delivering(tmp_path)
    with listening() as heard:
        made.delivery.start()
        made.give_new(3)
        made.wait()
        made.delivery.stop(30)
    made.assert_all_is_there()
    assert len(messages(heard)) == 1
    assert len(list(folder.glob("*.jsonl"))) == 1
    assert msgspec.json.decode(next(folder.glob("*.jsonl")).read_bytes().splitlines()[0])


def test_a_worker_that_dies_later_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a worker leaves after this one's start is looked for again, and delivered."""
    monkeypatch.setattr("bentos.records.writer.delivery.delivery._LOOK_SECONDS", 0.1)
    other = Spool(tmp_path / "spool", 2**30, SERVED)
    left = record(NOON)
    other.write(encode_lines([left]), LINES)
    made = Delivering(tmp_path)
    made.delivery.start()
    time.sleep(0.3)
    assert made.counts.written == 0, "it belongs to the other one"
    # As the system does for the dead.
    other.close()
    wait_until(lambda: made.counts.written == 1)
    made.delivery.stop(30)
    assert ids_of(read_log(made.path)) == [left.id]


def test_late_rows_are_not_left_behind(tmp_path: Path) -> None:
    """New rows are written by a thread that lets others go first, late ones by another."""
    threads: list[str] = []

    class Noting(SqliteStore):
        """Notes which thread writes."""

        def write(self, records: Sequence[Record], *, is_retry: bool) -> None:
            threads.append(threading.current_thread().name)
            super().write(records, is_retry=is_retry)

    with delivering(tmp_path, lambda: Noting(tmp_path / "records.db"), calm_bytes=2**20) as made:
        made.give(record(datetime.now(UTC)))
        made.wait()
        made.give(record(datetime.now(UTC) - timedelta(seconds=30)))
        made.wait()
        made.give(record(datetime.now(UTC)))
        made.wait()
        # As many bytes as that are a backlog, however new they are.
        made.give(*[record(datetime.now(UTC)) for _ in range(4000)])
        made.wait()
        made.assert_all_is_there()
    assert [name.rstrip("_0") for name in threads] == [
        "tabserve-calm",
        "tabserve-delivery",
        "tabserve-calm",
        "tabserve-delivery",
    ]
