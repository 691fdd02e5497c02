"""The supervisor and its workers watch each other, where BentoML does not.

In a container BentoML replaces no worker, and ends only when all are gone: with one of two
killed the rest would go on, and nobody would know. A worker whose supervisor was killed would go
on as well, out of everybody's reach.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

from bentos import logs
from bentos.logs import LOGGER
from bentos.serving.exposition import directory

# Tells BentoML not to replace a worker that ended.
_CONTAINERIZED = "BENTOML_CONTAINERIZED"
# Set by the supervisor for its workers; no setting of the user.
_SUPERVISOR = "_TABSERVE_SUPERVISOR"
# A file for each worker that runs: one that stops as it should removes its own.
_RUNNING = "running-"

# Well within a scrape, which is where a missing worker must be seen.
_WATCH_SECONDS = 0.25
_ORPHAN_SECONDS = 1.0


def watch_workers(log_level: str) -> None:
    """Watch the workers of this supervisor, in a thread, for as long as it runs."""
    os.environ[_SUPERVISOR] = str(os.getpid())
    threading.Thread(target=_watch, args=(log_level,), name="supervision", daemon=True).start()


def join() -> None:
    """Say that this process is a worker of the supervisor that started it."""
    if _is_worker():
        (directory.shared_folder() / f"{_RUNNING}{os.getpid()}").touch()


def leave() -> None:
    """Say that this worker stops as it should."""
    if _is_worker():
        (directory.shared_folder() / f"{_RUNNING}{os.getpid()}").unlink(missing_ok=True)


def watch_supervisor() -> None:
    """Stop this worker when the supervisor is gone. Called in the event loop."""
    if not _is_worker():
        return
    if os.getppid() == int(os.environ[_SUPERVISOR]):
        asyncio.get_running_loop().call_later(_ORPHAN_SECONDS, watch_supervisor)
        return
    LOGGER.error("the supervisor was killed: its workers stop")
    os.kill(os.getpid(), signal.SIGTERM)


def _is_worker() -> bool:
    return os.environ.get(_SUPERVISOR, str(os.getpid())) != str(os.getpid())


def _watch(log_level: str) -> None:
    while True:
        time.sleep(_WATCH_SECONDS)
        # The folder is removed when the supervisor ends.
        with suppress(OSError):
            folder = directory.shared_folder()
            if look_for_the_dead(folder, log_level) and _CONTAINERIZED in os.environ:
                _end(folder)


def look_for_the_dead(folder: Path, log_level: str) -> list[int]:
    """Take killed workers out of the metrics, say it, and give their process ids."""
    dead = [pid for pid in _running(folder) if not directory.is_alive(pid)]
    for pid in dead:
        (folder / f"{_RUNNING}{pid}").unlink(missing_ok=True)
        directory.forget(pid)
        logs.configure_own(log_level)
        then = "the others stop, and the container ends"
        LOGGER.error(
            f"a worker was killed: {then if _CONTAINERIZED in os.environ else 'another follows'}"
        )
    return dead


def _running(folder: Path) -> list[int]:
    return [int(path.name.removeprefix(_RUNNING)) for path in folder.glob(f"{_RUNNING}*")]


def _end(folder: Path) -> None:
    left = _running(folder)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    while any(map(directory.is_alive, left)):
        time.sleep(_WATCH_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    # BentoML would end as well, up to ten seconds later and with a traceback.
    os._exit(1)
