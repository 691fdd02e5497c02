"""A request under way while the server stops."""

from __future__ import annotations

import socket

from tests.service.process import PATIENCE_SECONDS


class Pending:
    """A request that the server took on, and whose body is still to come."""

    def __init__(self, port: int, body: bytes) -> None:
        self._body = body
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        head = (
            "POST /v1/predict HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Expect: 100-continue",
            "X-Request-Id: loaded",
        )
        self._socket.sendall("\r\n".join((*head, "", "")).encode())
        # The server asks for the body: from here on the request is its own.
        assert self._socket.recv(1024).startswith(b"HTTP/1.1 100 ")

    def finish(self) -> bytes:
        """Send the body and read the whole answer."""
        self._socket.sendall(self._body)
        received = bytearray()
        while part := self._socket.recv(65536):
            received += part
        return bytes(received)

    def close(self) -> None:
        """Give it up."""
        self._socket.close()
