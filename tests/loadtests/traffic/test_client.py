"""The load test's own HTTP client."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from loadtests.traffic.client import Broken, Client


@contextmanager
def _answering(*answers: list[bytes]) -> Iterator[int]:
    """Serve one connection: each answer in the pieces given, after something came."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for pieces in answers:
                    connection.recv(65536)
                    for piece in pieces:
                        connection.sendall(piece)

        thread = Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=10)


def test_an_answer_in_pieces_is_put_together() -> None:
    """Headers and body may come in as many pieces as they like."""
    pieces = [b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 4\r\nX: y\r\n\r", b"\n{", b'"}', b"\n"]
    with _answering(pieces, [b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"]) as port:
        client = Client(port)
        reply = client.send("POST", "/", b"{}")
        assert (reply.status, reply.body) == (200, b'{"}\n')
        assert client.send("GET", "/").status == 503
        client.close()


@pytest.mark.parametrize("piece", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", b"nonsense"])
def test_half_an_answer_is_broken(piece: bytes) -> None:
    """A connection that ends within an answer is no answer."""
    with _answering([piece]) as port, pytest.raises(Broken, match="ConnectionError"):
        Client(port).send("GET", "/")


def test_a_server_that_is_not_there_is_broken() -> None:
    """A refused connection is a failure of its own kind."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Broken, match="ConnectionRefusedError"):
        Client(port).send("GET", "/")
