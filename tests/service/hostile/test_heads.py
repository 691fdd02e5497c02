"""Heads: bounded in bytes, number and time, and read in one way only."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.service.hostile.wire import Conversation, answers_in, head, post
from tests.service.process import Server


def test_upgrade_is_ignored(two_workers: Server, row: dict[str, Any]) -> None:
    """`Upgrade: h2c` with a body, as the JDK's client and curl send it, is answered as HTTP/1.1."""
    body = json.dumps(row).encode()
    wish = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")
    lengths = (f"Content-Length: {len(body)}",)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    for sent in (
        post("/v1/predict", body, *wish, *lengths),
        post("/v1/predict", chunked, *wish, "Transfer-Encoding: chunked"),
    ):
        last = post("/v1/predict", body, "Connection: close", *lengths)
        for pieces in ((sent + last,), [*(bytes([byte]) for byte in sent), last]):
            found = answers_in(two_workers.exchange(*pieces))
            assert [answer.status for answer in found] == [200, 200]
            assert all("score" in answer.json() for answer in found)


def test_body_of_an_upgrade_is_no_request(two_workers: Server) -> None:
    """What stands in the body of a request with `Upgrade` is never read as a request."""
    hidden = head("GET", "/v1/model", "Connection: close")
    wish = ("Connection: Upgrade", "Upgrade: h2c", f"Content-Length: {len(hidden)}")
    sent = post("/v1/predict", hidden, *wish) + head("GET", "/livez", "Connection: close")
    assert [answer.status for answer in answers_in(two_workers.exchange(sent))] == [400, 200]


@pytest.mark.parametrize(
    "headers",
    [
        ("Host: a", "Host: b"),
        ("Host: a", "Host: a"),
        ("X-Nothing: 1",),
        ("Host: a", "Transfer-Encoding: gzip, chunked"),
        ("Host: a", "Transfer-Encoding: chunked, gzip"),
        ("Host: a", "Transfer-Encoding: identity"),
        ("Host: a", "Transfer-Encoding: xchunked"),
        ("Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Host: a", "Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Host: a", "Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Host: a", "Content-Length: 5", "Content-Length: 5"),
        ("Host: a", "Content-Length: +5"),
        ("Host: a", "Content-Length: 0x5"),
        ("Host: a", "Content-Length: 5, 5"),
        ("Host: a", "Content-Length : 5"),
        ("Host: a", " folded: 5"),
        ("Host: a", "X-Nul: \0"),
        ("Host: a", "X-Bare: a\rContent-Length: 5"),
        ("Host: a", "X-Line: a\nContent-Length: 5"),
        ("Host: a", "Tränsfer: 1"),
    ],
    ids=repr,
)
def test_head_that_could_be_read_twice(two_workers: Server, headers: tuple[str, ...]) -> None:
    """A head that a proxy may read in another way is one 400 that ends the connection."""
    sent = head("POST", "/v1/predict", *headers, host=False)
    sent += b"0\r\n\r\n" + head("GET", "/v1/model")
    (answer,) = answers_in(two_workers.exchange(sent))
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    document = answer.json()
    assert document["type"] == "urn:tabserve:problem:bad-http"
    assert document["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/3.0\r\nHost: a\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /v1/model\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=repr,
)
def test_not_http(two_workers: Server, sent: bytes) -> None:
    """What is not HTTP/1 is one 400, and the connection is closed."""
    (answer,) = answers_in(two_workers.exchange(sent))
    assert (answer.status, answer.headers["connection"]) == (400, "close")


def test_trailers_are_no_headers(two_workers: Server, row: dict[str, Any]) -> None:
    """A header after the body does not become one of the request's."""
    body = json.dumps(row).encode()
    chunk = b"%x\r\n%s\r\n0\r\nX-Request-Id: smuggled\r\n\r\n" % (len(body), body)
    sent = post("/v1/predict", chunk, "Transfer-Encoding: chunked", "Connection: close")
    (answer,) = answers_in(two_workers.exchange(sent))
    assert answer.status == 200
    assert answer.headers["x-request-id"] != "smuggled"


def test_answers_before_bad_http(two_workers: Server, row: dict[str, Any]) -> None:
    """Requests before bad HTTP in a pipeline are answered, in their order, and then the 400."""
    body = json.dumps(row).encode()
    good = post("/v1/predict", body, f"Content-Length: {len(body)}")
    broken = post("/v1/predict", b"zz\r\n", "Transfer-Encoding: chunked")
    for bad in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n", broken):
        found = answers_in(two_workers.exchange(good * 3 + bad + good))
        assert [answer.status for answer in found] == [200, 200, 200, 400]


def test_long_pipeline(two_workers: Server) -> None:
    """Of thousands of requests sent in one go the first are answered, in order, no other half."""
    found = answers_in(two_workers.exchange(head("GET", "/livez") * 4000, is_over=True))
    assert 50 < len(found) <= 4000
    assert {answer.status for answer in found} == {200}


def test_large_heads(two_workers: Server) -> None:
    """A head beyond its bytes or its number of headers is 431, however it arrives."""
    megabyte = b"a" * 2**20
    for pieces in (
        [head("GET", "/" + "a" * 40_000)],
        [head("GET", "/livez", "X-Large: " + "a" * 40_000)],
        [head("GET", "/livez", *(f"X-{number}: a" for number in range(101)))],
        [b"GET / HTTP/1.1\r\nHost: a\r\nX-Endless: ", *[megabyte] * 8],
        [b"GET / HTTP/1.1\r\nHost: a\r\n", *[b"X-A: b\r\n" * 100_000] * 8],
        [b"GET /", *[megabyte] * 8],
        [post("/v1/predict", b"0\r\n", "Transfer-Encoding: chunked"), *[b"A: b\r\n" * 100_000] * 8],
    ):
        with Conversation(two_workers.port) as conversation:
            for piece in pieces:
                conversation.try_to_send(piece)
            (answer,) = answers_in(conversation.read_all())
            assert (answer.status, answer.headers["connection"]) == (431, "close")
    fits = head("GET", "/livez", "X-Large: " + "a" * 30_000, "Connection: close")
    (answer,) = answers_in(two_workers.exchange(fits))
    assert answer.status == 200


def test_pipeline_before_a_split_head(two_workers: Server, row: dict[str, Any]) -> None:
    """Bytes of earlier requests do not count against the head that begins in the same packet."""
    body = json.dumps({**row, "pad": " " * 60_000}).encode()
    good = post("/v1/predict", body, f"Content-Length: {len(body)}")
    with Conversation(two_workers.port) as conversation:
        conversation.send(good + b"GET /livez HT")
        time.sleep(0.1)
        conversation.send(b"TP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        found = answers_in(conversation.read_all())
    assert [answer.status for answer in found] == [422, 200]
