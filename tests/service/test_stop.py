"""How the service ends, and how it comes back."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.service.checks import series_of, total_of
from tests.service.pending import Pending
from tests.service.process import PATIENCE_SECONDS, Server, is_alive, read_answer, server

WAITING = 20


class _Load:
    """Clients that ask on and on until they are refused."""

    def __init__(self, port: int, body: bytes, clients: int = 4) -> None:
        self._port, self._body = port, body
        self.outcomes: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            with contextlib.closing(connection):
                try:
                    for _ in range(20):
                        headers = {"Content-Type": "application/json", "X-Request-Id": "loaded"}
                        connection.request("POST", "/v1/predict", self._body, headers)
                        answer = read_answer(connection)
                        assert "score" in answer.json()
                        self.outcomes[str(answer.status)] += 1
                        if answer.headers.get("connection") == "close":
                            break
                except ConnectionRefusedError:
                    return
                except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                    # Closed before a single byte of an answer: it was never taken on.
                    self.outcomes["closed"] += 1
                except Exception as error:
                    self.outcomes[repr(error)] += 1
                    return

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


def _takes_nothing_new(started: Server) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=1)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/livez")
            read_answer(connection)
        except OSError:
            return True
    return False


def _stop_under_load(started: Server, row: dict[str, Any]) -> None:
    with contextlib.ExitStack() as stack:
        _stop_while_waiting(started, json.dumps(row).encode(), stack)


def _stop_while_waiting(started: Server, body: bytes, stack: contextlib.ExitStack) -> None:
    workers = started.workers()
    waiting = [
        stack.enter_context(contextlib.closing(Pending(started.port, body))) for _ in range(WAITING)
    ]
    load = _Load(started.port, body)
    while load.outcomes["200"] < 50:
        assert started.process.poll() is None
    started.process.send_signal(signal.SIGTERM)
    while not _takes_nothing_new(started):
        pass
    assert started.process.poll() is None
    for each in waiting:
        head, _, document = each.finish().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in head
        assert "score" in json.loads(document)
    assert started.process.wait(PATIENCE_SECONDS) == 0
    load.wait()
    assert load.outcomes.keys() <= {"200", "closed"}
    assert not any(map(is_alive, workers))
    lines = started.worker_lines()
    errors = [line["message"] for line in lines if line["level"] in ("error", "critical")]
    assert set(errors) <= {"a worker was killed: another follows"}
    served = [line for line in lines if line.get("request_id") == "loaded"]
    assert {line["status"] for line in served} == {200}
    assert len(served) == WAITING + load.outcomes["200"]


def test_stop_one_worker(quick: dict[str, str], row: dict[str, Any], tmp_path: Path) -> None:
    """SIGTERM finishes what was taken on, takes nothing new, loses no log line, exits 0."""
    with server(tmp_path, TABSERVE_MODEL=quick["binary"]) as started:
        started.wait_until_ready()
        # Who left in the middle of a body holds nothing up.
        head = "POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        for path in ("/v1/predict", "/livez", "/nothing"):
            request = head.replace("/v1/predict", path) + "Content-Length: 100\r\n\r\n{"
            for _ in range(5):
                started.exchange(request.encode(), is_over=True)
        _stop_under_load(started, row)
        assert list(started.scratch.rglob("*")) == []


def test_a_stream_ends_with_the_server(
    quick: dict[str, str], row: dict[str, Any], tmp_path: Path
) -> None:
    """A client that sends on and on gets a last row that says so, and the worker ends by itself."""
    line = json.dumps(row).encode() + b"\n"
    head = "POST /v1/predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
    settings = {"TABSERVE_MODEL": quick["binary"], "TABSERVE_TIMEOUT_SECONDS": "1"}
    with server(tmp_path, **settings) as started:
        started.wait_until_ready()
        address = ("127.0.0.1", started.port)
        with socket.create_connection(address, PATIENCE_SECONDS) as connection:
            connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            answer = bytearray()
            sent = 0
            while True:
                with contextlib.suppress(OSError):
                    connection.sendall(b"%x\r\n%b\r\n" % (len(line), line))
                    sent += 1
                part = connection.recv(65536)
                if not part:
                    break
                answer += part
                if sent == 5:
                    started.process.send_signal(signal.SIGTERM)
                # Twenty times as long as it should take.
                assert sent < 500
                time.sleep(0.05)
        assert started.process.wait(PATIENCE_SECONDS) == 0
    results = [json.loads(one) for one in answer.split(b"\r\n") if one.startswith(b"{")]
    *scored, last = results
    assert len(scored) > 5 and all("score" in one for one in scored)
    assert last["row"] == len(scored) and "the server stops" in last["error"]["detail"]
    # No client takes it for whole.
    assert not answer.endswith(b"0\r\n\r\n")


def test_killed_worker_then_stop(
    quick: dict[str, str], row: dict[str, Any], tmp_path: Path
) -> None:
    """A killed worker is replaced and its counts are kept; SIGTERM ends both workers well."""
    settings = {"TABSERVE_MODEL": quick["binary"], "TABSERVE_WORKERS": "2"}
    with server(tmp_path, **settings) as started:
        started.wait_until_ready(workers=2)
        for _ in range(30):
            assert started.post("/v1/predict", row).status == 200

        def scored() -> float:
            series = series_of(started.request("GET", "/metrics").body)
            return total_of(series, "tabserve_rows_total", outcome="scored")

        def ready() -> float:
            series = series_of(started.request("GET", "/metrics").body)
            return total_of(series, "tabserve_ready")

        started.wait_for(lambda: scored() == 30)
        killed, kept = started.workers()
        os.kill(killed, signal.SIGKILL)
        # Long before another takes its place.
        started.wait_for(lambda: ready() == 1)
        assert started.count("ready") == 2
        started.wait_for(lambda: started.count("ready") == 3)
        now = started.workers()
        assert killed not in now and kept in now and len(now) == 2
        for _ in range(30):
            assert started.post("/v1/predict", row).status == 200
        started.wait_for(lambda: scored() == 60)
        series = series_of(started.request("GET", "/metrics").body)
        assert total_of(series, "tabserve_ready") == 2
        _stop_under_load(started, row)


def test_not_replaced_in_a_container(quick: dict[str, str], tmp_path: Path) -> None:
    """With BENTOML_CONTAINERIZED one dead worker of two ends the server: Kubernetes sees it."""
    settings = {"TABSERVE_MODEL": quick["binary"], "TABSERVE_WORKERS": "2"}
    with server(tmp_path, BENTOML_CONTAINERIZED="true", **settings) as started:
        started.wait_until_ready(workers=2)
        killed, other = started.workers()
        os.kill(killed, signal.SIGKILL)
        assert started.process.wait(PATIENCE_SECONDS) == 1
        assert not is_alive(other)
        (line,) = [line for line in started.worker_lines() if line["level"] == "error"]
        assert line["message"].startswith("a worker was killed: the others stop")


def test_killed_supervisor(quick: dict[str, str], tmp_path: Path) -> None:
    """When the supervisor is killed its workers stop by themselves, and say why."""
    with server(tmp_path, TABSERVE_MODEL=quick["binary"]) as started:
        started.wait_until_ready()
        (worker,) = started.workers()
        started.process.kill()
        started.process.wait(PATIENCE_SECONDS)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while is_alive(worker):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (line,) = [line for line in started.worker_lines() if line["level"] == "error"]
        assert line["message"] == "the supervisor was killed: its workers stop"
