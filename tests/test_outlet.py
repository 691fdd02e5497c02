"""Standard error that is slow, full, closed or at its end: a line waits, or its loss is said."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from bentos.outlet import Outlet

LINE = b"x" * 99 + b"\n"
# More than a pipe holds.
MANY = 2000
PATIENCE_SECONDS = 20


def report(lost: int) -> str:
    """The line that says how many were lost."""
    return f"lost {lost}\n"


@contextlib.contextmanager
def read_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.BufferedReader]:
    """The other end of a pipe that is standard error. No fixture: pytest sets it after those."""
    inner, outer = os.pipe()
    with os.fdopen(inner, "rb") as reading, os.fdopen(outer, "w") as writing:
        monkeypatch.setattr(sys, "stderr", writing)
        yield reading


def test_full_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines for a pipe that nobody reads wait within the bound, those beyond it are counted."""
    with read_end(monkeypatch) as reader:
        outlet = Outlet(report, most_bytes=150_000)
        for _ in range(MANY):
            outlet.add(LINE, 1)
        assert outlet.dropped == MANY - 1500
        assert not outlet.drain(0.1)
        kept = [reader.readline() for _ in range(1501)]
        assert kept[:1500] == [LINE] * 1500
        assert kept[1500] == b"lost 500\n"
        assert outlet.drain(PATIENCE_SECONDS)


def test_pipe_that_does_not_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that another process made so that it does not block loses nothing."""
    with read_end(monkeypatch) as reader:
        os.set_blocking(sys.stderr.fileno(), False)
        outlet = Outlet(report)
        for _ in range(MANY):
            outlet.add(LINE, 1)
        assert reader.read(MANY * len(LINE)) == LINE * MANY
        assert outlet.drain(PATIENCE_SECONDS)
        assert outlet.dropped == 0


def test_order_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of one thread stay in their order, and whole, whatever others write."""
    with read_end(monkeypatch) as reader:
        outlet = Outlet(report)

        def write(name: str) -> None:
            for number in range(100):
                outlet.write(f"{name} {number}\n")

        threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        lines = [reader.readline().decode().split() for _ in range(200)]
        for name in "ab":
            assert [int(number) for each, number in lines if each == name] == list(range(100))
        for thread in threads:
            thread.join()


def test_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standard error that is closed costs lines, which are counted, and raises nothing."""
    inner, outer = os.pipe()
    os.close(inner)
    with os.fdopen(outer, "w") as broken:
        monkeypatch.setattr(sys, "stderr", broken)
        outlet = Outlet(report)
        outlet.write("one\ntwo\n")
        assert outlet.drain(PATIENCE_SECONDS)
        assert outlet.dropped == 2


def test_end_of_the_process() -> None:
    """What waits when the process ends is written, and so is what its last steps say."""
    script = (
        "import atexit\n"
        "from bentos.outlet import Outlet\n"
        "outlet = Outlet(lambda lost: f'lost {lost}\\n')\n"
        "atexit.register(outlet.write, 'last\\n')\n"
        f"for number in range({MANY}): outlet.write(f'{{number}}\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines() == [*map(str, range(MANY)), "last"]


def test_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork writes its own lines, and not again those of the process that it came from."""
    with read_end(monkeypatch) as reader:
        outlet = Outlet(report)
        outlet.write("before\n")
        assert outlet.drain(PATIENCE_SECONDS)
        child = os.fork()
        if not child:
            outlet.write("child\n")
            os._exit(0 if outlet.drain(PATIENCE_SECONDS) else 1)
        assert os.waitpid(child, 0)[1] == 0
        outlet.write("parent\n")
        assert [reader.readline() for _ in range(3)] == [b"before\n", b"child\n", b"parent\n"]
