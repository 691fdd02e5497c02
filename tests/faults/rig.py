"""What faults are done to: the service with two workers, its database, its disk."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from psycopg import sql

from bentos.errors import StoreDown
from bentos.records.opening import open_store
from bentos.records.record import Window
from tests.faults.load import Asked
from tests.faults.proxy import Proxy
from tests.records.postgresql import Server as PostgreSQL
from tests.service.checks import Series, series_of, total_of
from tests.service.process import Server

WORKERS = 2
ROLE = "faulty"
DISK_BYTES = 16 * 2**20

# Where libfaketime reads how far the clock is from the true one; Debian's package has it here.
CLOCK = "FAKETIME_TIMESTAMP_FILE"
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))

# Said at every start of a service that is set up as this one is.
_NO_NEWS = ("everyone is answered", "more workers and threads than CPUs", "takes CREATEROLE")

Kind = Literal["postgresql", "sqlite"]


class Rig:
    """One service on a model, with its log in a database of its own and its data on a small disk.

    `database`: None with SQLite, whose file lies on the disk. `samples`: of the metrics, twice a
    second. `asked`: every request and its answer. `broken` and `notes`: what a fault itself saw
    of the promise. `struck`: when rows may have been lost, where not at its beginning (monotonic).
    """

    def __init__(
        self,
        tag: str,
        kind: Kind,
        database: PostgreSQL | None,
        row: dict[str, Any],
        settings: Mapping[str, str],
    ) -> None:
        self.row = row
        self.asked: list[Asked] = []
        self.broken: list[str] = []
        self.notes: list[str] = []
        self.struck: float | None = None
        self._stack = contextlib.ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="tf-"))
        self.database = database if kind == "postgresql" else None
        self.settings: dict[str, Any] = {
            "TABSERVE_MODEL": tag,
            "TABSERVE_WORKERS": str(WORKERS),
            **settings,
        }
        if CLOCK in settings:
            self.settings[CLOCK] = str(self.folder / "clock")
            (self.folder / "clock").write_text("+0s\n")
        self.has_disk = self._mount()
        self.data = self.folder / "disk" / "data"
        self.url = self.direct_url = "sqlite:///"
        if self.database is not None:
            self._use(self.database)
        self.settings |= {"TABSERVE_STORE_URL": self.url, "TABSERVE_DATA_DIR": str(self.data)}
        self.service = self.start()
        self.samples: list[Series] = []
        self._is_over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()
        self.service.wait_for(lambda: bool(self.samples))

    def _use(self, database: PostgreSQL) -> None:
        with contextlib.suppress(Exception):
            database.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(ROLE)))
        self.direct_url = database.make_database(owner=ROLE)
        self.proxy = Proxy(database.port)
        self._stack.callback(self.proxy.close)
        self.url = self.direct_url.replace(f":{database.port}/", f":{self.proxy.port}/")

    def _mount(self) -> bool:
        disk = self.folder / "disk"
        disk.mkdir()
        # Only root may mount; without it the faults of a disk are left out, and named.
        options = ("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk))
        done = subprocess.run(["mount", *options], capture_output=True, check=False)
        if done.returncode == 0:
            self._stack.callback(subprocess.run, ["umount", "-l", str(disk)], check=True)
        return done.returncode == 0

    def start(self) -> Server:
        """Start the service, on the same data, and wait until it serves."""
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=self.folder))
        started = Server(folder, **self.settings)
        started.wait_until_ready(workers=WORKERS)
        return started

    def restart(self) -> None:
        """Start the service anew, after it ended."""
        self.service.close()
        self.service = self.start()

    def signal_database(self, number: signal.Signals) -> None:
        """Send a signal to the database's processes."""
        assert self.database is not None
        for pid in self.database.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def ids(self) -> list[str]:
        """The predictions in the log. Raises StoreDown."""
        with contextlib.closing(open_store(self.direct_url, self.data)) as store:
            return [record.id for record in store.read(Window())]

    def await_ids(self, wanted: set[str], seconds: float) -> list[str]:
        """The predictions in the log, once all those wanted are there or the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(StoreDown):
                found = self.ids()
                if wanted <= set(found) or time.monotonic() > deadline:
                    return found
            assert time.monotonic() < deadline + seconds, "the log cannot be read"
            time.sleep(0.2)

    def is_well(self) -> bool:
        """Whether all workers serve and nothing waits for the log."""
        if not self.samples:
            return False
        last = self.samples[-1]
        return (
            total_of(last, "tabserve_ready") == WORKERS
            and total_of(last, "tabserve_log_queue_rows") < 50
        )

    def says(self, text: str) -> bool:
        """Whether the logs of the service have a text."""
        return any(text in path.read_text() for path in self.folder.glob("run-*/log.txt"))

    def waits_for_log(self, rows: int) -> bool:
        """Whether so many rows are on their way to the log."""
        return total_of(self.samples[-1], "tabserve_log_queue_rows") >= rows

    def dropped(self) -> tuple[int, str]:
        """How many rows the metrics say are lost, and the counts by reason."""
        by_reason = {
            dict(labels)["reason"]: int(value)
            for (found, labels), value in self.samples[-1].items()
            if found == "tabserve_log_rows_dropped_total" and value
        }
        text = ", ".join(f"{reason} {count}" for reason, count in sorted(by_reason.items()))
        return sum(by_reason.values()), text

    def problems(self) -> set[str]:
        """What the logs of the service said that is no information."""
        lines = [
            line
            for path in sorted(self.folder.glob("run-*/log.txt"))
            for line in _lines(path)
            if line["level"] not in ("debug", "info")
        ]
        return {
            str(line["message"])
            for line in lines
            if not line["message"].startswith(_NO_NEWS)
            and "takes CREATEROLE" not in line["message"]
        }

    def _sample(self) -> None:
        while not self._is_over.wait(0.5):
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.samples.append(series_of(self.service.request("GET", "/metrics").body))

    def close(self) -> None:
        """End everything and leave nothing behind."""
        self._is_over.set()
        self._sampler.join()
        self.service.close()
        self._stack.close()
        subprocess.run(["rm", "-rf", str(self.folder)], check=True)


def _lines(path: Path) -> Iterator[dict[str, str]]:
    for line in path.read_text().splitlines():
        if line.startswith("{"):
            yield json.loads(line)
