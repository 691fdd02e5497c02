"""What files may do to the log: pipes, crashes, full disks, damage, places that are not there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from uuid_utils import uuid7

from bentos.errors import ConfigurationError, RowsRefused, StoreDown
from bentos.records.parquet.store import ParquetStore
from bentos.records.record import (
    Environment,
    Event,
    Registration,
    Window,
)
from tests.records.parquet.layout import files_of
from tests.records.predictions import DAY, NOON, minutes, name, record


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
from tests.records.predictions import minutes

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
