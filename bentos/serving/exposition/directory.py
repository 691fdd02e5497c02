"""The folder in which the workers of one server share their metrics.

Each worker has files of its own there. Those of a worker that ended are added up into one
set of files, so that a scrape reads as many files as there are workers, however many came
before them. A lock keeps a scrape from reading while that is done: it would see a count
twice or not at all, which Prometheus takes for a reset.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

_MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"
# Set by the supervisor for its workers; no setting of the user.
_WORKERS_DIR = "_TABSERVE_METRICS_DIR"
_LOCK = "lock"
# In the place of a process id: what ended workers counted. No process has the id 0.
_ENDED = 0
# Files whose values are sums, so that two of them can be added up.
_SUMS = ("counter", "histogram")


def start_directory() -> None:
    """Make the folder that the workers of this server share, before they start.

    BentoML's own folder is the same for every server of a machine, and each start empties
    it: two servers side by side would wipe and mix each other's numbers.
    """
    folder = tempfile.mkdtemp(prefix="tabserve-metrics-")
    os.environ[_WORKERS_DIR] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def join_directory() -> None:
    """Use the folder of `start_directory` in a worker that it started.

    Takes the gauges of workers that were killed out of the sums: they could not do it. Adds
    up what ended workers counted.
    """
    if _WORKERS_DIR not in os.environ:
        return
    folder = Path(os.environ[_WORKERS_DIR])
    os.environ[_MULTIPROC_DIR] = str(folder)
    with _locked(folder, fcntl.LOCK_EX):
        for path in folder.glob("gauge_live*_*.db"):
            pid = _pid_of(path)
            if not is_alive(pid):
                mark_process_dead(pid)  # type: ignore[no-untyped-call]  # the library has no types
        for kind in _SUMS:
            _add_up(folder, kind)


def leave_directory() -> None:
    """Take this worker's gauges out of the sums: it stops."""
    if _MULTIPROC_DIR in os.environ:
        with suppress(OSError):
            mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]  # the same


def shared_folder() -> Path:
    """The folder that the workers of this server share. Raises FileNotFoundError without one."""
    if _WORKERS_DIR not in os.environ:
        raise FileNotFoundError("this process belongs to no server")
    return Path(os.environ[_WORKERS_DIR])


def forget(pid: int) -> None:
    """Take a killed worker's gauges out of the sums, as it could not."""
    folder = shared_folder()
    with _locked(folder, fcntl.LOCK_EX):
        mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]  # the same


def render(registry: CollectorRegistry) -> bytes:
    """All metrics of all workers, or of this process's registry where it has no others."""
    if _MULTIPROC_DIR not in os.environ:
        return generate_latest(registry)
    merged = CollectorRegistry()
    MultiProcessCollector(merged)  # type: ignore[no-untyped-call]  # the library has no types
    with _locked(Path(os.environ[_MULTIPROC_DIR]), fcntl.LOCK_SH):
        return generate_latest(merged)


def _add_up(folder: Path, kind: str) -> None:
    ended = folder / f"{kind}_{_ENDED}.db"
    gone = [
        path
        for path in folder.glob(f"{kind}_*.db")
        if path != ended and not is_alive(_pid_of(path))
    ]
    if not gone:
        return
    # Not `.db`: a worker that was killed here leaves a file that no scrape reads.
    unfinished = folder / f"{kind}_{_ENDED}.new"
    unfinished.unlink(missing_ok=True)
    sums = MmapedDict(str(unfinished))  # type: ignore[no-untyped-call]  # the same
    try:
        for path in [ended, *gone]:
            for key, value in _read(path):
                had, _ = sums.read_value(key)  # type: ignore[no-untyped-call]  # the same
                sums.write_value(key, had + value, 0.0)  # type: ignore[no-untyped-call]  # the same
    finally:
        sums.close()  # type: ignore[no-untyped-call]  # the same
    for path in gone:
        path.unlink()
    unfinished.replace(ended)


def _read(path: Path) -> Iterator[tuple[str, float]]:
    try:
        values = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]  # the same
        yield from ((key, value) for key, value, _, _ in values)
    except FileNotFoundError:
        return


def _pid_of(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be collected does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # The name, in brackets, may have spaces: fields are counted after it.
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    # Closing the file lets the lock go.
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, how)
        yield
