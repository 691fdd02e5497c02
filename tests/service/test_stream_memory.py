"""What a worker holds does not grow with a stream."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tests.service.formats import NDJSON
from tests.service.process import PATIENCE_SECONDS, Server

# Enough to fill what is bounded: the outbox, and the buffer of the log.
ROWS = 50_000
TIMES = 5
# Blanks before each row, which JSON allows: bytes to hold that cost no scoring, and far more of
# them than the log's buffer and outbox, which are bounded and may fill late, take of memory.
PADDING = b" " * 1_600
# A stream that is held in memory takes all of its bytes; pieces of the allocator are far less.
MOST = 0.25


def lines(rows: list[dict[str, Any]], count: int) -> Iterator[bytes]:
    """So many rows as JSON lines, a hundred at a time."""
    each = cycle(PADDING + json.dumps(row).encode() + b"\n" for row in rows)
    for _ in range(count // 100):
        yield b"".join(islice(each, 100))


def stream(port: int, pieces: Iterator[bytes]) -> tuple[int, int]:
    """Send a stream and read its answer at the same time: the lines answered, the bytes sent."""
    sent = [0]
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:

        def send() -> None:
            head = (
                "POST /v1/predict/batch HTTP/1.1",
                "Host: localhost",
                f"Content-Type: {NDJSON}",
                "Transfer-Encoding: chunked",
                "Connection: close",
            )
            connection.sendall("\r\n".join((*head, "", "")).encode())
            for piece in pieces:
                sent[0] += len(piece)
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            connection.sendall(b"0\r\n\r\n")

        sender = threading.Thread(target=send)
        sender.start()
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200
        answered = 0
        while part := answer.read(2**20):
            answered += part.count(b"\n")
        sender.join()
    return answered, sent[0]


def peak_of(started: Server, rows: list[dict[str, Any]], count: int) -> tuple[int, int]:
    """The most bytes that a worker had resident during a stream, and the bytes of the stream."""
    workers = started.workers()
    for worker in workers:
        # Begins the peak anew (proc(5)).
        Path(f"/proc/{worker}/clear_refs").write_text("5")
    answered, sent = stream(started.port, lines(rows, count))
    assert answered == count
    peaks = []
    for worker in workers:
        status = Path(f"/proc/{worker}/status").read_text()
        peaks.append(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
    return sum(peaks), sent


def test_five_times_the_rows_take_no_more_memory(
    two_workers: Server, rows: list[dict[str, Any]]
) -> None:
    """A stream five times as long adds less than a quarter of the bytes that it has more."""
    # The first streams grow a worker for good, and either worker may get one.
    for _ in range(4):
        peak_of(two_workers, rows, ROWS)
    short, sent = peak_of(two_workers, rows, ROWS)
    long, more = peak_of(two_workers, rows, TIMES * ROWS)
    assert long - short < MOST * (more - sent), (short, long, sent, more)
