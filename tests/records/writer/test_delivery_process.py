"""Rows reach the store exactly once through a process of its own, whatever becomes of that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from bentos.records.writer.log import Log
from bentos.records.writer.recorder import Recorder
from bentos.settings import Settings
from tests.records.answers import (
    CONTRACT,
    SERVED,
    answered,
    down,
    ids_of,
    listening,
    messages,
    read_log,
    wait_until,
)
from tests.service.driver import ROOT
from tests.service.process import is_alive

# A worker of its own: logs rows, says their ids, and waits to be killed.
WORKER = """
    import sys, time
    from pathlib import Path
    from bentos.records.writer.log import Log
    from bentos.settings import Settings
    from tests.records.answers import CONTRACT, SERVED, answered
    log = Log(Settings(data_dir=Path(sys.argv[1])))
    log.start(SERVED.registration, CONTRACT, "accelerated")
    for _ in range(20):
        one = answered(10)
        log.recorder.add(one)
        print(*one.ids, sep="\\n", flush=True)
    time.sleep(0.5)
    print("written", flush=True)
    time.sleep(600)
"""


@contextmanager
def logging_to(folder: Path, **changes: object) -> Iterator[tuple[Log, Recorder]]:
    """A started log with its process; it is stopped afterwards."""
    log = Log(Settings(data_dir=folder, **changes))  # type: ignore[arg-type]  # each its field's type
    log.start(SERVED.registration, CONTRACT, "accelerated")
    assert log.recorder is not None
    try:
        yield log, log.recorder
    finally:
        log.stop(30)


def children(parent: int | None = None) -> list[int]:
    """The processes that this one, or another, started and that are alive."""
    parent = parent or os.getpid()
    found = []
    for task in Path(f"/proc/{parent}/task").iterdir():
        with suppress(OSError):
            found += [int(pid) for pid in (task / "children").read_text().split()]
    return [pid for pid in found if is_delivery(pid)]


def is_delivery(pid: int) -> bool:
    """Whether a process delivers rows."""
    try:
        return b"bentos.records.writer.delivery" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def process_of() -> int:
    """The process that delivers for this one."""
    wait_until(lambda: len(children()) == 1)
    return children()[0]


def depth(recorder: Recorder) -> int:
    """Rows that are not in the store yet."""
    return recorder.look(datetime.now(UTC)).depth


def test_a_killed_process_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Killed again and again while rows come, it is started again, and each row is there once."""
    given: list[str] = []
    with listening() as heard, logging_to(tmp_path) as (_, recorder):
        for _ in range(4):
            victim = process_of()
            for _ in range(150):
                one = answered(7)
                recorder.add(one)
                given += one.ids
                time.sleep(0.002)
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda pid=victim: not is_delivery(pid))  # type: ignore[misc]  # of this turn
        wait_until(lambda: depth(recorder) == 0)
        assert recorder.counts.written >= len(given)
    assert ids_of(read_log(tmp_path / "records.db")) == sorted(given)
    assert not any(recorder.counts.dropped.values())
    told = "the delivery of the prediction log is started again: signal SIGKILL"
    assert messages(heard) == [told] * 4
    assert not list((tmp_path / "spool").iterdir())


def test_rows_in_memory_survive_the_process(tmp_path: Path) -> None:
    """Without a spool the rows that a killed process had are given to the next."""
    with ExitStack() as outage, logging_to(tmp_path, spool_max_bytes=0) as (_, recorder):
        outage.enter_context(down(tmp_path / "records.db"))
        # More than a pipe holds.
        given = [answered(4000) for _ in range(3)]
        for one in given:
            recorder.add(one)
        wait_until(lambda: recorder._flushed == 12_000)
        victim = process_of()
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not is_delivery(victim))
        process_of()
        outage.close()
        wait_until(lambda: depth(recorder) == 0)
    found = ids_of(read_log(tmp_path / "records.db"))
    assert found == sorted(name for one in given for name in one.ids)
    assert not (tmp_path / "spool").exists()


def test_signals_for_the_service_do_not_end_it(tmp_path: Path) -> None:
    """What a terminal or a container sends to all processes leaves the delivery to its worker."""
    with logging_to(tmp_path) as (_, recorder):
        process = process_of()
        recorder.add(answered(3))
        wait_until(lambda: depth(recorder) == 0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(process, number)
        recorder.add(answered(4))
        wait_until(lambda: depth(recorder) == 0)
        assert children() == [process]
    wait_until(lambda: not is_alive(process))
    assert len(read_log(tmp_path / "records.db")) == 7


def test_a_killed_worker_takes_its_process_along(tmp_path: Path) -> None:
    """After `kill -9` of the worker its process ends, and the next start has every row."""
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    given = []
    while (line := worker.stdout.readline().strip()) != "written":
        given.append(line)
    (process,) = children(worker.pid)
    # It holds rows that it cannot write at this moment.
    os.kill(process, signal.SIGSTOP)
    worker.kill()
    worker.wait()
    worker.stdout.close()
    assert is_alive(process)
    os.kill(process, signal.SIGCONT)
    wait_until(lambda: not is_alive(process))
    with logging_to(tmp_path) as (_, recorder):
        wait_until(lambda: len(read_log(tmp_path / "records.db")) == len(given) == 200)
        wait_until(lambda: depth(recorder) == 0)
    assert ids_of(read_log(tmp_path / "records.db")) == sorted(given)


def test_a_stop_is_in_time_while_the_process_hangs(tmp_path: Path) -> None:
    """A process that does not answer is killed at the end of a stop; its rows are in the spool."""
    log = Log(Settings(data_dir=tmp_path))  # type: ignore[call-arg]  # has defaults
    log.start(SERVED.registration, CONTRACT, "accelerated")
    assert log.recorder is not None
    process = process_of()
    os.kill(process, signal.SIGSTOP)
    given = answered(5)
    log.recorder.add(given)
    wait_until(lambda: bool(list(tmp_path.glob("spool/*/*.rows"))))
    started = time.monotonic()
    with listening() as heard:
        log.stop(0.5)
    assert time.monotonic() - started < 10
    wait_until(lambda: not is_alive(process))
    assert messages(heard) == ["the prediction log stopped behind"]
    assert not any(log.recorder.counts.dropped.values())
    with logging_to(tmp_path) as (_, recorder):
        wait_until(lambda: len(read_log(tmp_path / "records.db")) == 5)
        wait_until(lambda: depth(recorder) == 0)


def test_what_was_taken_over_is_counted(tmp_path: Path) -> None:
    """Rows of a dead worker are part of depth, age and bytes until the store has them."""
    with ExitStack() as outage:
        outage.enter_context(down(tmp_path / "records.db"))
        first = Log(Settings(data_dir=tmp_path))  # type: ignore[call-arg]  # has defaults
        first.start(SERVED.registration, CONTRACT, "accelerated")
        assert first.recorder is not None
        first.recorder.add(answered(6))
        wait_until(lambda: bool(list(tmp_path.glob("spool/*/*.rows"))))
        first.stop(0)
        with logging_to(tmp_path) as (_, recorder):
            wait_until(lambda: depth(recorder) == 6)
            state = recorder.look(datetime.now(UTC))
            assert state.spool_bytes > 0
            assert state.oldest_age_seconds > 0
            outage.close()
            wait_until(lambda: depth(recorder) == 0)
            state = recorder.look(datetime.now(UTC))
            assert (state.written, state.spool_bytes) == (6, 0)
            assert state.oldest_age_seconds == 0.0
    assert len(read_log(tmp_path / "records.db")) == 6


def test_a_process_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile rows wait in the spool, and one line a try says why; then they are delivered."""
    with monkeypatch.context() as patch, listening() as heard:
        patch.setattr(sys, "executable", str(tmp_path / "no python"))
        with logging_to(tmp_path) as (_, recorder):
            recorder.add(answered(3))
            wait_until(lambda: len(messages(heard)) >= 2)
            assert depth(recorder) == 3
            patch.undo()
            wait_until(lambda: depth(recorder) == 0)
    assert len(read_log(tmp_path / "records.db")) == 3
    assert messages(heard)[0] == (
        "the delivery of the prediction log is started again: "
        "it cannot be started (No such file or directory)"
    )


def test_the_store_is_told_to_nobody_else(tmp_path: Path) -> None:
    """A password in the store's URL is neither in the process's arguments nor in its variables."""
    url = SecretStr("postgresql://nobody:se7r3t@127.0.0.1:1/none")
    log = Log(Settings(data_dir=tmp_path, store_url=url))  # type: ignore[call-arg]  # has defaults
    log.start(SERVED.registration, CONTRACT, "accelerated")
    process = Path(f"/proc/{process_of()}")
    shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    log.stop(0)
    assert b"se7r3t" not in shown


def test_it_needs_little() -> None:
    """The process imports neither numpy nor BentoML nor pydantic, which would be most of it."""
    code = (
        "import sys, bentos.records.writer.delivery.__main__, bentos.records.sqlite.store\n"
        "print([name for name in ('numpy', 'bentoml', 'pydantic', 'click') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def nice_of(process: int) -> set[int]:
    """The niceness of the threads of a process."""
    stats = [task / "stat" for task in Path(f"/proc/{process}/task").iterdir()]
    return {int(stat.read_text().rpartition(")")[2].split()[16]) for stat in stats}


def test_a_thread_of_low_priority_writes(tmp_path: Path) -> None:
    """Where a core is shared answers go first; the rest of the process has the usual priority."""
    with logging_to(tmp_path) as (_, recorder):
        process = process_of()
        recorder.add(answered(3))
        wait_until(lambda: depth(recorder) == 0)
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert nice_of(process) == {own, 19}
