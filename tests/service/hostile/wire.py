"""HTTP as bytes: requests written by hand, answers read strictly."""

from __future__ import annotations

import contextlib
import socket
from types import TracebackType

from tests.service.driver import Answer
from tests.service.process import PATIENCE_SECONDS


def head(method: str, path: str, *headers: str, host: bool = True) -> bytes:
    """A request's head, with a Host unless it brings its own."""
    lines = (f"{method} {path} HTTP/1.1", *(("Host: localhost",) if host else ()), *headers, "", "")
    return "\r\n".join(lines).encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A request with a body as it stands: its length is the caller's to say."""
    return head("POST", path, "Content-Type: application/json", *headers) + body


def answers_in(received: bytes) -> list[Answer]:
    """The whole answers of a connection, one after the other, with nothing between them."""
    found = []
    while received:
        top, separator, received = received.partition(b"\r\n\r\n")
        status, *lines = top.decode().split("\r\n")
        assert separator and status.startswith("HTTP/1.1 "), top
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = int(headers.get("content-length", "0"))
        assert len(received) >= length
        found.append(Answer(int(status.split()[1]), headers, received[:length]))
        received = received[length:]
    return found


class Conversation:
    """One raw connection to the server."""

    def __init__(self, port: int, patience: float = PATIENCE_SECONDS) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), patience)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def try_to_send(self, data: bytes) -> None:
        """Send bytes to a server that may have stopped reading."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def read_all(self) -> bytes:
        """Read until the server closes."""
        received = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while part := self.socket.recv(65536):
                received += part
        return bytes(received)

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()
