"""The wait for the log's store, against a loopback server that answers like the service."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from loadtests.benchmark import delivery

METRICS = """\
# HELP tabserve_log_queue_rows Rows that are not in the store yet.
tabserve_log_queue_rows {rows}
tabserve_log_queue_capacity_rows 100000.0
tabserve_log_oldest_age_seconds 0.25
tabserve_log_rows_dropped_total{{reason="buffer"}} 2.0
tabserve_log_rows_dropped_total{{reason="spool"}} 1.0
tabserve_rows_total{{outcome="scored"}} 1.2e+06
tabserve_rows_total{{outcome="rejected"}} 7.0
"""


@contextmanager
def answering(waiting: list[int]) -> Iterator[int]:
    """A server whose log has so many rows waiting, answer by answer, then the last for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            rows = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            body = METRICS.format(rows=rows).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_the_queue_is_read_from_the_metrics() -> None:
    """Rows, age, losses of every reason, and scored rows: nothing else of those names."""
    with answering([42]) as port:
        assert delivery.read(port) == delivery.Queue(42, 0.25, 3, 1_200_000)


def test_a_drain_ends_when_the_store_has_all(tmp_path: Path) -> None:
    """The rows of the first moments count, and a zero that is followed by rows is no end."""
    with answering([0, 90, 0, 40, 0]) as port:
        writer = threading.Timer(0.25, (tmp_path / "records.db-wal").touch)
        writer.start()
        drain = delivery.wait(port, tmp_path)
        writer.join()
    assert drain.rows == 90
    assert drain.seconds > 0.2


def test_a_store_written_before_the_load_ended_took_no_time(tmp_path: Path) -> None:
    """The files say when the last row was in, not the moment when somebody looked."""
    (tmp_path / "records.db").touch()
    with answering([0]) as port:
        assert delivery.wait(port, tmp_path) == delivery.Drain(0, 0.25, 0.0)


def test_rows_that_never_arrive_are_an_error(tmp_path: Path) -> None:
    """A store that does not keep up is no long wait but a failure."""
    with answering([5]) as port, pytest.raises(delivery.NotDelivered):
        delivery.wait(port, tmp_path, patience_seconds=0.3)


def test_rows_are_counted_in_the_file_itself(tmp_path: Path) -> None:
    """Rows of the view that holds answers; a file that is no log is an error."""
    with pytest.raises(OSError, match="could not be counted"):
        delivery.stored(tmp_path)
    with closing(sqlite3.connect(tmp_path / "records.db")) as connection:
        connection.execute("CREATE TABLE predictions (id TEXT)")
        connection.executemany("INSERT INTO predictions VALUES (?)", [("a",), ("b",)])
        connection.commit()
    assert delivery.stored(tmp_path) == 2
