"""What a server uses is what all of its processes use, those that have ended too."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from loadtests.machine import processes

# Starts a child that works and ends, then says so and waits. It works longer than is asked for: the
# system counts ticks of a hundredth of a second, and of user and kernel mode apart.
PARENT = """
import pathlib, subprocess, sys, time
work = "import time\\nwhile time.process_time() < 0.45: pass"
subprocess.run([sys.executable, "-c", work], check=True)
pathlib.Path("done").touch()
time.sleep(60)
"""


def test_children_that_have_ended_count(tmp_path: Path) -> None:
    """The CPU seconds of a process that a server has waited for are the server's."""
    core = str(min(os.sched_getaffinity(0)))
    with processes.serve(
        [sys.executable, "-c", PARENT],
        cores=core,
        log=tmp_path / "log",
        environment={},
        folder=tmp_path,
    ) as server:
        until = time.perf_counter() + 30
        while not (tmp_path / "done").exists() and time.perf_counter() < until:
            time.sleep(0.02)
        assert server.usage().cpu_seconds >= 0.4
        assert server.strays({int(core)}) == 0
        assert server.strays({int(core) + 1}) == 1
        server.wait_idle(30)
        used = server.usage().cpu_seconds
        time.sleep(0.1)
        assert server.usage().cpu_seconds - used < 0.05


def test_cores_are_read_as_taskset_reads_them() -> None:
    """One, a range, a list."""
    assert processes.cores_of("1") == {1}
    assert processes.cores_of("0-2,5") == {0, 1, 2, 5}
