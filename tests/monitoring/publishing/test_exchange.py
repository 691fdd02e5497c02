"""One request: what is taken, what is not, in which time, and what is said of it."""

from __future__ import annotations

import time

import pytest

from monitoring.drift.publishing.exchange import NotTaken, send
from tests.monitoring.servers import Annotations, answering, free_port

HEADERS = {"Authorization": "Bearer hunter2"}


def fail(url: str, timeout_seconds: float = 5.0, headers: dict[str, str] = HEADERS) -> str:
    """Send what must not be taken; gives what is said."""
    with pytest.raises(NotTaken) as caught:
        send(url, "POST", headers, b"body", timeout_seconds)
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    """Else a login page's 200 were a success, and the token with another host."""
    server, other = Annotations(), Annotations()
    server.status, server.location = status, f"{other.url}/login"
    try:
        assert fail(server.url) == f"HTTP {status}, a redirect, which is not followed"
        assert len(server.received) == 1
        assert other.received == []
    finally:
        server.close()
        other.close()


def test_what_is_not_http_is_not_taken() -> None:
    """A port of another protocol, an answer that breaks off: only the type is said."""
    with answering(b"SSH-2.0-hunter2\r\n") as url:
        assert fail(url) == "BadStatusLine"
    with answering(b"HTTP/1.1 ") as url:
        assert fail(url) == "BadStatusLine"
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") as url:
        # The status says that it was taken; nobody needs the body.
        send(url, "POST", {}, b"body", 5.0)


def test_the_time_is_for_all_of_it() -> None:
    """A server that sends a byte now and then is not waited for longer than was said."""
    with answering(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100, pause_seconds=0.1) as url:
        started = time.monotonic()
        assert fail(url, timeout_seconds=0.5) == "no answer within 0.5 s"
        assert time.monotonic() - started < 2.0


def test_nobody_listens() -> None:
    """The system's own words, without the URL."""
    assert "Connection refused" in fail(f"http://127.0.0.1:{free_port()}/hunter2")


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://user:hunter2@127.0.0.1:1", {}),
        ("http://127.0.0.1:1/hunter2 x", {}),
        ("http://127.0.0.1:hunter2", {}),
        ("hunter2", {}),
        ("http://127.0.0.1:1", {"Authorization": "Bearer hunter2\n"}),
    ],
)
def test_what_cannot_be_sent_is_not_repeated(url: str, headers: dict[str, str]) -> None:
    """The library's messages quote the URL and the header: they are not passed on."""
    assert fail(url, headers=headers)
