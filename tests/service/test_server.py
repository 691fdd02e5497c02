"""`bentoml serve` with two workers: logs, secrecy, hostile connections, BentoML's client."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any

import bentoml
import pytest

from tests.service.checks import UUID7, assert_problem, requests_in, series_of, total_of
from tests.service.process import PATIENCE_SECONDS, Server

MARK = "mArKeD7f3a"
# Beyond any count, size or time that an answer, a log line or a metric could have.
NUMBER = 719342468135.25


def _raw(body: bytes, *headers: str, method: str = "POST", path: str = "/v1/predict") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        *headers,
        "",
        "",
    )
    return "\r\n".join(head).encode() + body


def _length(body: bytes) -> str:
    return f"Content-Length: {len(body)}"


def test_ready_line_of_each_worker(two_workers: Server, imported: dict[str, str]) -> None:
    """Every worker proves the golden rows before it serves, and says so once.

    MLflow's loader is not asked again: the packages are those of the import, which asked it.
    """
    ready = [line for line in two_workers.worker_lines() if line["message"] == "ready"]
    assert len(ready) >= 2
    for line in ready:
        assert line["model"] == imported["binary"]
        assert (line["golden_rows"], line["compared_with_mlflow"]) == (64, False)
    series = series_of(two_workers.request("GET", "/metrics").body)
    assert total_of(series, "tabserve_ready") == 2


def test_routes(two_workers: Server, row: dict[str, Any]) -> None:
    """Every route answers through the real server, with its id and its timing."""
    for path in ("/v1/model", "/livez", "/readyz", "/healthz", "/metrics", "/docs.json", "/"):
        answer = two_workers.request("GET", path)
        assert answer.status == 200
        assert UUID7.fullmatch(answer.headers["x-request-id"])
        assert "server-timing" in answer.headers
        head = two_workers.request("HEAD", path)
        assert (head.status, head.body) == (200, b"")
    assert two_workers.post("/v1/predict", row).status == 200
    batch = two_workers.post("/v1/predict/batch", {"instances": [row, {}]})
    assert ["error" in each for each in batch.json()["predictions"]] == [False, True]
    assert_problem(two_workers.request("GET", "/nothing"), 404, "not-found")
    assert_problem(two_workers.request("GET", "/v1/predict"), 405, "method-not-allowed")


def test_access_log(two_workers: Server, row: dict[str, Any], imported: dict[str, str]) -> None:
    """Each request leaves one line: id, route, status, rows, milliseconds, model, version."""
    wanted = {}
    bad_row = {**row, "count": "x"}
    for number, (path, document, status, rows) in enumerate(
        [
            ("/v1/predict", row, 200, 1),
            ("/v1/predict", bad_row, 422, 0),
            ("/v1/predict/batch", {"instances": [row, row, bad_row]}, 200, 3),
            ("/v1/nothing", row, 404, 0),
        ]
    ):
        request_id = f"access-{number}"
        headers = {"Content-Type": "application/json", "X-Request-Id": request_id}
        body = json.dumps(document).encode()
        assert two_workers.request("POST", path, body, headers).status == status
        route = path if "nothing" not in path else "other"
        wanted[request_id] = (route, status, rows)

    def lines() -> list[Any]:
        found = requests_in(two_workers.worker_lines())
        return [line for line in found if line["request_id"] in wanted]

    two_workers.wait_for(lambda: len(lines()) >= len(wanted))
    assert len(lines()) == len(wanted)
    name, _, version = imported["binary"].partition(":")
    for line in lines():
        assert line.keys() == {
            *("time", "level", "logger", "message", "request_id", "route", "status", "rows"),
            *("problem", "client", "milliseconds", "model", "version"),
        }
        assert (line["route"], line["status"], line["rows"]) == wanted[line["request_id"]]
        assert (line["model"], line["version"]) == (name, version)
        assert line["milliseconds"] > 0


def _marked_requests(row: dict[str, Any]) -> Iterator[tuple[str, str, bytes, dict[str, str]]]:
    """Requests with a mark in every place where a client can put one."""
    path, kind = "/v1/predict", {"Content-Type": "application/json"}
    for name in row:
        for value in (MARK, NUMBER, [MARK], {MARK: MARK}, -NUMBER):
            document = {**row, name: value}
            yield "POST", path, json.dumps(document).encode(), kind
            body = json.dumps({"instances": [document]}).encode()
            yield "POST", "/v1/predict/batch", body, kind
            yield "POST", "/v1/predict/batch?on_error=reject", body, kind
    marked = json.dumps({**row, MARK: 1, f"amount{MARK}": 2, f"count{MARK}": MARK}).encode()
    yield "POST", path, marked, kind
    yield "POST", path, gzip.compress(marked), {**kind, "Content-Encoding": "gzip"}
    yield "POST", "/v1/predict/batch", json.dumps({MARK: [MARK]}).encode(), kind
    for text in (MARK, f'{{"{MARK}', f'{{"a":{MARK}}}', f'"{MARK}"', f'{{"{MARK}":1,"{MARK}":1}}'):
        yield "POST", path, text.encode(), kind
        yield "POST", "/v1/predict/batch", text.encode(), kind
    yield "POST", path, b"\xff" + MARK.encode(), kind
    yield "POST", path, MARK.encode(), {**kind, "Content-Encoding": "gzip"}
    for query in (f"?{MARK}=1", f"?on_error={MARK}", f"?x={MARK}", f"?{MARK}"):
        for where in ("/v1/predict", "/v1/predict/batch", "/v1/model", "/livez", "/livez/", "/x"):
            yield "GET", where + query, b"", {}
            yield "POST", where + query, marked, kind
    for where in (f"/{MARK}", f"/v1/{MARK}", f"/static_content/{MARK}", f"/v1/predict/{MARK}/"):
        yield "GET", where, b"", {}
        yield "POST", where, marked, kind
    for name in ("User-Agent", "Cookie", "Authorization", "Accept", "Host", "Traceparent", MARK):
        yield "POST", path, marked, {**kind, name: MARK}
        yield "GET", "/livez", b"", {name: MARK}
    for name in ("Content-Type", "Content-Encoding"):
        yield "POST", path, marked, {**kind, name: MARK}
        yield "POST", path, marked, {**kind, name: f"application/json; charset={MARK}"}
    yield "POST", path, marked, {**kind, "X-Request-Id": f"{MARK} {MARK}"}
    yield "POST", path, marked, {**kind, "X-Forwarded-For": MARK, "X-Real-Ip": MARK}
    yield "DELETE", f"/v1/model/{MARK}", b"", {}


def test_secrecy(two_workers: Server, row: dict[str, Any]) -> None:
    """Nothing that a client sends shows in an answer, a log line or a metric."""
    marks = (MARK.encode(), MARK.lower().encode(), b"719342468135")
    statuses = set()
    for method, path, body, headers in _marked_requests(row):
        answer = two_workers.request(method, path, body or None, headers)
        statuses.add(answer.status)
        text = answer.body + repr(answer.headers).encode()
        assert not [mark for mark in marks if mark in text], (method, path, body, answer)
    assert statuses == {200, 400, 404, 405, 415, 422}
    for raw in (
        f"{MARK} / HTTP/1.1\r\n\r\n",
        f"GET /{MARK} {MARK}\r\n\r\n",
        f"GET / HTTP/1.1\r\n{MARK}\r\n\r\n",
        f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {MARK}\r\n\r\n",
    ):
        received = two_workers.exchange(raw.encode())
        assert received.startswith(b"HTTP/1.1 400 ")
        assert not [mark for mark in marks if mark in received]
    # Its line is there once those before it are.
    last = {"X-Request-Id": "after-the-marks"}
    for _ in range(10):
        two_workers.request("GET", "/v1/model", None, last)
    two_workers.wait_for(lambda: two_workers.log.read_text().count("after-the-marks") == 10)
    two_workers.worker_lines()
    for text in (two_workers.log.read_bytes(), two_workers.request("GET", "/metrics").body):
        assert not [mark for mark in marks if mark in text]


def test_pipelined(two_workers: Server, row: dict[str, Any]) -> None:
    """Requests that come in one go on one connection are answered in their order."""
    body = json.dumps(row).encode()
    good, bad = _raw(body, _length(body)), _raw(b"{}", "Content-Length: 2")
    last = _raw(body, _length(body), "Connection: close")
    received = two_workers.exchange(good + bad + good + bad + last)
    found = [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]
    assert found == [200, 422, 200, 422, 200]


def test_http_1_0(two_workers: Server, row: dict[str, Any]) -> None:
    """An HTTP/1.0 client gets its answer and its connection closed."""
    body = json.dumps(row).encode()
    request = _raw(body, _length(body)).replace(b"HTTP/1.1", b"HTTP/1.0")
    head, _, document = two_workers.exchange(request).partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0]
    assert b"connection: close" in head.lower()
    assert "score" in json.loads(document)


@pytest.mark.parametrize(
    "lengths",
    [
        ["Content-Length: -1"],
        ["Content-Length: many"],
        ["Content-Length: 99999999999999999999999999"],
        ["Content-Length: 2", "Content-Length: 3"],
        ["Content-Length: 2", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked"],
    ],
    ids=repr,
)
def test_wrong_length(two_workers: Server, lengths: list[str]) -> None:
    """A body whose length is contradictory or no number is refused, never guessed."""
    received = two_workers.exchange(_raw(b"{}", *lengths))
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1") == 1


def test_shorter_than_announced(two_workers: Server) -> None:
    """A client that ends before its announced length gets no answer."""
    assert two_workers.exchange(_raw(b"{}", "Content-Length: 100"), is_over=True) == b""


def test_beyond_the_limit(two_workers: Server) -> None:
    """A client that really sends too much gets to read the 413, and the connection is closed."""
    body = b" " * (20 * 2**20)
    for headers in ((_length(body),), ("Content-Length: 99999999",)):
        received = two_workers.exchange(_raw(b"", *headers))
        assert received.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in received
    chunk = b"100000\r\n" + b" " * 2**20 + b"\r\n"
    answer = two_workers.exchange(_raw(b"", "Transfer-Encoding: chunked"), *[chunk] * 17)
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_huge_head(two_workers: Server) -> None:
    """A huge header or target is answered or refused; the server goes on."""
    for request in (
        _raw(b"{}", "Content-Length: 2", f"X-Huge: {'a' * 1_000_000}", "Connection: close"),
        _raw(b"", method="GET", path="/" + "a" * 1_000_000),
        _raw(b"{}", *(f"X-{number}: a" for number in range(20_000)), "Connection: close"),
    ):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            assert b" 500 " not in two_workers.exchange(request)[:20]
    assert two_workers.request("GET", "/readyz").status == 200


def test_many_slow_connections(two_workers: Server, row: dict[str, Any]) -> None:
    """300 connections that say nothing, half a head or half a body do not keep others out."""
    with contextlib.ExitStack() as stack:
        for number in range(300):
            address = ("127.0.0.1", two_workers.port)
            slow = stack.enter_context(socket.create_connection(address, PATIENCE_SECONDS))
            slow.sendall(_raw(b"{", "Content-Length: 100")[: (0, 30, 10_000)[number % 3]])
        for _ in range(20):
            assert two_workers.post("/v1/predict", row).status == 200


def test_no_websocket(two_workers: Server) -> None:
    """A request to become a web socket stays a request of HTTP."""
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    for path in ("/v1/predict", "/", "/x"):
        close = ("Connection: close", "Content-Length: 0")
        received = two_workers.exchange(_raw(b"", *upgrade, *close, key, method="GET", path=path))
        assert received[9:12] in (b"200", b"404", b"405")


# BentoML's own, when its client is imported.
@pytest.mark.filterwarnings("ignore:.*__get_pydantic_core_schema__.*:DeprecationWarning")
def test_bentoml_client(two_workers: Server, rows: list[dict[str, Any]], scores: Any) -> None:
    """BentoML's own client calls both methods; a problem comes as an error with its text."""
    url = f"http://127.0.0.1:{two_workers.port}"
    with bentoml.SyncHTTPClient(url) as client:
        assert client.is_ready()
        answer = client.predict(rows[0])
        assert answer["score"] == pytest.approx(scores[0], abs=1e-12)
        batch = client.predict_batch(instances=[*rows[:5], {}])
        found = [each.get("score") for each in batch["predictions"]]
        assert found[:5] == pytest.approx(scores[:5].tolist(), abs=1e-12)
        assert found[5] is None
        with pytest.raises(bentoml.exceptions.BentoMLException, match="invalid-features") as caught:
            client.predict({**rows[0], "count": "x"})
        # Which the client itself never removes.
        client._temp_dir.cleanup()
        assert caught.value.error_code == 422


def test_nothing_broke(two_workers: Server) -> None:
    """After all of this no worker has died, and no request failed on the server's side."""
    assert two_workers.count("ready") == 2
    lines = two_workers.worker_lines()
    assert [line for line in lines if line["level"] in ("error", "critical")] == []
    assert {line["status"] // 100 for line in requests_in(lines)} <= {2, 4}
