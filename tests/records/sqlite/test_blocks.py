"""Rows of one write as one value: what is found in it, and by whom."""

from __future__ import annotations

import random
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from bentos.errors import RowsRefused, StoreDown
from bentos.records.record import Record, RecordedWarning, Window
from bentos.records.request import unpack
from bentos.records.sqlite import schema
from bentos.records.sqlite.blocks import MOST_BYTES, MOST_ROWS, REACH_MS
from bentos.records.sqlite.rows import of_records, of_requests
from bentos.records.sqlite.store import SqliteStore
from bentos.records.sqlite.uuids import find_place, to_bytes, to_ids
from tests.records.predictions import ALL, DAY, NOON, by_id, minutes, name, record, request

MILLISECOND = timedelta(milliseconds=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "records.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """An empty log."""
    with closing(SqliteStore(path)) as store:
        store.prepare()
        yield store


def dense(count: int, start: datetime = NOON, **changes: object) -> list[Record]:
    """Predictions a millisecond apart."""
    return [record(start + at * MILLISECOND, **changes) for at in range(count)]


def count_blocks(path: Path) -> int:
    """How many blocks a log has."""
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM blocks").fetchone()
    return int(count)


def subjects_in(path: Path) -> set[str]:
    """The subjects that a log has blocks of."""
    with closing(sqlite3.connect(path)) as connection:
        return {subject for (subject,) in connection.execute("SELECT subject FROM subjects")}


def test_ids_as_bytes() -> None:
    """Ids come back from their bytes, and are found among others by them, never between two."""
    ids = [name() for _ in range(50)]
    raw = to_bytes(ids)
    assert len(raw) == 16 * 50
    assert to_ids(raw) == ids
    assert [find_place(raw, to_bytes([one])) for one in ids] == list(range(50))
    assert find_place(raw, raw[8:24]) is None
    # The second half of one and the first of the next are what is looked for: not there.
    assert find_place(raw + raw[8:24], raw[8:24]) == 50
    assert to_ids(to_bytes([])) == []


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "x",
        name()[:-1],
        name() + "0",
        name().upper(),
        name().replace("-", ""),
        name().replace("-", " "),
        "-" + name().replace("-", "", 1),
        name()[:-1] + "\n",
        "g" + name()[1:],
        name()[:-2] + "  ",
        "\N{ARABIC-INDIC DIGIT ZERO}" + name()[1:],
    ],
)
def test_what_is_no_id_is_refused(wrong: str) -> None:
    """An id that would not come back as it was is not stored, nor repeated in the error."""
    with pytest.raises(RowsRefused, match=r"^an id is no UUID in lower case$"):
        to_bytes([name(), wrong, name()])


def test_how_large_a_block_is() -> None:
    """A block has a bounded number of rows and bytes, and its ids lie near each other."""
    many = dense(3 * MOST_ROWS)
    wide = dense(40, features=msgspec.Raw(msgspec.json.encode({"x": "y" * (MOST_BYTES // 9)})))
    rare = minutes(5)
    for records, blocks in ((many, 4), (wide, 4), (rare, 5), (dense(7), 1)):
        (rows,) = of_records(records).values()
        packed = [block.pack() for block in rows.blocks()]
        assert len(packed) >= blocks - 1
        assert [one for block in packed for one in to_ids(block.ids)] == [r.id for r in records]
        for block in packed:
            assert block.rows <= MOST_ROWS
            assert len(block.content) <= 1.2 * MOST_BYTES
            assert (block.first_id, block.last_id) == (to_ids(block.ids)[0], to_ids(block.ids)[-1])
            span = record(id=block.last_id).time - record(id=block.first_id).time
            assert span < REACH_MS * MILLISECOND


def test_rows_of_a_request_stay_together(store: SqliteStore, path: Path) -> None:
    """What is the same for all rows of a request is written once."""
    text = "a-request-that-has-this-id"
    store.write_requests([request(500, request_id=text)], is_retry=False)
    store.write(dense(500, NOON + DAY, request_id=text), is_retry=False)
    with closing(sqlite3.connect(path)) as connection:
        blocks = connection.execute("SELECT rows, requests, content FROM blocks").fetchall()
    assert [rows for rows, _, _ in blocks] == [500, 500]
    assert all(requests.count(text) == 1 and text not in content for _, requests, content in blocks)


def bits(number: float | None) -> bytes:
    """The eight bytes of a float."""
    return b"" if number is None else struct.pack("!d", number)


def read_json(text: str | None) -> object:
    """The value of a JSON text, where there is one."""
    return None if text is None else msgspec.json.decode(text)


def test_the_view_has_what_the_log_has(store: SqliteStore, path: Path) -> None:
    """Who opens the file with SQLite sees every column of every row, numbers to the last bit."""
    source = random.Random(1)  # noqa: S311 - the same numbers in every run
    written = [
        request(
            200,
            names=("x", 'quoted "y"', "größe", "whole", "truth", "none"),
            rows=[(source.gauss(), 'a\u2028"b', "é", at, True, None) for at in range(200)],
            score=[source.random() for _ in range(200)],
            consumer="key-1",
            subject="ab",
            subject_key="2026",
            warnings=[(RecordedWarning("/x", "out_of_range"),)] * 200,
            reasons=[("R1", "R2")] * 200,
        ),
        request(
            99,
            NOON + 30 * DAY,
            request_ids=[f"{at}" for at in range(99)],
            stages=[(at, 1, 2, 3) for at in range(99)],
            shadow=[None] * 99,
        ),
        *[request(1, NOON + at * DAY, score=[0.1 * at]) for at in range(1, 30)],
        request(2, NOON + 40 * DAY, names=(), rows=[(), ()], scores=[{"a": 0.1 + 0.2}, None]),
        request(2, NOON + 50 * DAY, shadow=["", name()]),
    ]
    store.write_requests(written, is_retry=False)
    store.write(minutes(3, NOON + 60 * DAY, score=None, label=None, threshold=None), is_retry=False)
    columns = [*Record.__struct_fields__]
    for view, window in (("predictions", ALL), ("shadows", Window(is_shadow=True))):
        with closing(sqlite3.connect(path)) as connection:
            seen = connection.execute(
                f"SELECT {', '.join(columns)} FROM {view} ORDER BY id"  # noqa: S608 - our own names
            ).fetchall()
        stored = list(store.read(window))
        assert len(seen) == len(stored)
        for row, one in zip(seen, stored, strict=True):
            found = dict(zip(columns, row, strict=True))
            assert found.pop("features").encode() == bytes(one.features)
            assert bits(found.pop("score")) == bits(one.score)
            assert read_json(found.pop("scores")) == one.scores
            assert read_json(found.pop("reasons")) == (one.reasons and list(one.reasons))
            warnings = [msgspec.to_builtins(warning) for warning in one.warnings]
            assert read_json(found.pop("warnings") or "[]") == warnings
            assert found == {column: getattr(one, column) for column in found}


def test_a_row_is_looked_up_by_its_block(store: SqliteStore, path: Path) -> None:
    """The view's `first_id` and `last_id` let SQLite read the blocks that may have an id alone."""
    rows = dense(9000)
    store.write(rows, is_retry=False)
    query = "SELECT score FROM predictions WHERE id = ?1 AND first_id <= ?1 AND last_id >= ?1"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(query, (rows[777].id,)).fetchall() == [(0.25,)]
        plan = str(connection.execute(f"EXPLAIN QUERY PLAN {query}", ("x",)).fetchall())
    assert "USING INDEX blocks_ids (first_id<?)" in plan


def test_blocks_that_lie_in_one_another(store: SqliteStore, path: Path) -> None:
    """Rows that several workers wrote at one time are read, found, counted and picked by id."""
    rows = dense(2400)
    writers = [rows[at::3] for at in range(3)]
    with closing(SqliteStore(path)) as other:
        for start in range(0, 800, 100):
            for writer, log in zip(writers, (store, other, store), strict=True):
                log.write(writer[start : start + 100], is_retry=False)
    assert count_blocks(path) >= 24
    assert list(store.read(ALL)) == rows
    inner = Window(rows[333].time, rows[1777].time)
    assert list(store.read(inner)) == rows[333:1777]
    assert [one.rows for one in store.versions(inner)] == [1777 - 333]
    assert store.versions(Window(rows[333].time, rows[333].time)) == []
    assert all(store.get(one.id) == one for one in rows[::97])
    assert len(store.find([one.id for one in rows] + [name() for _ in range(50)])) == 2400
    seed = 2**31
    ends = sorted(rows[333:1777], key=lambda one: (int(one.id[-8:], 16) - seed) % 2**32)
    assert store.sample(inner, 40, seed) == by_id(ends[:40])
    store.write_outcomes([(one.id, "1", "r") for one in rows[::-7]])
    assert [one.id for one in store.outcomes(inner)] == [
        one.id for one in by_id(rows[::-7]) if rows[333].id <= one.id < rows[1777].id
    ]
    assert list(store.outcomes(Window(model="other"))) == []


def test_part_of_a_write_is_there(store: SqliteStore, path: Path) -> None:
    """Rows that come again in other company are stored once, the new ones beside them."""
    rows = dense(300)
    store.write(rows[50:100], is_retry=False)
    store.write(rows[200:250], is_retry=False)
    store.write(rows[90:220], is_retry=True)
    store.write(rows, is_retry=False)
    before = count_blocks(path)
    for start in range(0, 300, 7):
        store.write(rows[start : start + 7], is_retry=True)
    assert count_blocks(path) == before
    assert list(store.read(ALL)) == rows


def test_rows_come_in_any_order(store: SqliteStore) -> None:
    """Rows of one write are sorted, of several requests among each other too."""
    rows = [record(NOON + at * MILLISECOND, request_id=str(at % 3)) for at in range(200)]
    shuffled = random.Random(2).sample(rows, 200)  # noqa: S311 - the same order in every run
    store.write([*shuffled, *shuffled[:50]], is_retry=False)
    one = request(20, NOON + DAY)
    backwards = msgspec.structs.replace(one, ids=one.ids[::-1], score=[at / 9 for at in range(20)])
    store.write_requests([backwards], is_retry=False)
    assert list(store.read(ALL)) == rows + by_id(backwards.records())


def test_an_erasure_leaves_the_others_of_a_block(store: SqliteStore, path: Path) -> None:
    """A subject's rows go out of blocks that have others', whose texts stay as they are."""
    whose = ("mine", "other", None, "mine-too")
    text = msgspec.Raw(b'{"b": -0.0,"a":1.50, "c":1e400}')
    rows = [
        record(NOON + at * MILLISECOND, subject=whose[at % 4], features=text, consumer=str(at % 5))
        for at in range(400)
    ]
    asked = [request(3, NOON + at * DAY, subject=whose[at % 4]) for at in range(1, 9)]
    store.write(rows, is_retry=False)
    store.write_requests(asked, is_retry=False)
    every = rows + unpack(asked)
    store.write_outcomes([(one.id, "1", "r") for one in every[::2]])
    mine = [one for one in every if one.subject in ("mine", "mine-too")]
    others = [one for one in every if one not in mine]
    assert list(store.of_subject(["mine", "mine-too"])) == by_id(mine)
    gone = store.forget(["mine", "mine-too"], NOON + 99 * DAY)
    assert gone["predictions"] == len(mine)
    assert gone["outcomes"] == sum(1 for one in every[::2] if one in mine)
    store.scrub()
    assert list(store.read(ALL)) == by_id(others)
    assert list(store.of_subject(["mine", "mine-too"])) == []
    assert list(store.of_subject(["other"])) == [one for one in others if one.subject == "other"]
    assert [one.rows for one in store.versions(ALL)] == [len(others)]
    assert subjects_in(path) == {"other"}
    left = b"".join(part.read_bytes() for part in path.parent.glob(f"{path.name}*"))
    assert all(to_bytes([one.id]) not in left for one in mine)
    assert all(to_bytes([one.id]) in left for one in others)


def test_midnight_in_a_block(store: SqliteStore, path: Path) -> None:
    """Retention cuts a block that was begun the day before."""
    midnight = NOON.replace(hour=0)
    rows = dense(400, midnight - 150 * MILLISECOND, subject="mine")
    store.write(rows, is_retry=False)
    store.write_outcomes([(one.id, "1", "r") for one in rows])
    assert store.drop_before(NOON) == {"predictions": 150, "outcomes": 150}
    assert list(store.read(ALL)) == rows[150:]
    assert list(store.of_subject(["mine"])) == rows[150:]
    assert store.drop_before(NOON + DAY) == {"predictions": 250, "outcomes": 250}
    assert subjects_in(path) == set()


@pytest.mark.parametrize(
    "damage",
    [
        "content = '[]'",
        "content = substr(content, 1, 900)",
        "content = replace(content, '[0,', '[9,')",
        "requests = '[]'",
        "ids = substr(ids, 17)",
        "source = (SELECT source FROM sources WHERE names = '[]')",
    ],
)
def test_a_damaged_block_is_never_read_as_a_whole_one(
    store: SqliteStore, path: Path, damage: str
) -> None:
    """Parts of a block that do not fit together end a read with an error, not with fewer rows."""
    store.write_requests([request(1, names=(), rows=[()])], is_retry=False)
    store.write_requests([request(100, NOON + DAY, subject="mine")], is_retry=False)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE blocks SET {damage} WHERE rows = 100")  # noqa: S608 - our own text
        connection.commit()
    with pytest.raises(StoreDown, match=r"^SQLite cannot work on records.db: SQLITE_CORRUPT$"):
        list(store.read(ALL))
    if "source" not in damage:
        with pytest.raises(StoreDown, match="SQLITE_CORRUPT"):
            store.forget(["mine"], NOON + 9 * DAY)


_WRITE = """
import sys
from pathlib import Path
from bentos.records.sqlite.store import SqliteStore
from tests.records.predictions import NOON, request
store = SqliteStore(Path(sys.argv[1]))
store.prepare()
while True:
    asked = [request(100, subject="mine") for _ in range(3)]
    store.write_requests(asked, is_retry=False)
    print(asked[0].ids[0], flush=True)
"""


def test_a_kill_leaves_whole_writes(path: Path) -> None:
    """A writer that is killed at any moment leaves each write whole or not at all."""
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITE, str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            told = [writer.stdout.readline().strip() for _ in range(random.randint(3, 40))]  # noqa: S311 - any moment
            writer.send_signal(signal.SIGKILL)
            told += writer.stdout.read().split()
        with closing(SqliteStore(path)) as store:
            store.check()
            rows = list(store.read(ALL))
            assert {one[:36] for one in told} <= {one.id for one in rows}
            assert len(rows) % 300 == 0
            assert list(store.of_subject(["mine"])) == rows
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        path.unlink()


_OLD = (
    "INSERT INTO scored (id, request_id, source, features, score, scores, label, consumer, "
    "subject, subject_key, decode_us, queue_us, predict_us, encode_us, warnings, reasons, shadow) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def make_old(path: Path, rows: list[Record]) -> None:
    """Make a log as it was with a row for each prediction, of schema 3."""
    with closing(sqlite3.connect(path)) as connection:
        for script in schema.MIGRATIONS[:3]:
            connection.executescript(script)
        connection.execute("INSERT INTO sources VALUES (7, 'credit', '1', 'c', 'e', -0.0)")
        connection.executemany(
            _OLD,
            [
                (
                    one.id,
                    one.request_id,
                    7,
                    bytes(one.features).decode(),
                    one.score,
                    one.scores and msgspec.json.encode(one.scores).decode(),
                    one.label,
                    one.consumer,
                    one.subject,
                    one.subject_key,
                    1,
                    2,
                    3,
                    4,
                    msgspec.json.encode(one.warnings).decode() if one.warnings else None,
                    None if one.reasons is None else msgspec.json.encode(one.reasons).decode(),
                    one.shadow,
                )
                for one in rows
            ],
        )
        connection.execute("PRAGMA user_version = 3")
        connection.commit()


OLD = {
    "contract": "c",
    "environment": "e",
    "threshold": -0.0,
    "decode_us": 1,
    "queue_us": 2,
    "predict_us": 3,
    "encode_us": 4,
}


def test_rows_of_an_older_log_become_blocks(path: Path) -> None:
    """Every row of a log of before blocks is there after its migration, as it was, once."""
    many = dense(9000, NOON, request_id="a request", **OLD)
    one = many[0]
    others = [
        record(NOON + DAY, score=-0.0, subject="mine", subject_key="k", consumer="c", **OLD),
        record(NOON + DAY, score=5e-324, scores={"a": 0.1 + 0.2}, **OLD),
        record(NOON - DAY, score=None, label=None, reasons=("R1",), **OLD),
        record(NOON - DAY, reasons=(), warnings=(RecordedWarning("/x", "y"),), **OLD),
        record(NOON, features=msgspec.Raw(b'{"b": -0.0,"a":1.50, "n":1e400}'), **OLD),
    ]
    shadows = [record(NOON + DAY, shadow=one.id, **OLD), record(NOON, shadow="", **OLD)]
    make_old(path, [*others, *many[::-1], *shadows])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO outcomes VALUES (?, 1, '1', 5, 'r')", (one.id,))
        connection.execute("INSERT INTO erasures VALUES ('gone', ?)", (name(NOON + DAY),))
        connection.commit()
    with closing(SqliteStore(path)) as store:
        with pytest.raises(StoreDown, match="run `tabserve migrate`"):
            store.check()
        store.prepare()
        assert list(store.read(ALL)) == by_id([*others, *many])
        assert list(store.read(Window(is_shadow=True))) == by_id(shadows)
        assert [bits(row.threshold) for row in store.read(ALL)] == [bits(-0.0)] * 9005
        assert count_blocks(path) < 50
        assert [found.id for found in store.outcomes(ALL)] == [one.id]
        assert list(store.of_subject(["mine"])) == others[:1]
        store.write([*others, *many[::100], record(NOON, subject="gone")], is_retry=True)
        assert [row.rows for row in store.versions(ALL)] == [9005]
        assert store.forget(["mine"], NOON + 9 * DAY)["predictions"] == 1


def test_an_older_log_that_is_damaged_stays(path: Path) -> None:
    """Where a row of an older log cannot be read, it is said, and the log stays as it was."""
    make_old(path, dense(5000, NOON, **OLD))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE scored SET scores = '{'")
        connection.commit()
    with closing(SqliteStore(path)) as store, pytest.raises(StoreDown, match="SQLITE_CORRUPT"):
        store.prepare()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
        assert connection.execute("SELECT count(*) FROM predictions").fetchone() == (5000,)


def test_columns_of_other_lengths_are_refused(store: SqliteStore) -> None:
    """A request whose columns do not fit together is refused, and the write that it is in."""
    for column, short in (
        ("score", [0.5]),
        ("rows", [(1,)] * 3),
        ("label", []),
        ("shadow", [""]),
        ("request_ids", []),
    ):
        bad = msgspec.structs.replace(request(3), **{column: short})
        with pytest.raises(RowsRefused, match="of different lengths"):
            store.write_requests([request(2), bad], is_retry=False)
        with pytest.raises(RowsRefused, match="of different lengths"):
            of_requests([bad])
    assert list(store.read(ALL)) == []
