"""One kept-alive HTTP/1.1 connection to loopback, as cheap as a client can be.

Under Locust the sockets are gevent's, so a wait is another user's turn. Locust's own
FastHttpUser costs three times what the service spends on a row: on one core it answers
how fast the generator is, not how fast the server is.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

# Longer than the service's own limit, so that its 504 is seen and not cut off.
_TIMEOUT_SECONDS = 15.0
_CHUNK = 1 << 16


class Broken(Exception):
    """A connection was refused or lost, was too slow, or spoke something else."""


@dataclass(frozen=True)
class Reply:
    """An answer: status, headers in lower case as they came, body."""

    status: int
    headers: bytes
    body: bytes


class Client:
    """Sends one request at a time; opens its connection anew when it was lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def send(self, method: str, path: str, body: bytes = b"") -> Reply:
        """Send a request and wait for the whole answer. Raises Broken."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), _TIMEOUT_SECONDS)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(
                b"%b %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (method.encode(), path.encode(), len(body), body)
            )
            return self._receive(self._socket)
        except (OSError, ValueError) as error:
            self.close()
            raise Broken(type(error).__name__) from error

    def _receive(self, source: socket.socket) -> Reply:
        received = b""
        while (head := received.find(b"\r\n\r\n")) < 0:
            received += self._more(source)
        headers = received[:head].lower()
        place = headers.find(b"\r\ncontent-length:")
        if place < 0:
            raise ValueError("an answer without a length")
        end = headers.find(b"\r\n", place + 2)
        length = int(headers[place + 17 : end if end > 0 else head])
        parts, missing = [received[head + 4 :]], length - (len(received) - head - 4)
        while missing > 0:
            parts.append(self._more(source))
            missing -= len(parts[-1])
        return Reply(int(headers[9:12]), headers, b"".join(parts))

    @staticmethod
    def _more(source: socket.socket) -> bytes:
        more = source.recv(_CHUNK)
        if not more:
            raise ConnectionError("closed by the server")
        return more

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
