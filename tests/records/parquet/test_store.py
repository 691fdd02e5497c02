"""The log in Parquet files: what files add to what every store does."""

from __future__ import annotations

import json
import os
import random
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import fsspec  # type: ignore[import-untyped]  # it publishes no types
import msgspec
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # the same
import pytest
from uuid_utils import uuid7

from bentos.errors import ConfigurationError, RowsRefused, StoreDown
from bentos.ids import milliseconds
from bentos.records.parquet import erasure
from bentos.records.parquet.files import Files
from bentos.records.parquet.store import ParquetStore
from bentos.records.record import (
    Environment,
    Event,
    Record,
    RecordedWarning,
    Registration,
    Version,
    Window,
)
from bentos.records.sqlite.store import SqliteStore

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
_RANDOM = random.Random(4)  # noqa: S311 - the same ids in every run


def name(time: datetime = NOON, end: int | None = None) -> str:
    """An id of a time; `end` is its last 32 bits."""
    digits = f"{milliseconds(time):012x}"
    low = f"{_RANDOM.getrandbits(48):012x}" if end is None else f"0000{end:08x}"
    return f"{digits[:8]}-{digits[8:]}-7{_RANDOM.getrandbits(12):03x}-8000-{low}"


def record(time: datetime = NOON, **changes: object) -> Record:
    """A prediction made at a time."""
    fields: dict[str, object] = {
        "id": name(time),
        "request_id": "r",
        "model": "m",
        "version": "1",
        "contract": "c",
        "environment": "e",
        "features": msgspec.Raw(b'{"age":30}'),
        "score": 0.25,
    }
    return Record(**(fields | changes))  # type: ignore[arg-type]  # each its field's type


def minutes(count: int, start: datetime = NOON, **changes: object) -> list[Record]:
    """Predictions a minute apart."""
    return [record(start + timedelta(minutes=number), **changes) for number in range(count)]


def by_id(records: list[Record]) -> list[Record]:
    """Records as a log gives them."""
    return sorted(records, key=lambda one: one.id)


def files_of(folder: Path, kind: str = "predictions") -> list[Path]:
    """The files of a kind in a local log."""
    return sorted((folder / kind).glob("*/*.parquet"))


@pytest.fixture(params=["folder", "file", "memory", "dir"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ParquetStore]:
    """A log that was prepared: a local one, named in both ways, and two remote ones."""
    location = {
        "folder": str(tmp_path / "log"),
        "file": f"file://{tmp_path}/log",
        "memory": f"memory://{tmp_path.name}/log",
        # No object store to fsspec: a file is written under another name and moved.
        "dir": f"dir::memory://{tmp_path.name}/log",
    }[request.param]
    opened = ParquetStore(location)
    opened.prepare()
    yield opened
    opened.close()
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of `local`."""
    return tmp_path / "log"


@pytest.fixture
def local(folder: Path) -> ParquetStore:
    """A log in a local folder that was prepared."""
    opened = ParquetStore(str(folder))
    opened.prepare()
    return opened


def test_records_come_back_as_they_were(store: ParquetStore) -> None:
    """Every field comes back, floats to the last bit and text in every script."""
    floats = [-0.0, 5e-324, 0.1 + 0.2, 1.7976931348623157e308, float("inf"), 1 / 3]
    text = "".join(map(chr, [0, 10, 34, 39, 92, 127, 0xE9, 0x3042, 0xFEFF, 0x1F600, 0x10FFFF]))
    records = [
        record(
            NOON + timedelta(milliseconds=number),
            features=msgspec.Raw(b'{"b": 1.0,"a":1e400,  "b":null}'),
            score=score,
            scores={text: score, "": 0.1},
            label=text,
            threshold=score,
            consumer="",
            subject=text,
            subject_key="k",
            decode_us=2**63 - 1,
            queue_us=-1,
            predict_us=3,
            encode_us=4,
            warnings=(RecordedWarning("/a~1b", text), RecordedWarning("", "")),
        )
        for number, score in enumerate(floats)
    ]
    records = [
        msgspec.structs.replace(one, scores=None) if one.score == float("inf") else one
        for one in records
    ]
    records += [record(score=None, scores={}), record(NOON + DAY, score=None)]
    store.write(records, is_retry=False)
    back = list(store.read(Window()))
    assert back == by_id(records)
    for one, other in zip(back, by_id(records), strict=True):
        assert struct.pack("d", one.score or 0.0) == struct.pack("d", other.score or 0.0)
        assert bytes(one.features) == bytes(other.features)
        assert store.get(one.id) == one


def test_reading_is_what_sqlite_reads(store: ParquetStore, tmp_path: Path) -> None:
    """Windows, versions, samples, found ids and outcomes equal those of the SQLite log."""
    sqlite = SqliteStore(tmp_path / "records.db")
    sqlite.prepare()
    records = [
        one
        for number, (model, version) in enumerate([("m", "1"), ("m", "2"), ("Ä'", "1")])
        for one in minutes(700, NOON - DAY + timedelta(hours=number), model=model, version=version)
    ]
    _RANDOM.shuffle(records)
    outcomes = [(one.id, str(number % 2), "f") for number, one in enumerate(records[::3])]
    for log in (store, sqlite):
        for start in range(0, len(records), 500):
            log.write(records[start : start + 500], is_retry=False)
        assert set(log.write_outcomes(outcomes)) == {"recorded"}
        log.write_outcomes([(one.id, "2", "g") for one in records[::9]])
    windows = [
        Window(),
        Window(since=NOON, until=NOON + timedelta(minutes=7)),
        Window(since=NOON - DAY / 2, model="m"),
        Window(model="m", version="2", until=NOON),
        Window(model="m' OR 1=1 --"),
        Window(since=NOON + DAY),
    ]
    for window in windows:
        assert list(store.read(window)) == list(sqlite.read(window))
        assert store.versions(window) == sqlite.versions(window)
        for rows, seed in [(0, 0), (1, 7), (50, 2**31), (50, -1), (10**6, 3)]:
            assert store.sample(window, rows, seed) == sqlite.sample(window, rows, seed)
        news, known = list(store.outcomes(window)), list(sqlite.outcomes(window))
        assert [msgspec.structs.replace(one, received=NOON) for one in news] == [
            msgspec.structs.replace(one, received=NOON) for one in known
        ]
    ids = [one.id for one in records[::5]] + [name(), "no id", "", "'; DROP TABLE x --", "\ud800"]
    assert store.find(ids) == sqlite.find(ids[:-1])
    sqlite.close()


def test_a_sample_is_the_circle_from_its_seed(store: ParquetStore) -> None:
    """A sample begins at the seed, goes round, and breaks ties by id."""
    ends = [0, 5, 5, 9, 2**32 - 1]
    records = [
        record(NOON + timedelta(seconds=at), id=name(NOON + timedelta(seconds=at), end))
        for at, end in enumerate(ends)
    ]
    store.write(records, is_retry=False)
    picked = [
        [records.index(one) for one in store.sample(Window(), rows, seed)]
        for rows, seed in [(1, 5), (2, 5), (3, 6), (1, 2**32 + 9)]
    ]
    assert picked == [[1], [1, 2], [0, 3, 4], [3]]


def test_a_write_is_one_file_a_day(local: ParquetStore, folder: Path) -> None:
    """Each day of a write, UTC, gets one file, in the folder of its date."""
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    local.write([record(midnight - timedelta(milliseconds=1)), record(midnight)], is_retry=False)
    local.write([record(midnight), record(midnight + DAY * 40)], is_retry=False)
    assert [path.parent.name for path in files_of(folder)] == [
        "date=2026-11-21",
        "date=2026-11-22",
        "date=2026-11-22",
        "date=2027-01-01",
    ]


# DuckDB, a query and its parameters, and nothing of ours.
_DUCKDB = """
import json, sys
import duckdb
query, parameters = json.load(sys.stdin)
with duckdb.connect() as connection:
    print(json.dumps(connection.execute(query, parameters).fetchall()))
"""


def ask_duckdb(query: str, folder: Path) -> list[list[object]]:
    """The rows of a query on the log in a folder, by DuckDB in a process of its own.

    `$predictions` and `$outcomes` are the files of a kind, as a folder may have any name.
    """
    places = {
        kind: f"{folder}/{kind}/*/*.parquet"
        for kind in ("predictions", "outcomes")
        if f"${kind}" in query
    }
    # -I: neither this project nor its environment's variables are seen.
    asked = subprocess.run(
        [sys.executable, "-I", "-c", _DUCKDB],
        input=json.dumps([query, places]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    rows: list[list[object]] = json.loads(asked.stdout)
    return rows


def test_duckdb_reads_the_log(local: ParquetStore, folder: Path) -> None:
    """The query of the module's docstring gives typed columns, dates, and features by name."""
    local.write(minutes(3) + minutes(2, NOON + DAY, score=None), is_retry=False)
    local.write_outcomes([(next(local.read(Window())).id, "1", "f")])
    rows = ask_duckdb(
        "SELECT date::text, time = date + INTERVAL 12 HOUR, (features->>'age')::int, score "
        "FROM read_parquet($predictions) ORDER BY id",
        folder,
    )
    assert [row[0] for row in rows] == ["2026-11-21"] * 3 + ["2026-11-22"] * 2
    assert [row[2:] for row in rows] == [[30, 0.25]] * 3 + [[30, None]] * 2
    joined = ask_duckdb(
        "SELECT count(*), max(outcome) "
        "FROM read_parquet($predictions) JOIN read_parquet($outcomes) USING (id)",
        folder,
    )
    assert joined == [[1, "1"]]
    bare = f"SELECT count(*) FROM '{folder}/predictions/*/*.parquet'"  # noqa: S608 - as a user types it
    assert ask_duckdb(bare, folder) == [[5]]


def test_duckdb_alone_reads_what_we_read(local: ParquetStore, folder: Path) -> None:
    """One query of DuckDB gives each prediction once with its last outcome, as our reader does.

    The files hold a row that two writes stored, an outcome that was revised, and rows of a
    subject that was erased; nothing but the files and DuckDB is needed to read them right.
    """
    rows = minutes(4)
    local.write(rows[:3], is_retry=False)
    local.write(rows[1:], is_retry=False)
    local.write([record(NOON + DAY, subject="erased")], is_retry=False)
    local.write_outcomes([(rows[0].id, "0", "first"), (rows[1].id, "1", "first")])
    local.write_outcomes([(rows[0].id, "1", "second")])
    local.forget(["erased"], NOON + 2 * DAY)
    query = """
        SELECT prediction.id, score, last.outcome
        FROM (SELECT DISTINCT ON (id) * FROM read_parquet($predictions) ORDER BY id) AS prediction
        LEFT JOIN (
            SELECT DISTINCT ON (id) * FROM read_parquet($outcomes)
            ORDER BY id, revision DESC, received DESC
        ) AS last USING (id)
        ORDER BY prediction.id
    """
    found = ask_duckdb(query, folder)
    outcomes = {one.id: one.outcome for one in local.outcomes(Window())}
    assert found == [[one.id, one.score, outcomes.get(one.id)] for one in local.read(Window())]
    assert [row[2] for row in found] == ["1", "1", None, None]


@pytest.mark.parametrize("kind", ["predictions", "events", "registrations"])
def test_a_pipe_among_the_files_is_named_and_not_waited_for(
    local: ParquetStore, folder: Path, kind: str
) -> None:
    """A pipe in place of a file of the log is an error of one line, at once."""
    registration = Registration("m", "1", "c", msgspec.Raw(b"{}"), "d")
    local.write([record()], is_retry=False)
    local.note(Event(NOON, "retention", {}))
    local.register(registration, Environment("e", msgspec.Raw(b"{}")))
    path = next(path for path in (folder / kind).rglob("*.*") if path.is_file())
    path.unlink()
    os.mkfifo(path)
    reads: dict[str, Callable[[], object]] = {
        "predictions": lambda: list(local.read(Window())),
        "events": local.events,
        "registrations": lambda: local.registration("m", "1"),
    }
    with pytest.raises(StoreDown, match="no regular file"):
        reads[kind]()


def test_a_folder_that_is_moved_gets_a_new_log(local: ParquetStore, folder: Path) -> None:
    """A write after the move fails; prepared anew, the log has the rows of the retry."""
    local.write(minutes(2), is_retry=False)
    folder.rename(folder.with_name("elsewhere"))
    late = record()
    with pytest.raises(StoreDown):
        local.write([late], is_retry=False)
    local.prepare()
    local.write([late], is_retry=True)
    assert list(local.read(Window())) == [late]
    assert len(list(ParquetStore(str(folder.with_name("elsewhere"))).read(Window()))) == 2


def test_a_retry_stores_only_what_is_missing(local: ParquetStore, folder: Path) -> None:
    """Of a write that failed half way, or only seemed to, a retry adds what is not there."""
    first, second, other = minutes(5), minutes(5, NOON + DAY), minutes(3)
    local.write(first + other, is_retry=False)
    changed = [msgspec.structs.replace(one, score=9.0) for one in first]
    local.write(changed + second, is_retry=True)
    local.write(first + second, is_retry=True)
    assert list(local.read(Window())) == by_id(first + second + other)
    assert sum(pq.read_metadata(path).num_rows for path in files_of(folder)) == 13


def test_a_row_in_two_files_is_read_once(store: ParquetStore) -> None:
    """A row that two files have, or one write twice, is read, counted and found once."""
    records = minutes(50)
    store.write(records + records[:3], is_retry=False)
    changed = [msgspec.structs.replace(one, version="2") for one in records[10:20]]
    store.write(changed, is_retry=False)
    assert list(store.read(Window())) == records
    assert store.versions(Window()) == [Version("m", "1", "c", 50)]
    assert store.versions(Window(version="1")) == [Version("m", "1", "c", 50)]
    assert set(store.find([one.id for one in changed]).values()) == {("m", "1")}
    assert len(store.sample(Window(), 100, 0)) == 50


def test_writers_at_once_leave_every_row(local: ParquetStore, folder: Path) -> None:
    """Several writers and first starts at once disturb neither each other nor readers."""
    batches = [
        [record(NOON + timedelta(seconds=_RANDOM.random())) for _ in range(40)] for _ in range(24)
    ]

    def write(mine: list[list[Record]]) -> None:
        store = ParquetStore(str(folder))
        store.prepare()
        for batch in mine:
            store.write(batch, is_retry=False)

    threads = [threading.Thread(target=write, args=[batches[start::4]]) for start in range(4)]
    for thread in threads:
        thread.start()
    seen = 0
    while any(thread.is_alive() for thread in threads):
        ids = [one.id for one in local.read(Window())]
        assert ids == sorted(ids)
        assert len(ids) >= seen
        seen = len(ids)
    assert list(local.read(Window())) == by_id([one for batch in batches for one in batch])


def test_what_a_crash_left_is_no_row(local: ParquetStore, folder: Path) -> None:
    """An unfinished file, and a file of somebody else, are ignored by every method."""
    records = minutes(3, subject="s")
    local.write(records, is_retry=False)
    (written,) = files_of(folder)
    unfinished = written.with_name(f".{written.name}.{uuid7()}.part")
    unfinished.write_bytes(written.read_bytes()[:50])
    (written.parent / "notes.parquet").write_bytes(b"mine")
    (folder / "predictions" / "date=today").mkdir()
    assert list(local.read(Window())) == records
    local.write(records, is_retry=True)
    assert local.get(records[0].id) == records[0]
    assert local.forget(["s"], NOON + DAY) == {"predictions": 3, "outcomes": 0}
    assert not unfinished.exists()


def test_a_file_that_vanishes_meanwhile_has_no_rows(local: ParquetStore, folder: Path) -> None:
    """Retention while somebody reads ends their stream early, not with a failure."""
    local.write(minutes(3), is_retry=False)
    local.write(minutes(3, NOON + DAY), is_retry=False)
    reading = local.read(Window())
    next(reading)
    ParquetStore(str(folder)).drop_before(NOON + 2 * DAY)
    assert len(list(reading)) == 2


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "../../etc/passwd"},
        {"id": name().upper()},
        {"id": f"{name()}\n"},
        {"id": "ffffffff-ffff-7000-8000-000000000000"},
        {"label": "\ud800"},
        {"features": msgspec.Raw(b'"\xff"')},
        {"decode_us": 2**63},
        {"score": "high"},
        {"model": None},
    ],
)
def test_a_row_that_no_file_can_hold_is_refused(
    local: ParquetStore, folder: Path, bad: dict[str, object]
) -> None:
    """It is refused with all of its write, without a value in the message."""
    with pytest.raises(RowsRefused) as refused:
        local.write([record(), record(**bad)], is_retry=False)  # type: ignore[arg-type]  # that is the point
    assert not any(str(value) in str(refused.value) for value in bad.values())
    assert files_of(folder) == []


def test_no_write_is_half_there(local: ParquetStore, folder: Path) -> None:
    """Where the second day of a write cannot be stored, the first is taken back."""
    (folder / "predictions" / "date=2026-11-22").write_text("in the way")
    with pytest.raises(StoreDown):
        local.write([record(), record(NOON + DAY)], is_retry=False)
    assert files_of(folder) == []


def test_a_full_disk_is_told_and_leaves_nothing(folder: Path) -> None:
    """A write that the disk cannot take raises StoreDown, leaves no file, and works later."""
    script = """
import resource, signal, sys
from pathlib import Path
from bentos.errors import StoreDown
from bentos.records.parquet.store import ParquetStore
from bentos.records.record import Window
from tests.records.parquet.test_store import minutes

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = ParquetStore(sys.argv[1])
store.prepare()
records = minutes(200)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
try:
    store.write(records, is_retry=False)
except StoreDown as error:
    print(error)
print([path.name for path in Path(sys.argv[1]).rglob("*.*") if path.is_file()])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.write(records, is_retry=True)
print(list(store.read(Window())) == records)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, folder], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "the log's files cannot be used: File too large",
        "['schema.json']",
        "True",
    ]


def test_a_missing_folder_is_no_empty_log(local: ParquetStore, folder: Path) -> None:
    """Without the log every method raises StoreDown, makes nothing, and says no path."""
    moved = folder.rename(folder.with_name("elsewhere"))
    for _ in range(2):
        for call in (
            lambda: local.write([record()], is_retry=False),
            lambda: list(local.read(Window())),
            lambda: local.get(name()),
            lambda: local.versions(Window()),
            lambda: local.registration("m", "1"),
            lambda: local.register(
                Registration("m", "1", "c", msgspec.Raw(b"{}"), ""),
                Environment("e", msgspec.Raw(b"{}")),
            ),
            lambda: local.note(Event(NOON, "export", {})),
            lambda: local.write_outcomes([(name(), "1", "f")]),
            lambda: local.forget(["s"], NOON),
            lambda: local.drop_before(NOON),
        ):
            with pytest.raises(StoreDown) as down:
                call()
            assert str(folder) not in str(down.value)
        # A mount point is still there when its disk is not.
        folder.mkdir(exist_ok=True)
        assert list(folder.iterdir()) == []
    folder.rmdir()
    moved.rename(folder)
    local.write([record()], is_retry=True)
    assert len(list(local.read(Window()))) == 1


def test_a_place_where_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    """A file in the way of the folder, or a file system that takes none, is StoreDown."""
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "log", Path("/proc/log")):
        with pytest.raises(StoreDown) as down:
            ParquetStore(str(place)).prepare()
        assert str(place) not in str(down.value)


def test_a_damaged_file_is_told(local: ParquetStore, folder: Path) -> None:
    """A file that is no Parquet any more raises StoreDown instead of hiding rows."""
    local.write(minutes(3), is_retry=False)
    (written,) = files_of(folder)
    written.write_bytes(written.read_bytes()[:-9])
    with pytest.raises(StoreDown):
        list(local.read(Window()))


def test_files_are_the_owners_alone(local: ParquetStore, folder: Path) -> None:
    """Nobody else on the machine may read what people sent."""
    local.write([record()], is_retry=False)
    for path in (folder, *files_of(folder), files_of(folder)[0].parent):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_a_newer_schema_stops_the_start(local: ParquetStore, folder: Path) -> None:
    """A log of a newer tabserve, or with a damaged schema, is left alone."""
    for content in ('{"schema": 99}', "not JSON"):
        (folder / "schema.json").write_text(content)
        with pytest.raises(StoreDown):
            local.prepare()


def test_an_unknown_place_is_told_at_once() -> None:
    """A URL that fsspec cannot open is refused without repeating it."""
    for location in ("nowhere://u:secret@host/log", "sec:ret://x"):
        with pytest.raises(ConfigurationError) as refused:
            ParquetStore(location)
        assert "sec" not in str(refused.value)


@pytest.mark.parametrize("library", ["pyarrow", "fsspec"])
def test_a_missing_library_is_told_at_once(library: str) -> None:
    """Without a library of the extra the store's making says which extra to install."""
    script = f"""
import sys
sys.modules[{library!r}] = None
from bentos.errors import ConfigurationError
from bentos.records.opening import open_store
try:
    open_store("parquet:log")
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert library in done.stdout
    assert "tabserve[parquet]" in done.stdout


def test_a_worker_imports_neither_duckdb_nor_pandas(tmp_path: Path) -> None:
    """Writing needs pyarrow alone, whatever else is installed."""
    script = """
import sys
from bentos.records.opening import open_store
from bentos.records.record import Record
import msgspec
store = open_store("parquet:" + sys.argv[1])
store.prepare()
rows = [Record(sys.argv[2], "r", "m", "1", "c", "e", msgspec.Raw(b"{}"), subject="s")]
store.write(rows, is_retry=False)
store.write(rows, is_retry=True)
store.find([sys.argv[2]])
store.write_outcomes([(sys.argv[2], "1", "f")])
print({"duckdb", "pandas"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "log", name()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("model", ["m", "a/b", "..", "../../x", "Ä" * 300, "", "m\0n", "M"])
def test_any_name_can_be_registered(store: ParquetStore, model: str) -> None:
    """A registration comes back whole under any name, and the first one stays."""
    document = msgspec.Raw(b'{"b": 1.0,  "a": []}')
    one = Registration(model, "1/..", "c", document, "d", metrics={"auc": 0.1}, reference=b"PAR1")
    environment = Environment("../e", document)
    store.register(one, environment)
    store.register(msgspec.structs.replace(one, digest="other"), environment)
    assert store.registration(model, "1/..") == one
    assert store.registration(model, "1") is None
    assert store.environment("../e") == environment
    assert store.environment("e") is None


def test_events_stay_in_order(store: ParquetStore) -> None:
    """Events come back in the order in which they were noted, whatever their time."""
    events = [Event(NOON - number * DAY, "retention", {"rows": number}) for number in range(20)]
    for event in events:
        store.note(event)
    assert store.events() == events


def test_an_outcome_is_news_when_it_differs(store: ParquetStore) -> None:
    """Outcomes are numbered as they differ, within a call and across calls."""
    one, other = name(), name(NOON + DAY)
    store.write([record(id=one), record(id=other)], is_retry=False)
    assert store.write_outcomes([]) == []
    assert store.write_outcomes([(one, "0", "a"), (one, "0", "b"), (other, "x'", "c")]) == [
        "recorded",
        "unchanged",
        "recorded",
    ]
    assert store.write_outcomes([(other, "x'", "d"), (one, "1", "e"), (one, "0", "f")]) == [
        "unchanged",
        "recorded",
        "recorded",
    ]
    revisions = store.revisions(one)
    assert [(row.outcome, row.revision, row.request_id) for row in revisions] == [
        ("0", 1, "a"),
        ("1", 2, "e"),
        ("0", 3, "f"),
    ]
    assert abs(datetime.now(UTC) - revisions[0].received) < timedelta(minutes=1)
    assert store.revisions("no id") == []
    with pytest.raises(RowsRefused):
        store.write_outcomes([(one, "1", "g"), ("no id", "1", "g")])
    assert len(store.revisions(one)) == 3


def test_outcomes_given_at_once_have_one_order(local: ParquetStore, folder: Path) -> None:
    """Of outcomes from writers that did not see each other, all readers see one order."""
    one = record()
    local.write([one], is_retry=False)
    local.write_outcomes([(one.id, "0", "a")])
    (hidden,) = files_of(folder, "outcomes")
    content = hidden.read_bytes()
    hidden.unlink()
    local.write_outcomes([(one.id, "1", "b")])
    local.write_outcomes([(one.id, "1", "c"), (one.id, "2", "d")])
    hidden.write_bytes(content)
    assert [(row.outcome, row.revision) for row in local.revisions(one.id)] == [
        ("0", 1),
        ("1", 2),
        ("2", 3),
    ]
    (last,) = local.outcomes(Window())
    assert last == local.revisions(one.id)[-1]
    assert local.write_outcomes([(one.id, "2", "e"), (one.id, "0", "f")]) == [
        "unchanged",
        "recorded",
    ]


def test_forget_erases_from_every_file(store: ParquetStore) -> None:
    """A subject's rows go from all files under all tokens, with their outcomes; others stay."""
    mine = [
        record(NOON + DAY * day, subject=token, subject_key="k")
        for day in range(4)
        for token in ("a", "b'--")
    ]
    others = [record(NOON + DAY * day, subject=token) for day in range(3) for token in ("c", None)]
    for start in range(0, 8, 2):
        store.write(mine[start : start + 2] + others[start : start + 2], is_retry=False)
    store.write(mine[:1], is_retry=False)
    store.write_outcomes([(one.id, "1", "f") for one in mine[:3] + others[:3]])
    store.write_outcomes([(mine[0].id, "0", "f")])
    assert list(store.of_subject(["a", "b'--", "?"])) == by_id(mine)
    assert store.forget(["a", "b'--"], NOON + DAY * 9) == {"predictions": 8, "outcomes": 4}
    assert list(store.of_subject(["a", "b'--"])) == []
    assert list(store.read(Window())) == by_id(others)
    assert [row.id for row in store.outcomes(Window())] == [one.id for one in by_id(others[:3])]
    assert store.revisions(mine[0].id) == []
    assert store.forget(["a", "b'--"], NOON + DAY * 9) == {"predictions": 0, "outcomes": 0}


def test_nothing_of_a_subject_is_left_in_any_file(local: ParquetStore, folder: Path) -> None:
    """No byte of the erased rows is left, in a file or in the name of one."""
    token = "f" * 64
    local.write([record(subject=token, request_id="mine"), record()], is_retry=False)
    local.write([record(NOON + DAY, subject=token, request_id="mine")], is_retry=False)
    local.forget([token], NOON + DAY)
    assert len(files_of(folder)) == 1
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert token not in str(path)
        assert token.encode() not in content
        assert b"mine" not in content


def test_late_rows_of_an_erased_subject_are_barred(store: ParquetStore) -> None:
    """Rows made before an erasure are not stored after it; rows made later are."""
    late, on_time = minutes(2, subject="s"), minutes(2, NOON + DAY, subject="s")
    store.forget(["s"], NOON + DAY / 2)
    store.forget(["s"], NOON - DAY)
    for is_retry in (False, True):
        store.write(late + on_time, is_retry=is_retry)
    assert list(store.read(Window())) == on_time


def test_a_retry_after_an_erasure_brings_nothing_back(local: ParquetStore, folder: Path) -> None:
    """Rows that a writer stored while they were erased, and died, go with its retry."""
    late = [record(subject="s"), record()]
    local.write(late, is_retry=False)
    (written,) = files_of(folder)
    content = written.read_bytes()
    local.forget(["s"], NOON + DAY)
    written.write_bytes(content)
    local.write(late, is_retry=True)
    assert list(local.read(Window())) == late[1:]


def test_erasing_while_others_write_leaves_none(local: ParquetStore, folder: Path) -> None:
    """Rows written during an erasure are gone when both are done, and so are those of two."""

    def write() -> None:
        store = ParquetStore(str(folder))
        for _ in range(15):
            rows = [record(subject=token) for token in ("a", "b", "c")]
            store.write(rows, is_retry=False)

    def forget(token: str) -> None:
        ParquetStore(str(folder)).forget([token], NOON + DAY)

    threads = [threading.Thread(target=write) for _ in range(2)]
    threads += [threading.Thread(target=forget, args=[token]) for token in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.subject for one in local.read(Window())} == {"c"}
    assert len(list(local.read(Window()))) == 30


def test_marks_know_the_latest_erasure(local: ParquetStore) -> None:
    """Of several marks of a subject the latest counts; retention drops those that are over."""
    files = Files(local._files._location)
    local.forget(["s"], NOON)
    local.forget(["s"], NOON - DAY)
    (end,) = erasure.read_marks(files).values()
    assert end == name(NOON)[:13]
    local.drop_before(NOON)
    assert len(erasure.read_marks(files)) == 1
    local.drop_before(NOON + DAY)
    assert erasure.read_marks(files) == {}


def test_drop_before_drops_whole_days(store: ParquetStore) -> None:
    """The days before that of the time go, with their outcomes; its own day stays."""
    records = [one for day in range(4) for one in minutes(3, NOON + DAY * (day - 0.5))]
    store.write(records, is_retry=False)
    store.write_outcomes([(one.id, "1", "f") for one in records])
    assert store.drop_before(NOON + DAY * 2 + timedelta(hours=11)) == {
        "predictions": 6,
        "outcomes": 6,
    }
    assert list(store.read(Window())) == records[6:]
    assert store.revisions(records[0].id) == []
    assert len(list(store.outcomes(Window()))) == 6
    assert store.drop_before(NOON) == {"predictions": 0, "outcomes": 0}


def test_a_window_opens_only_the_files_it_needs(local: ParquetStore, folder: Path) -> None:
    """What is outside a window is skipped by the names of files, and by their row groups."""
    local.write(minutes(30), is_retry=False)
    local.write(minutes(30, NOON + timedelta(hours=1)), is_retry=False)
    damaged = files_of(folder)[0]
    damaged.write_bytes(b"")
    rest = Window(since=NOON + timedelta(hours=1))
    records = list(local.read(rest))
    assert len(records) == 30
    assert local.get(records[3].id) == records[3]
    assert local.find([one.id for one in records]).keys() == {one.id for one in records}
    local.write(records, is_retry=True)


def test_many_rows_take_little_memory(folder: Path) -> None:
    """200,000 rows in overlapping files are read by id in bounded memory."""
    script = """
import resource, sys
from datetime import timedelta
from bentos.records.parquet.store import ParquetStore
from bentos.records.record import Window
from tests.records.parquet.test_store import NOON, msgspec, record

store = ParquetStore(sys.argv[1])
store.prepare()
for batch in range(10):
    # Every two files have the same hour.
    start = NOON + timedelta(hours=batch // 2)
    features = [msgspec.Raw(b'{"a":"%s"}' % str(batch * row).encode() * 40) for row in range(10)]
    rows = [
        record(start + timedelta(milliseconds=row * 7), features=features[row % 10])
        for row in range(20_000)
    ]
    store.write(rows, is_retry=False)
    del rows
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
last, count = "", 0
for one in store.read(Window()):
    assert one.id > last
    last, count = one.id, count + 1
assert len(store.sample(Window(), 100, 5)) == 100
assert store.versions(Window())[0].rows == count
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, folder], capture_output=True, text=True, check=True
    )
    count, megabytes = map(int, done.stdout.split())
    assert count == 200_000
    # All rows at once take more than 400 MB.
    assert megabytes < 100


def test_hundreds_of_small_files_are_no_open_files(local: ParquetStore) -> None:
    """A day of files that all overlap is read with a handful of open files."""
    records = [record(NOON + timedelta(seconds=second)) for second in range(400)]
    for start in range(200):
        local.write([records[start], records[-1 - start]], is_retry=False)
    reading = local.read(Window())
    before = next(reading)
    assert len(os.listdir("/proc/self/fd")) < 100  # noqa: PTH208 - the names alone
    assert [before, *reading] == records


def test_a_location_may_have_any_name(tmp_path: Path) -> None:
    """A folder's name may have spaces, quotes and what a pattern would match."""
    for part in ("a b", "it's", "x[1]*?", quote("ä/%"), "ä"):
        store = ParquetStore(str(tmp_path / part))
        store.prepare()
        store.write([record()], is_retry=False)
        assert len(list(store.read(Window()))) == 1
        assert store.drop_before(NOON + DAY)["predictions"] == 1
