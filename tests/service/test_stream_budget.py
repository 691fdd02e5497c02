"""What a stream costs is bounded by what its client sends: few bytes never become many rows."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types

from bentos.serving.bulk.budget import FREE_ROWS, ROWS_PER_BYTE
from tests.service import formats
from tests.service.checks import assert_problem
from tests.service.driver import Answer, App
from tests.service.formats import ARROW, NDJSON

# Rows of the largest part: what is read before a stream is looked at again.
PART = 10_000


def send(app: App, body: bytes, sent: str = NDJSON, **headers: str) -> Answer:
    """Send a stream in pieces, as a server hands it over."""
    pieces = [body[start : start + 65_536] for start in range(0, len(body), 65_536)]
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.request("POST", "/v1/predict/batch", pieces, headers={"content-type": sent, **more})


def ended(answer: Answer) -> tuple[int, str]:
    """The number of rows that a stream of lines answered, and the kind of its last error."""
    assert answer.status == 200 and not answer.is_whole
    *_, last = answer.body.splitlines()
    error = json.loads(last)["error"]
    assert "the stream ends here" in error["detail"]
    return json.loads(last)["row"], error["code"]


def packed(app: App, body: bytes) -> tuple[int, Answer]:
    """Send a stream of lines in gzip: the bytes sent, and the answer."""
    data = gzip.compress(body, 9)
    return len(data), send(app, data, content_encoding="gzip")


def test_a_stream_of_refused_rows_ends_early(app: App) -> None:
    """Five million empty rows in 15 kB cost what ten thousand do, and the last line says why."""
    size, answer = packed(app, b"{}\n" * 5_000_000)
    assert size < 16_000
    rows, code = ended(answer)
    assert FREE_ROWS < rows <= FREE_ROWS + PART and code == "invalid-features"
    # Unpacked it is the same: the rows count, not how they came.
    assert ended(send(app, b"nonsense\n" * 3 * FREE_ROWS))[1] == "invalid-features"


def test_refused_rows_do_not_end_a_stream_that_is_scored(
    app: App, rows: list[dict[str, Any]]
) -> None:
    """As many refused rows as scored ones, and more than are free, are all answered."""
    good = json.dumps(rows[0]).encode()
    answer = send(app, (good + b"\n{}\n") * (FREE_ROWS + PART))
    assert answer.is_whole
    assert len(answer.body.splitlines()) == 2 * (FREE_ROWS + PART)
    # Three refused to each scored one are too many, wherever the scored ones stand.
    assert ended(send(app, (good + b"\n{}\n{}\n{}\n") * FREE_ROWS))[1] == "invalid-features"


def test_good_rows_packed_a_hundred_to_a_byte_end_early(
    app: App, rows: list[dict[str, Any]]
) -> None:
    """The same good row over and over is scored in proportion to the bytes that came."""
    line = json.dumps(rows[0]).encode() + b"\n"
    count = 150_000
    size, answer = packed(app, line * count)
    scored, code = ended(answer)
    assert code == "too-large"
    assert scored <= FREE_ROWS + ROWS_PER_BYTE * size + PART < count


def test_blank_lines_are_not_free(app: App) -> None:
    """Lines that are no rows cost time as well: thirty million in gzip are not read."""
    for blank in (b"\n", b" " * 2000 + b"\n"):
        size, answer = packed(app, blank * (2**25 // len(blank)))
        assert size < 60_000
        assert_problem(answer, 413, "too-large")


def test_arrow_streams_are_bounded_in_the_same_way(app: App, rows: list[dict[str, Any]]) -> None:
    """Equal batches in gzip, and columns of nothing, which take no bytes, end early."""
    colour = pa.dictionary(pa.int32(), pa.string())
    same = formats.to_table([rows[0]] * PART, {"colour": colour, "count": pa.int64()})
    table = pa.concat_tables([same] * 40)
    body = gzip.compress(formats.stream_of(table, PART), 9)
    nothing = pa.table({name: pa.nulls(50 * PART) for name in rows[0]})
    nulls = formats.stream_of(nothing, PART)
    for sent, code, headers in (
        (body, "too-large", {"content_encoding": "gzip"}),
        (nulls, "invalid-features", {}),
    ):
        answer = send(app, sent, ARROW, **headers)
        assert answer.status == 200 and not answer.is_whole
        read = pa.ipc.open_stream(answer.body).read_all()
        assert len(read) - 1 <= FREE_ROWS + ROWS_PER_BYTE * len(sent) + PART
        assert read["errors"][-1].as_py()[0]["code"] == code


def test_ordinary_streams_do_not_end_early(app: App, rows: list[dict[str, Any]]) -> None:
    """Rows that differ are packed to several bytes each at best, and all are answered."""
    several = [{**row, "amount": number / 7} for number, row in enumerate(rows * 250)]
    assert len(several) > 4 * FREE_ROWS
    size, answer = packed(app, formats.write_lines(several))
    assert answer.is_whole and len(answer.body.splitlines()) == len(several)
    assert size > len(several)
