"""The log in Parquet files: what files add to what every store does."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import msgspec
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # the same
import pytest

from bentos.errors import RowsRefused
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
from tests.records.parquet.layout import files_of
from tests.records.predictions import DAY, NOON, by_id, minutes, name, record

_RANDOM = random.Random(4)  # noqa: S311 - the same order in every run


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
    known = [Version("credit", "1", records[0].contract, 50)]
    assert store.versions(Window()) == store.versions(Window(version="1")) == known
    assert set(store.find([one.id for one in changed]).values()) == {("credit", "1")}
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
import msgspec
from bentos.records.record import Window
from tests.records.predictions import NOON, record

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
