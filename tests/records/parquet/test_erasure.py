"""Erasure and retention in Parquet files: nothing is left in any file."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

from bentos.records.parquet import erasure
from bentos.records.parquet.files import Files
from bentos.records.parquet.store import ParquetStore
from bentos.records.record import (
    Window,
)
from tests.records.parquet.layout import files_of
from tests.records.predictions import DAY, NOON, by_id, minutes, name, record


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
