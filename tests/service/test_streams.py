"""Rows that are answered as they arrive: JSON lines and Arrow streams."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types
import pytest
from numpy.typing import NDArray

from bentos.records.opening import open_store
from bentos.records.record import Window
from tests.service import formats
from tests.service.checks import assert_problem
from tests.service.driver import Answer, App, scope_of, serving
from tests.service.formats import ARROW, CSV, NDJSON

PATH = "/v1/predict/batch"


def stream(app: App, pieces: Any, sent: str, accept: str = "", **headers: str) -> Answer:
    """Send a body in pieces."""
    accepted = {"accept": accept} if accept else {}
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    sent_headers = {"content-type": sent, **accepted, **more}
    return app.request("POST", PATH, pieces, headers=sent_headers)


def cut(body: bytes, size: int) -> list[bytes]:
    """A body in pieces of one size."""
    return [body[start : start + size] for start in range(0, len(body), size)]


@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
@pytest.mark.parametrize("sent", [NDJSON, ARROW])
def test_pieces_of_any_size_give_the_same(
    app: App, rows: list[dict[str, Any]], scores: NDArray[np.float64], sent: str, size: int
) -> None:
    """Where a body is cut into pieces changes nothing."""
    chosen = rows[:20] if size == 1 else rows
    body = formats.write_arrow(chosen, 64) if sent == ARROW else formats.write_lines(chosen)
    answer = stream(app, cut(body, size), sent)
    assert "content-length" not in answer.headers
    results = formats.read(answer)
    np.testing.assert_array_equal([one["scores"] for one in results], scores[: len(chosen)])


def test_a_stream_has_no_limit_but_those_of_its_parts(
    quick: dict[str, str], rows: list[dict[str, Any]], scores: NDArray[np.float64]
) -> None:
    """A hundred times as many rows and bytes as one request may have go through a stream."""
    with serving(quick["binary"], max_rows=50, max_body_bytes=20_000, store_url="none") as app:
        many = rows * 10
        body = formats.write_arrow(many, 50)
        assert len(body) > 20_000 and len(many) > 50
        results = formats.read(stream(app, cut(body, 3000), ARROW))
        np.testing.assert_array_equal([one["scores"] for one in results], [*scores] * 10)
        lines = formats.write_lines(many)
        results = formats.read(stream(app, cut(lines, 3000), NDJSON, CSV))
        np.testing.assert_array_equal([one["scores"] for one in results], [*scores] * 10)
        # One part has the limits of a request.
        large = stream(app, cut(formats.write_arrow(many, 2000), 3000), ARROW)
        assert_problem(large, 413, "too-large")
        line = json.dumps({**rows[0], "colour": "x" * 20_001}).encode() + b"\n"
        assert_problem(stream(app, cut(line, 3000), NDJSON), 413, "too-large")
        # An answer that must be whole makes the request one.
        assert_problem(
            stream(app, [lines], NDJSON, "application/vnd.apache.parquet"), 413, "too-large"
        )


def test_wrong_rows_do_not_stop_the_rest(
    app: App, rows: list[dict[str, Any]], scores: NDArray[np.float64]
) -> None:
    """Rows that are wrong are reported by number; blank lines are no rows."""
    good = [json.dumps(row) for row in rows[:3]]
    lines = [good[0], '{"amount": ', "", good[1], "[]", json.dumps({**rows[0], "count": "marker"})]
    lines += ["nonsense marker", good[0] + " " + good[1], good[2]]
    answer = stream(app, cut("\r\n".join(lines).encode(), 100), NDJSON)
    results = formats.read(answer)
    codes = [[code for _, code in one["codes"]] for one in results]
    malformed = ["malformed"]
    assert codes == [[], malformed, [], ["wrong_type"], ["wrong_type"], malformed, malformed, []]
    assert results[4]["codes"] == [("/4/count", "wrong_type")]
    found = [one["scores"] for one in results if one["scores"] is not None]
    np.testing.assert_array_equal(found, scores[:3])
    assert b"marker" not in answer.body


def test_rows_are_answered_before_the_last_has_come(app: App, rows: list[dict[str, Any]]) -> None:
    """A row is answered while the client waits to send the next."""
    line = json.dumps(rows[0]).encode() + b"\n"

    async def converse() -> list[bytes]:
        asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        answered: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        running = asyncio.ensure_future(
            app.asgi(scope_of("POST", PATH, {"content-type": NDJSON}), asked.get, answered.put)
        )
        came = []
        for number in range(3):
            await asked.put({"type": "http.request", "body": line, "more_body": True})
            if not number:
                assert (await answered.get())["type"] == "http.response.start"
            came.append((await asyncio.wait_for(answered.get(), 60))["body"])
        await asked.put({"type": "http.request", "body": b"", "more_body": False})
        await running
        return came

    came = app.run(converse())
    assert [json.loads(line)["row"] for line in came] == [0, 1, 2]


@pytest.mark.parametrize("sent", [NDJSON, ARROW])
def test_a_stream_that_breaks_says_where_and_does_not_end(
    app: App, rows: list[dict[str, Any]], sent: str
) -> None:
    """After good rows a broken body gives a last row with the error, and no end of the answer."""
    good = formats.write_arrow(rows, 100) if sent == ARROW else formats.write_lines(rows)
    pieces = {
        ARROW: [good[:-8], b"marker, no Arrow"],
        NDJSON: [good * 30, b"x" * (16 * 2**20 + 1)],
    }[sent]
    answer = stream(app, pieces, sent)
    assert answer.status == 200 and not answer.is_whole
    assert b"marker" not in answer.body
    if sent == NDJSON:
        last = json.loads(answer.body.splitlines()[-1])
        assert last["error"]["code"] == "too-large" and last["row"] == 6000
    else:
        table = pa.ipc.open_stream(answer.body).read_all().to_pylist()
        assert [one["row"] for one in table] == [*range(201)]
        assert table[-1]["errors"][0]["code"] == "malformed" and table[-1]["id"] is None


def test_bytes_that_are_no_stream_are_refused_as_a_whole(app: App) -> None:
    """Before the first row an error is a problem document, as of any request."""
    for body in (b"marker", b"\xff\xff\xff\xff\x10\x00\x00\x00" + b"marker00" * 2, b""):
        problem = assert_problem(stream(app, [body], ARROW), 400, "malformed")
        assert "marker" not in json.dumps(problem)
    assert_problem(stream(app, [b"\n\n"], NDJSON), 422, "invalid-features")
    packed = {"content_encoding": "gzip"}
    assert_problem(stream(app, [b"marker"], NDJSON, **packed), 400, "malformed")


def test_a_stream_may_be_packed(
    app: App, rows: list[dict[str, Any]], scores: NDArray[np.float64]
) -> None:
    """gzip is unpacked as it arrives; where it ends too early the answer does not end."""
    packed = gzip.compress(formats.write_lines(rows))
    results = formats.read(stream(app, cut(packed, 100), NDJSON, content_encoding="gzip"))
    np.testing.assert_array_equal([one["scores"] for one in results], scores)
    short = stream(app, cut(packed[:-4], 100), NDJSON, content_encoding="gzip")
    assert short.status == 400 or not short.is_whole


def test_a_client_that_leaves_ends_its_stream(app: App, rows: list[dict[str, Any]]) -> None:
    """Nothing is answered to a client that is gone, and its slot is free again."""
    worker = app.module.WORKER
    lines = formats.write_lines(rows)
    left = stream(app, [lines, None], NDJSON)
    assert left.status == 0 or not left.is_whole
    assert not stream(app, [lines, 0.5, lines, None], NDJSON).is_whole
    assert worker.bulk._streams._open_now == 0
    assert worker.telemetry._metrics.in_flight_now == 0


def test_a_stream_ends_where_nothing_comes(
    quick: dict[str, str], rows: list[dict[str, Any]]
) -> None:
    """The time limit is for each wait, not for the whole stream."""
    line = formats.write_lines(rows[:1])
    with serving(quick["binary"], timeout_seconds=0.6, store_url="none") as app:
        slow = stream(app, [line, 0.2, line, 0.2, line, 0.2, line, 0.2, line], NDJSON)
        assert slow.is_whole and len(slow.body.splitlines()) == 5
        stuck = stream(app, [line, 0.2, 5.0, line], NDJSON)
        assert not stuck.is_whole
        last = json.loads(stuck.body.splitlines()[-1])
        assert last == {**last, "row": 1} and last["error"]["code"] == "request-timeout"
        assert_problem(stream(app, [b" ", 5.0, line], NDJSON), 408, "request-timeout")


def test_the_log_gets_each_row_once(
    quick: dict[str, str], rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Rows of a stream are logged as those of a request, more of them than its buffer holds."""
    many = [{**row, "count": number % 10} for number, row in enumerate(rows * 15)]
    many[7] = {**many[7], "colour": "unknown"}
    url = f"sqlite:///{tmp_path}/log.db"
    with serving(quick["binary"], store_buffer_rows=1024, max_rows=500, store_url=url) as app:
        lines = formats.read(stream(app, cut(formats.write_lines(many), 9000), NDJSON, **_WHO))
        arrow = formats.read(stream(app, cut(formats.write_arrow(many, 400), 9000), ARROW, **_WHO))
    log = open_store(url)
    log.check()
    logged = {record.id: record for record in log.read(Window())}
    log.close()
    answered = [*zip(lines, many, strict=True), *zip(arrow, many, strict=True)]
    assert len(logged) == len(answered) - 2
    for result, row in answered:
        if result["codes"]:
            continue
        record = logged[result["id"]]
        assert record.score == result["scores"]
        assert record.label == str(result["label"])
        assert record.values == row
        assert record.request_id == "many"


_WHO = {"x_request_id": "many"}
