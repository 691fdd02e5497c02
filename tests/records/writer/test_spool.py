"""Rows on disk survive the process, belong to one worker at a time, and are private."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import msgspec
import pytest

from bentos.records.record import Record, decode_lines, encode_lines
from bentos.records.writer.spool import erasure
from bentos.records.writer.spool.segment import LINES
from bentos.records.writer.spool.spool import Spool, SpoolFull
from tests.records.answers import SERVED, ids_of, listening, messages, served
from tests.records.answers import put as put_one
from tests.records.predictions import minutes, record
from tests.service.driver import ROOT

TOKEN = "ab" * 32
PLENTY = 2**30

# A worker of its own: says its folder's segment, and waits to be killed.
WORKER = """
    import sys, time
    from pathlib import Path
    from bentos.records.writer.spool.spool import Spool
    from tests.records.answers import SERVED, put
    from tests.records.predictions import minutes
    spool = Spool(Path(sys.argv[1]), 2**30, SERVED)
    for _ in range(3):
        put(spool, minutes(5))
    print("written", flush=True)
    time.sleep(600)
"""

# The largest file that the process may write stands for a disk that is full.
FULL_DISK = """
    import resource, sys
    from pathlib import Path
    from bentos.records.writer.spool.spool import Spool
    from tests.records.answers import SERVED, put
    from tests.records.predictions import minutes
    spool = Spool(Path(sys.argv[1]), 2**30, SERVED)
    put(spool, minutes(1))
    for limit in (20_000, 8_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            put(spool, minutes(200))
        except OSError as error:
            print(error.strerror)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    put(spool, minutes(2))
    print(spool.size)
"""


def files(root: Path, pattern: str = "*/*") -> list[str]:
    """Names of the files of a spool, without the workers' folders."""
    return sorted(path.name for path in root.glob(pattern))


def put(root: Path, *segments: list[Record]) -> list[Path]:
    """Leave segments in a folder of a worker that is no more."""
    dead = Spool(root, PLENTY, SERVED)
    paths = [dead.write(encode_lines(records), LINES) for records in segments]
    dead.close()
    return paths


def records_in(path: Path) -> list[Record]:
    """The records of a segment."""
    return decode_lines(path.read_bytes())


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """A segment is whole under its name, in the order of writing, and comes back as it was."""
    writer = Spool(tmp_path / "deep" / "spool", PLENTY, SERVED)
    first, second = minutes(3), minutes(2, subject=TOKEN)
    paths = [writer.write(encode_lines(one), LINES) for one in (first, second)]
    assert sorted(paths) == paths
    assert [records_in(path) for path in paths] == [first, second]
    assert writer.size == sum(path.stat().st_size for path in paths)
    assert files(tmp_path / "deep" / "spool", "*/*.part") == []


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """Folders are 0700 and files 0600, whatever the umask lets others have."""
    (path,) = put(tmp_path / "spool", [record()])
    for folder in (path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert files(tmp_path / "spool") == ["000000000001.jsonl", "lock", "served.json"]
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


def test_it_takes_no_more_bytes_than_it_may(tmp_path: Path) -> None:
    """A segment beyond the cap is refused and leaves nothing; what goes makes room."""
    records = minutes(10)
    size = len(b"".join(msgspec.json.encode(one) + b"\n" for one in records))
    writer = Spool(tmp_path, 2 * size, SERVED)
    segments = [put_one(writer, records) for _ in range(2)]
    assert writer.size == 2 * size
    with pytest.raises(SpoolFull):
        put_one(writer, records)
    assert len(files(tmp_path, "*/*.jsonl")) == 2
    writer.remove(segments[0])
    assert writer.size == size
    put_one(writer, records)


def test_a_cap_of_nothing_touches_no_disk(tmp_path: Path) -> None:
    """Where no byte is allowed there is not even a folder."""
    with pytest.raises(SpoolFull):
        put_one(Spool(tmp_path / "spool", 0, SERVED), [record()])
    assert not (tmp_path / "spool").exists()


def test_a_full_disk_leaves_no_half_segment(tmp_path: Path) -> None:
    """A write that the disk has no room for leaves nothing; the next one with room works."""
    done = run(FULL_DISK, tmp_path)
    *errors, size = done.stdout.splitlines()
    assert errors == ["File too large"] * 2
    assert files(tmp_path, "*/*.part") == []
    found = Spool(tmp_path, PLENTY, SERVED).adopt()
    assert [segment.rows for segment in found] == [1, 2]
    assert sum(segment.size for segment in found) == int(size)


def run(code: str, root: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code on a spool in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(root)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )


def test_a_spool_that_cannot_be_made_is_tried_again(tmp_path: Path) -> None:
    """Where a file is in the folder's place writing fails, and works once it is gone."""
    (tmp_path / "spool").write_text("in the way")
    writer = Spool(tmp_path / "spool", PLENTY, SERVED)
    for _ in range(2):
        with pytest.raises(OSError, match="File exists"):
            put_one(writer, [record()])
    assert writer.adopt() == []
    (tmp_path / "spool").unlink()
    put_one(writer, [record()])
    assert files(tmp_path / "spool", "*/*.jsonl") == ["000000000001.jsonl"]


def test_an_emptied_spool_is_made_again(tmp_path: Path) -> None:
    """Where somebody deletes a worker's folder one write fails, and the next makes another."""
    writer = Spool(tmp_path, PLENTY, SERVED)
    path = put_one(writer, [record()]).path
    assert path is not None
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    with pytest.raises(FileNotFoundError):
        put_one(writer, [record()])
    again = put_one(writer, [record()]).path
    assert again is not None
    assert again.parent != path.parent
    writer.close()


@contextmanager
def worker(root: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has written fifteen rows and holds on to them."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), str(root)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "written\n"
            yield process
        finally:
            process.kill()


def test_a_dead_workers_rows_are_taken_over_and_a_living_ones_are_not(tmp_path: Path) -> None:
    """What a worker has belongs to it until it is killed; then the next start takes it."""
    with worker(tmp_path) as process:
        before = Spool(tmp_path, PLENTY, served(version="2"))
        assert before.adopt() == []
        assert before.size == 0
        process.send_signal(signal.SIGKILL)
        process.wait()
    after = Spool(tmp_path, PLENTY, served(version="2"))
    found = after.adopt()
    assert [segment.rows for segment in found] == [5, 5, 5]
    # They are of the model that the dead worker had, and may be in the store already.
    for segment in found:
        assert segment.source.registration.version == SERVED.registration.version
        assert segment.source.environment == SERVED.environment
        assert segment.is_retry
    assert after.size == sum(path.stat().st_size for path in tmp_path.glob("*/*.jsonl"))
    assert [segment.first_id for segment in found] == [
        records_in(path)[0].id for path in sorted(tmp_path.glob("*/*.jsonl"))
    ]
    # Nobody else gets them, and the last one takes its folder with it.
    assert Spool(tmp_path, PLENTY, SERVED).adopt() == []
    for segment in found:
        after.remove(segment)
    assert list(tmp_path.iterdir()) == []
    assert after.size == 0


def test_what_is_not_delivered_is_found_by_the_next(tmp_path: Path) -> None:
    """Closing lets go of rows that are left, and removes folders that have none."""
    put(tmp_path, minutes(2), minutes(3))
    second = Spool(tmp_path, PLENTY, SERVED)
    first_segment, *_ = second.adopt()
    second.remove(first_segment)
    second.remove(put_one(second, [record()]))
    second.close()
    third = Spool(tmp_path, PLENTY, SERVED)
    assert [segment.rows for segment in third.adopt()] == [3]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_worker_does_not_take_over_its_own_rows(tmp_path: Path) -> None:
    """What a worker wrote itself before it looked around is not delivered a second time."""
    writer = Spool(tmp_path, PLENTY, SERVED)
    put_one(writer, [record()])
    assert writer.adopt() == []


def test_a_folder_that_is_being_made_is_left_alone(tmp_path: Path) -> None:
    """A folder whose worker has not said yet what it serves is not taken for a dead one's."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "lock").touch()
    assert Spool(tmp_path, PLENTY, SERVED).adopt() == []
    assert files(tmp_path) == ["lock"]


def test_a_half_segment_is_ignored(tmp_path: Path) -> None:
    """What was being written when its worker died is not read, and goes with its folder."""
    (path,) = put(tmp_path, minutes(4))
    half = path.with_name("000000000002.part")
    half.write_bytes(path.read_bytes()[:-20])
    taker = Spool(tmp_path, PLENTY, SERVED)
    (segment,) = taker.adopt()
    assert segment.rows == 4
    taker.remove(segment)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "data", [b"\x00" * 100, b"{", b'{"id":"../../x"}\n', b"[]\n", b"\xff\xfe\n"]
)
def test_an_unreadable_segment_stays_and_holds_nothing_up(tmp_path: Path, data: bytes) -> None:
    """What is no segment is logged and left where it is; its neighbours are taken over."""
    paths = put(tmp_path, minutes(1), minutes(2), minutes(3))
    put(tmp_path, minutes(4))
    paths[1].write_bytes(data)
    taker = Spool(tmp_path, PLENTY, SERVED)
    with listening() as heard:
        found = taker.adopt()
    (message,) = messages(heard)
    assert message.startswith("a part of the spool cannot be read, it stays: ")
    assert paths[1].name in message
    assert [segment.rows for segment in found] == [1, 3, 4]
    for segment in found:
        taker.remove(segment)
    taker.close()
    assert files(tmp_path, "*/*.jsonl") == [paths[1].name]
    assert paths[1].read_bytes() == data


def make_socket(path: Path) -> None:
    """Leave a socket behind, under a name that is short enough for one."""
    with socket.socket(socket.AF_UNIX) as server, chdir(path.parent):
        server.bind(path.name)


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        make_socket,
        Path.mkdir,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("/etc/passwd"),
    ],
    ids=["pipe", "socket", "folder", "link to a device", "link to a file"],
)
def test_what_is_no_file_holds_nothing_up(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A pipe, a socket, a folder or a link among the segments is logged, never opened, and stays.

    Neither a start nor the search of `forget` and `export` waits for it or reads it.
    """
    paths = put(tmp_path, minutes(1), minutes(2), minutes(3, subject=TOKEN))
    paths[1].unlink()
    make(paths[1])
    assert erasure.find(tmp_path, [TOKEN]) == 3
    assert erasure.blank(tmp_path, [TOKEN]) == 3
    taker = Spool(tmp_path, PLENTY, SERVED)
    with listening() as heard:
        found = taker.adopt()
    (message,) = messages(heard)
    assert message.startswith("a part of the spool cannot be read, it stays: ")
    assert [segment.rows for segment in found] == [1, 0]
    taker.close()
    assert os.path.lexists(paths[1])


def test_a_pipe_in_place_of_a_model_holds_nothing_up(tmp_path: Path) -> None:
    """A pipe instead of `served.json` is logged, and the rows of the folder stay."""
    (path,) = put(tmp_path, minutes(2))
    (path.parent / "served.json").unlink()
    os.mkfifo(path.parent / "served.json")
    with listening() as heard:
        assert Spool(tmp_path, PLENTY, SERVED).adopt() == []
    assert len(messages(heard)) == 1


def test_rows_of_an_unreadable_model_stay(tmp_path: Path) -> None:
    """Where it cannot be told what made the rows they stay, and others can look at them."""
    (path,) = put(tmp_path, minutes(2))
    (path.parent / "served.json").write_text("{")
    with listening() as heard:
        assert Spool(tmp_path, PLENTY, SERVED).adopt() == []
    assert len(messages(heard)) == 1
    # The lock is free again: who repairs the file needs no restart of this worker.
    (path.parent / "served.json").write_bytes(msgspec.json.encode(SERVED))
    assert len(Spool(tmp_path, PLENTY, SERVED).adopt()) == 1


def test_many_segments_go_fast(tmp_path: Path) -> None:
    """After a long outage thousands of segments are removed in linear time."""
    count = 3000
    put(tmp_path, *[[record()]] * count)
    taker = Spool(tmp_path, PLENTY, SERVED)
    found = taker.adopt()
    assert len(found) == count
    started = time.process_time()
    for segment in found:
        taker.remove(segment)
    # Listing what is left for each of them takes ten times as long.
    assert time.process_time() - started < 2.0
    assert list(tmp_path.iterdir()) == []


def test_a_subject_is_blanked_in_place(tmp_path: Path) -> None:
    """One subject's rows become spaces in every worker's spool; all others stay as they are."""
    hers = minutes(3, subject=TOKEN, subject_key="k")
    quoting = record(features=msgspec.Raw(json.dumps({"note": f'"subject":"{TOKEN}"'}).encode()))
    theirs = [record(subject="cd" * 32), quoting, *minutes(2)]
    living = Spool(tmp_path, PLENTY, SERVED)
    mixed = living.write(encode_lines([theirs[0], hers[0], theirs[1], hers[1], theirs[2]]), LINES)
    untouched = living.write(encode_lines([theirs[3]]), LINES)
    (dead,) = put(tmp_path, [hers[2]])
    sizes = [path.stat().st_size for path in (mixed, untouched, dead)]
    before = untouched.stat().st_mtime_ns
    assert erasure.find(tmp_path, [TOKEN]) == 3
    assert erasure.blank(tmp_path, [TOKEN, "ef" * 32]) == 3
    assert erasure.find(tmp_path, [TOKEN]) == 0
    assert erasure.blank(tmp_path, [TOKEN]) == 0
    assert records_in(mixed) == theirs[:3]
    assert records_in(dead) == []
    assert [path.stat().st_size for path in (mixed, untouched, dead)] == sizes
    assert untouched.stat().st_mtime_ns == before
    for one in hers:
        assert one.id.encode() not in mixed.read_bytes() + dead.read_bytes()


def test_a_blanked_segment_is_taken_over(tmp_path: Path) -> None:
    """A segment whose rows were all erased counts no rows and has no age."""
    put(tmp_path, minutes(2, subject=TOKEN), [record(subject=TOKEN), record()])
    erasure.blank(tmp_path, [TOKEN])
    taker = Spool(tmp_path, PLENTY, SERVED)
    empty, half = taker.adopt()
    assert (empty.rows, empty.first_id) == (0, "")
    assert half.path is not None
    assert (half.rows, [half.first_id]) == (1, ids_of(records_in(half.path)))


def test_there_is_nothing_to_blank_where_there_is_no_spool(tmp_path: Path) -> None:
    """A machine without a spool has no rows of anybody."""
    assert erasure.find(tmp_path / "none", [TOKEN]) == 0
    assert erasure.blank(tmp_path / "none", [TOKEN]) == 0
