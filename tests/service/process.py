"""The real service as its users start it: `bentoml serve` in processes of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.service.driver import ROOT, Answer

# How long a step may take on a busy machine before the test fails; never a pause.
PATIENCE_SECONDS = 120


class Server:
    """A `bentoml serve` on a free port of the loopback interface."""

    def __init__(
        self,
        folder: Path,
        *,
        target: Sequence[str] = (".",),
        working_dir: Path = ROOT,
        **environment: str,
    ) -> None:
        self.port = free_port()
        self.log = folder / "log.txt"
        self.data = folder / "data"
        # Short: a socket's path has at most 107 characters.
        self.scratch = Path(tempfile.mkdtemp(prefix="ts-"))
        arguments = ["serve", *target, "--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bentoml", *arguments],
                cwd=working_dir,
                env={
                    **os.environ,
                    "TMPDIR": str(self.scratch),
                    "TABSERVE_DATA_DIR": str(self.data),
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until(self, path: str, status: int) -> Answer:
        """Wait until a path answers with a status."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        last: object = None
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the server ended:\n{self.log.read_text()}"
            try:
                answer = self.request("GET", path)
            except OSError as error:
                last = error
            else:
                if answer.status == status:
                    return answer
                last = answer
            time.sleep(0.1)
        raise AssertionError(f"{path} gives {last}, not {status}:\n{self.log.read_text()}")

    def wait_until_ready(self, workers: int = 1) -> None:
        """Wait until so many workers have said that they are ready, and one answers so."""
        self.wait_for(lambda: self.count("ready") >= workers)
        self.wait_until("/readyz", 200)

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert self.process.poll() is None, f"the server ended:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def count(self, message: str) -> int:
        """How many lines of the log have a message."""
        return self.log.read_text().count(f'"message":"{message}"')

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request on a connection of its own."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        ) as connection:
            connection.request(method, path, body, headers or {})
            return read_answer(connection)

    def post(self, path: str, document: object) -> Answer:
        """`POST` a document as JSON."""
        body = json.dumps(document).encode()
        return self.request("POST", path, body, {"Content-Type": "application/json"})

    def exchange(self, *pieces: bytes, is_over: bool = False) -> bytes:
        """Send raw bytes and read until the server closes; `is_over` ends the sending side."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as connection:
            for piece in pieces:
                connection.sendall(piece)
            if is_over:
                connection.shutdown(socket.SHUT_WR)
            received = bytearray()
            with contextlib.suppress(ConnectionResetError):
                while part := connection.recv(65536):
                    received += part
        return bytes(received)

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        pid = self.process.pid
        return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]

    def worker_lines(self) -> list[dict[str, Any]]:
        """Lines of the log, without the supervisor's own, which are no JSON."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if "[cli]" not in line and line]

    def stop(self) -> int:
        """Ask the supervisor to stop, as Kubernetes does; give its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        """End whatever is left of it and remove its scratch folder."""
        left = self.workers() if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                for worker in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
        shutil.rmtree(self.scratch, ignore_errors=True)


@contextlib.contextmanager
def server(folder: Path, **options: Any) -> Iterator[Server]:
    """Run a `Server` and leave nothing of it behind."""
    started = Server(folder, **options)
    try:
        yield started
    finally:
        started.close()


def read_answer(connection: http.client.HTTPConnection) -> Answer:
    """Read the answer to the request that a connection sent."""
    response = connection.getresponse()
    body = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, body)


def free_port() -> int:
    """A port of the loopback interface that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    status = _read(f"/proc/{pid}/stat")
    return bool(status) and status.rpartition(")")[2].split()[0] != "Z"


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
