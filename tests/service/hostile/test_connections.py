"""Connections: bounded in number and time, with room kept for health."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.service.checks import series_of, total_of, value_of
from tests.service.hostile.wire import Conversation, answers_in, head, post
from tests.service.process import Server, server

DESCRIPTORS = 64
HEAD_SECONDS = 1


@pytest.fixture(scope="module")
def narrow(quick: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with few descriptors and short deadlines."""
    settings = {
        "TABSERVE_MODEL": quick["binary"],
        "TABSERVE_HEAD_TIMEOUT_SECONDS": str(HEAD_SECONDS),
        "TABSERVE_IDLE_TIMEOUT_SECONDS": "2",
        "TABSERVE_TIMEOUT_SECONDS": "2",
    }
    with server(tmp_path_factory.mktemp("narrow"), **settings) as started:
        started.wait_until_ready()
        (worker,) = started.workers()
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        started.wait_for(lambda: limit_of(started) < DESCRIPTORS)
        yield started


def limit_of(started: Server) -> float:
    """How many connections the worker says that it may have."""
    series = series_of(started.request("GET", "/metrics").body)
    return total_of(series, "tabserve_connections_limit")


def closes_within(conversation: Conversation, seconds: float) -> bytes:
    """What a connection received until the server closed it; fails where it stays open."""
    conversation.socket.settimeout(seconds)
    return conversation.read_all()


def test_many_connections_leave_health_reachable(narrow: Server, row: dict[str, Any]) -> None:
    """With 64 descriptors, hundreds of idle connections and half heads keep nobody out."""
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(Conversation(narrow.port)) for _ in range(200)]
        for number, one in enumerate(idle):
            one.try_to_send(b"GET /livez HTTP/1.1\r\nHost: a\r\n"[: number % 3 * 10])
        for _ in range(20):
            assert narrow.request("GET", "/readyz").status == 200
            assert narrow.post("/v1/predict", row).status == 200
        series = series_of(narrow.request("GET", "/metrics").body)
        assert value_of(series, "tabserve_connections_closed_total", reason="evicted") > 0
        limit = total_of(series, "tabserve_connections_limit")
        assert 1 <= limit < DESCRIPTORS
        assert total_of(series, "tabserve_connections") <= limit + 8
    lines = [line["message"] for line in narrow.worker_lines() if line["level"] == "warning"]
    assert [line for line in lines if "connections" in line]
    assert len(lines) == len(set(lines)), "a line for each connection"


def test_all_at_work(narrow: Server, row: dict[str, Any]) -> None:
    """Where every connection waits for a body, others get 503 at once, and probes their answer."""
    slow = post("/v1/predict", b"{", "Content-Length: 100")
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            one = stack.enter_context(Conversation(narrow.port))
            one.try_to_send(slow)
        time.sleep(0.2)
        refused = 0
        for _ in range(10):
            with contextlib.suppress(OSError):
                answer = narrow.post("/v1/predict", row)
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
                refused += 1
        assert refused > 0
    assert narrow.request("GET", "/readyz").status == 200
    deadline = time.monotonic() + 10
    while narrow.post("/v1/predict", row).status != 200:
        assert time.monotonic() < deadline


def test_deadlines(narrow: Server, row: dict[str, Any]) -> None:
    """Half a head is answered 408, an idle or silent connection is closed, each in its time."""
    body = json.dumps(row).encode()
    whole = post("/v1/predict", body, f"Content-Length: {len(body)}")
    with contextlib.ExitStack() as stack:
        silent, half, asked, slow, unread = (
            stack.enter_context(Conversation(narrow.port)) for _ in range(5)
        )
        half.send(whole[:40])
        asked.send(whole)
        slow.send(post("/v1/predict", b"{", "Content-Length: 100"))
        unread.send(post("/v1/nothing", b"{", "Content-Length: 100"))
        for _ in range(3):
            time.sleep(HEAD_SECONDS / 4)
            half.send(b"X")
            unread.send(b"X")
        (answer,) = answers_in(closes_within(half, 5))
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert closes_within(silent, 5) == b""
        assert [each.status for each in answers_in(closes_within(unread, 5))] == [404]
        assert [each.status for each in answers_in(closes_within(slow, 5))] == [408]
        assert [each.status for each in answers_in(closes_within(asked, 6))] == [200]


def test_client_that_does_not_read(narrow: Server) -> None:
    """A client that asks for much and reads nothing is dropped."""
    with Conversation(narrow.port) as deaf:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.socket.settimeout(0.5)
        deadline = time.monotonic() + 20
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    deaf.socket.send(head("GET", "/docs.json") * 16)
                time.sleep(0.05)
    series = series_of(narrow.request("GET", "/metrics").body)
    assert value_of(series, "tabserve_connections_closed_total", reason="slow_reader") > 0


def test_nothing_failed(narrow: Server) -> None:
    """After all this the worker is the same, and no line says error."""
    assert narrow.count("ready") == 1
    lines = narrow.worker_lines()
    assert [line for line in lines if line["level"] in ("error", "critical")] == [], lines
