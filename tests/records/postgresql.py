"""A real PostgreSQL for tests: a cluster of its own on a free port, ended by its process id."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.service.process import PATIENCE_SECONDS, free_port, is_alive

# Tests end the server's processes, never the machine: what was written is with the kernel.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    # In the folder, which is removed at the end even after a `kill -9`.
    "dynamic_shared_memory_type": "mmap",
    # Few files of the write-ahead log, used again and again: less for a slow disk to take.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
}


class Server:
    """One cluster, with `postgres` as its superuser and no passwords asked for."""

    def __init__(self) -> None:
        self._programs = find_programs()
        # Short: a socket's path has at most 107 characters. Not pytest's folder: PostgreSQL
        # refuses to run as root, and nobody else may enter that one.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir=_roomy_memory()))
        self._account = _account()
        if self._account is not None:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        self._names = count(1)
        self._data = self.folder / "data"
        self.log = self.folder / "log.txt"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._run(
            "initdb",
            *("--pgdata", str(self._data), "--username", "postgres", "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
        ).wait(PATIENCE_SECONDS)
        self.start()

    def url(self, database: str, user: str = "postgres") -> str:
        """Where a database is, over TCP."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def make_database(self, owner: str = "postgres") -> str:
        """Make an empty database and give its URL."""
        name = f"log_{next(self._names)}"
        self.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(name), sql.Identifier(owner)
            )
        )
        return self.url(name, owner)

    def execute(self, statement: sql.Composed, database: str = "postgres") -> None:
        """Run a statement as the superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        options += ["-p", str(self.port), "-k", str(self.folder)]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            # After `kill -9` the first attempts may fail: the old backends hold the memory.
            if self._process is None or self._process.poll() is not None:
                self._process = self._run("postgres", "-D", str(self._data), *options)
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        """End it as an administrator does who waits for nobody (`fast`)."""
        self._end(signal.SIGINT)

    def pids(self) -> list[int]:
        """Process ids: the postmaster, then its backends."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [self._process.pid, *(int(pid) for pid in children.read_text().split())]

    def kill(self) -> None:
        """End it as the kernel does that is out of memory; its backends follow."""
        _, *backends = self.pids()
        self._end(signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(map(is_alive, backends)):
            assert time.monotonic() < deadline, "a backend outlives its server"
            time.sleep(0.02)

    def close(self) -> None:
        """End it and leave nothing behind."""
        # At once (`immediate`): nothing of it is kept, so nothing need be written.
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE_SECONDS)
            self._process = None

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        account = self._account
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [self._programs / program, *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else [],
            )


def find_programs() -> Path:
    """The folder of PostgreSQL's programs; without them a test is skipped, in CI it fails."""
    # Debian keeps them off the path, by version.
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name)
    )
    on_path = shutil.which("postgres")
    if on_path is not None:
        folders.append(Path(on_path).resolve().parent)
    for folder in reversed(folders):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    reason = "PostgreSQL's server is not installed: apt-get install postgresql"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _roomy_memory() -> Path | None:
    # A gigabyte that nobody keeps: a slow disk took a minute to forget it again.
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder there that only we may enter
    if memory.is_dir() and shutil.disk_usage(memory).free > 4 * 2**30:
        return memory
    return None


def _account() -> pwd.struct_passwd | None:
    # PostgreSQL refuses to run as root; Debian's package brings an account for it.
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("PostgreSQL cannot run as root, and there is no other account")
