"""Programs that the tests start on loopback, and end by their own process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psycopg


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], ready: str, log: Path) -> Iterator[None]:
    """Run a program until it answers at `ready`, and end it afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                get(ready)
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def get(url: str) -> str:
    """The body of an answer."""
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - on loopback
        return str(answer.read().decode())


class Annotations:
    """Stands in for Grafana's annotation route, and for nothing else of Grafana."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str | None, bytes]] = []
        self.status = 200
        self.location = ""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.received.append((self.path, self.headers["Authorization"], body))
                self.send_response(owner.status)
                if owner.location:
                    self.send_header("Location", owner.location)
                self.end_headers()
                self.wfile.write(b'{"id": 1, "message": "Annotation added"}')

            def do_GET(self) -> None:
                # Where a redirect that is followed would arrive, and be taken for a success.
                owner.received.append((self.path, self.headers["Authorization"], b""))
                self.send_response(200)
                self.end_headers()

            do_PUT = do_POST  # noqa: N815 - http.server's name

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def answering(data: bytes, pause_seconds: float = 0.0) -> Iterator[str]:
    """Answers each connection with these bytes, one after the other; gives the URL."""
    server = socket.create_server(("127.0.0.1", 0))
    is_over = threading.Event()

    def answer() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.recv(65_536)
                for place in range(len(data)):
                    connection.sendall(data[place : place + 1])
                    if is_over.wait(pause_seconds):
                        return
                # What was not read yet would make a reset of the end.
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(5)
                while connection.recv(65_536):
                    pass

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        is_over.set()
        # Closing alone does not wake who waits in accept.
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL cluster of its own; gives a URL up to the user: `postgresql://{}@...`.

    Raises FileNotFoundError where the server is not installed. (The log's own tests have
    another one; what it imports is not in this environment.)
    """
    # Debian keeps them off the path, by version.
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb")
    programs = folders[-1].parent if folders else Path(found or "").parent
    if not (programs / "initdb").exists():
        raise FileNotFoundError("initdb")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    # PostgreSQL refuses to run as root; Debian's package brings an account for it.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    port = free_port()
    data, log = folder / "data", (folder / "log").open("wb")

    def start(*command: str) -> subprocess.Popen[bytes]:
        groups: list[str] | None = [] if user else None
        return subprocess.Popen(
            [programs / command[0], *command[1:]],
            cwd=folder, stdout=log, stderr=log, user=user, group=user, extra_groups=groups,
        )  # fmt: skip

    process = None
    try:
        made = start("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8")
        assert made.wait(60) == 0
        where = ("-c", "listen_addresses=127.0.0.1", "-p", str(port), "-k", str(folder))
        process = start("postgres", "-D", str(data), "-c", "fsync=off", *where)
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres").close()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
        yield f"postgresql://{{}}@127.0.0.1:{port}/postgres"
    finally:
        if process is not None:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)
        log.close()
        shutil.rmtree(folder)
