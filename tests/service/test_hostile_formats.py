"""Hostile bytes in every format: a 4xx that repeats nothing, little memory, no harm to others."""

from __future__ import annotations

import json
import random
import struct
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.service import formats
from tests.service.driver import Answer, App
from tests.service.formats import ALL, ARROW, CSV, NDJSON, PARQUET

PATH = "/v1/predict/batch"


def send(app: App, body: bytes, sent: str) -> Answer:
    """Send a body."""
    return app.request("POST", PATH, body, headers={"content-type": sent})


def is_refused(answer: Answer) -> bool:
    """Whether an answer is a client's mistake, at once or after some rows."""
    assert answer.status < 500
    return answer.status >= 400 or not answer.is_whole


@settings(max_examples=60)
@given(body=st.one_of(st.binary(max_size=200), st.text(max_size=60).map(str.encode)))
def test_any_bytes(app: App, body: bytes) -> None:
    """Bytes of any kind are refused, or are rows with faults."""
    for sent in ALL:
        answer = send(app, body, sent)
        assert is_refused(answer) or not any(one["scores"] for one in formats.read(answer))


@pytest.mark.parametrize("sent", [ARROW, PARQUET, NDJSON, CSV])
def test_damaged_bodies(app: App, rows: list[dict[str, Any]], sent: str) -> None:
    """A good body with damaged bytes is scored or refused, and the next request is as ever."""
    good = formats.WRITE[sent](rows[:8])
    source = random.Random(3)  # noqa: S311 - damage, not secrets: it must repeat
    for _ in range(100):
        damaged = bytearray(good)
        for _ in range(source.choice((1, 2, 8))):
            damaged[source.randrange(len(damaged))] = source.choice((0, 1, 127, 128, 255))
        if source.random() < 0.3:
            del damaged[source.randrange(len(damaged)) :]
        assert send(app, bytes(damaged), sent).status < 500
    assert all(one["scores"] for one in formats.read(send(app, good, sent)))


@pytest.mark.parametrize("sent", ALL)
def test_marked_strings_never_come_back(app: App, rows: list[dict[str, Any]], sent: str) -> None:
    """Neither a value nor a name of a client's own is repeated, whatever is wrong with it."""
    wrong = [{**rows[0], "colour": "marker-value"}, {**rows[0], "marker-name": "marker-text"}]
    for some in ([wrong[0]], [wrong[1]], wrong):
        assert b"marker" not in send(app, formats.WRITE[sent](some), sent).body
    quoted = {CSV: b'amount,"marker\nmarker"x\n', NDJSON: b'{"marker": marker}\n'}
    assert b"marker" not in send(app, quoted.get(sent, b"marker"), sent).body


def test_columns_that_are_not_read(app: App, rows: list[dict[str, Any]]) -> None:
    """Nested, packed and foreign column types are refused by the column's name."""
    table = formats.to_table(rows[:4])
    place = table.column_names.index("amount")
    numbers = pa.array([1.0, 2.0, 3.0, 4.0])
    for column in (
        pa.array([[1.0]] * 4),
        pa.array([{"x": 1.0}] * 4),
        pa.RunEndEncodedArray.from_arrays(pa.array([4], pa.int32()), pa.array([1.0])),
        pa.array([b"1"] * 4),
        pa.array([1, 2, 3, 4], pa.timestamp("s")),
        pa.array(["1.0"] * 4).cast(pa.decimal128(5, 2)),
        pa.ExtensionArray.from_storage(pa.opaque(pa.float64(), "x", "y"), numbers),
    ):
        body = formats.stream_of(table.set_column(place, "amount", column))
        answer = send(app, body, ARROW)
        assert answer.status == 422, column.type
        (fault,) = answer.json()["errors"]
        assert (fault["pointer"], fault["code"]) == ("/amount", "wrong_type")


def test_more_rows_than_bytes(app: App) -> None:
    """Columns without bytes do not make a small body a large table."""
    names = ("amount", "count", "is_member", "colour", "grade", "weight")
    table = pa.table({name: pa.nulls(10**6) for name in names})
    assert send(app, formats.stream_of(table, 10**6), ARROW).status == 413
    assert send(app, formats.file_of(table), PARQUET).status == 413


def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    app: App, rows: list[dict[str, Any]]
) -> None:
    """Compressed buffers, pages and dictionaries are measured by what they say they become."""
    table = formats.to_table(rows[:2])
    place = table.column_names.index("colour")
    large = pa.array(["x" * (20 * 2**20), "red"])
    packed = table.set_column(place, "colour", large)
    body = formats.stream_of(packed, compression="zstd")
    assert len(body) < 100_000
    assert send(app, body, ARROW).status == 413
    coded = table.set_column(place, "colour", large.dictionary_encode())
    assert send(app, formats.stream_of(coded, compression="zstd"), ARROW).status == 413
    file = formats.file_of(packed, compression="zstd")
    assert len(file) < 100_000
    assert send(app, file, PARQUET).status == 413
    # Many rows may refer to one long text: it is looked at once.
    many = formats.to_table(rows)
    one = pa.array(["x" * 2**20] * len(rows)).dictionary_encode()
    answer = send(app, formats.stream_of(many.set_column(place, "colour", one)), ARROW)
    assert [found["codes"][0][1] for found in formats.read(answer)] == ["unknown_category"] * 200
    views = pa.array(["x" * 2**20] * 20, pa.string_view())
    body = formats.stream_of(many.slice(0, 20).set_column(place, "colour", views))
    assert send(app, body, ARROW).status == 413


def test_lies_about_sizes(app: App, rows: list[dict[str, Any]]) -> None:
    """Lengths that a body only claims are refused before anything is made of that size."""
    good = formats.write_arrow(rows[:8])
    for place in range(0, len(good) - 8, 16):
        for lie in (2**31 - 1, -1, 2**62):
            body = bytearray(good)
            size = "<q" if abs(lie) > 2**32 else "<i"
            struct.pack_into(size, body, place, lie)
            assert send(app, bytes(body), ARROW).status < 500


def test_neighbours_are_not_harmed(
    app: App, rows: list[dict[str, Any]], scores: NDArray[np.float64]
) -> None:
    """Single rows are answered right while damaged bodies come in."""

    async def both() -> list[Answer]:
        import asyncio

        good = formats.write_arrow(rows[:100])
        bodies = [good[:place] + b"\xff" * 8 + good[place + 8 :] for place in range(0, 2000, 40)]
        bad = [app.exchange("POST", PATH, body, headers={"content-type": ARROW}) for body in bodies]
        single = [
            app.exchange("POST", "/v1/predict", json.dumps(row).encode()) for row in rows[:100]
        ]
        return (await asyncio.gather(*bad, *single))[len(bad) :]

    assert [answer.json()["score"] for answer in app.run(both())] == scores[:100].tolist()
