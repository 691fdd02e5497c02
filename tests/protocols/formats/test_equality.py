"""Any table through any format: the same encoded values to the last bit, or the same faults."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, cast

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from bentos.errors import Problem
from bentos.model.contract import Contract, Feature
from bentos.model.json_batches import BatchReader
from bentos.model.loading import LoadedModel
from bentos.model.tables.columns import TableEncoder
from bentos.model.tables.table import Table
from bentos.model.validation import Encoder
from bentos.protocols.formats import arrow_stream, csv_table, json_batch, json_lines
from bentos.protocols.formats import parquet as parquet_format
from bentos.protocols.formats.format import TableLimits
from tests.rows import FEATURES, NOTE, OPTIONAL, WIDE, bits, contract_of

LIMITS = TableLimits(1000, 2**20)
Row = dict[str, Any]
_ARROW: dict[str, Any] = {
    "double": pa.float64(),
    "float": pa.float64(),
    "long": pa.int64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "string": pa.string(),
}


class Served:
    """As much of a loaded model as reading takes."""

    def __init__(self, contract: Contract, unknown: Any) -> None:
        encoder = Encoder(contract, unknown)
        self.contract = contract
        self.reader = BatchReader(encoder)
        self.tables = TableEncoder(encoder)


def values_of(feature: Feature) -> st.SearchStrategy[Any]:
    """Values of a feature's own column type, good and not."""
    if feature.kind == "boolean" or feature.dtype == "boolean":
        some: st.SearchStrategy[Any] = st.booleans()
    elif feature.dtype == "string":
        known = [*(feature.categories or ()), "other", "a,b", 'a "b"', "a\nb", "ü\u2028"]
        # CSV has no text that is empty, and none with a lone line end that stays one.
        some = st.sampled_from(known)
    elif feature.dtype in ("long", "integer"):
        some = st.one_of(
            st.sampled_from([*(feature.categories or ()), 0, 2**31, -(2**53), 2**53, 2**53 + 1]),
            st.integers(-(2**63), 2**63 - 1),
        )
    else:
        known = [*(feature.categories or ()), 0.0, -0.0, 3.5e38, 5e-324]
        some = st.one_of(st.sampled_from(known), st.floats(allow_nan=False, allow_infinity=False))
    return st.one_of(some, some, some, some, st.none())


@st.composite
def tables(draw: st.DrawFn, contract: Contract) -> list[Row]:
    """Rows of one set of columns."""
    names = draw(st.permutations(contract.names))
    kept = [
        name
        for name in names
        if not contract.features[contract.positions[name]].optional or draw(st.booleans())
    ]
    row = st.fixed_dictionaries(
        {name: values_of(contract.features[contract.positions[name]]) for name in kept}
    )
    return draw(st.lists(row, min_size=1, max_size=6))


def arrow_table(contract: Contract, rows: list[Row], *, is_coded: bool = False) -> Any:
    """An Arrow table of rows; `is_coded`: texts as dictionaries."""
    columns = {}
    for name in rows[0]:
        dtype = contract.features[contract.positions[name]].dtype
        column = pa.array([row[name] for row in rows], _ARROW[dtype])
        columns[name] = column.dictionary_encode() if is_coded and dtype == "string" else column
    return pa.table(columns)


def as_stream(table: Any, compression: str | None = None) -> bytes:
    """Write a table as a stream of record batches of two rows."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table, max_chunksize=2)
    return cast(bytes, sink.getvalue().to_pybytes())


def as_file(table: Any, **options: Any) -> bytes:
    """Write a table as a Parquet file."""
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, **options)
    return cast(bytes, sink.getvalue().to_pybytes())


def as_csv(rows: list[Row], line_end: str) -> bytes:
    """Write rows as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=line_end)
    writer.writerow(rows[0])
    for row in rows:
        cells = [row[name] for name in rows[0]]
        writer.writerow(
            [json.dumps(one) if isinstance(one, bool | float) else one for one in cells]
        )
    return text.getvalue().encode()


def outcome(table: Table) -> tuple[list[object], object, object]:
    """What a table says: rows to the last bit, faults and warnings by row."""
    codes = {
        place: sorted((fault.pointer.removeprefix("/instances"), fault.code) for fault in found)
        for place, found in table.faults.items()
    }
    tolerated = {place: [fault.code for fault in found] for place, found in table.tolerated.items()}
    rows = list(table.rows)
    return [bits(row) for place, row in enumerate(rows) if place not in codes], codes, tolerated


@pytest.mark.parametrize("unknown", ["refuse", "missing"])
@pytest.mark.parametrize("contract", [contract_of(*FEATURES), WIDE], ids=["plain", "wide"])
def test_every_format_means_the_same(contract: Contract, unknown: str) -> None:
    """JSON rows are the authority: each format gives what they give, bit for bit."""
    served = cast(LoadedModel, Served(contract, unknown))

    @settings(max_examples=25)
    @given(rows=tables(contract), line_end=st.sampled_from(["\n", "\r\n"]))
    def check(rows: list[Row], line_end: str) -> None:
        body = json.dumps({"instances": rows}).encode()
        expected = outcome(json_batch.FORMAT.read(served, body, LIMITS))
        lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
        assert outcome(json_lines.FORMAT.read(served, lines, LIMITS)) == expected
        assert outcome(csv_table.FORMAT.read(served, as_csv(rows, line_end), LIMITS)) == expected
        for is_coded in (False, True):
            table = arrow_table(contract, rows, is_coded=is_coded)
            for compression in (None, "zstd"):
                stream = as_stream(table, compression)
                assert outcome(arrow_stream.FORMAT.read(served, stream, LIMITS)) == expected
            file = as_file(table, row_group_size=2, use_dictionary=is_coded)
            assert outcome(parquet_format.FORMAT.read(served, file, LIMITS)) == expected

    check()


@pytest.mark.parametrize(
    ("kind", "column", "codes"),
    [
        ("float", pa.array([1, 2], pa.int8()), {}),
        ("float", pa.array([1.5, None], pa.float32()), {}),
        ("float", pa.array([1.5, float("nan")]), {1: "not_finite"}),
        ("float", pa.array([float("inf"), -1.0]), {0: "not_finite"}),
        ("float", pa.array([1.5, 2.5], pa.float16()), {}),
        ("float", pa.array([True, None]), {0: "wrong_type"}),
        ("float", pa.array(["1.5", None]), {0: "wrong_type"}),
        ("float", pa.nulls(2), {}),
        ("integer", pa.array([3.0, 3.5]), {1: "wrong_type"}),
        ("integer", pa.array([2**53, 2**53 + 1], pa.uint64()), {1: "out_of_bounds"}),
        ("integer", pa.array([1, None], pa.int32()), {1: "not_nullable"}),
        ("integer", pa.array([1, 2]).dictionary_encode(), {}),
        ("boolean", pa.array([True, None]), {1: "not_nullable"}),
        ("boolean", pa.array([1, 0]), {0: "wrong_type", 1: "wrong_type"}),
        ("category", pa.array(["blue", "x"], pa.string_view()), {1: "unknown_category"}),
        ("category", pa.array(["blue", None], pa.large_string()), {}),
        ("category", pa.array([1, 2]), {0: "wrong_type", 1: "wrong_type"}),
        ("grade", pa.array([3.0, 4.0]), {1: "unknown_category"}),
        ("grade", pa.array([7, None], pa.uint8()), {}),
    ],
)
def test_columns_of_other_types(kind: str, column: Any, codes: dict[int, str]) -> None:
    """Types that JSON does not tell apart are read by value, as JSON's numbers are."""
    features = {
        "float": Feature("x", "float", "double"),
        "integer": Feature("x", "integer", "long"),
        "boolean": Feature("x", "boolean", "boolean"),
        "category": Feature("x", "category", "string", categories=("blue", "red")),
        "grade": Feature("x", "category", "long", categories=(3, 5, 7)),
    }
    served = cast(LoadedModel, Served(contract_of(features[kind]), "refuse"))
    table = arrow_stream.FORMAT.read(served, as_stream(pa.table({"x": column})), LIMITS)
    assert {place: found[0].code for place, found in table.faults.items()} == codes


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        *(
            ("1_000", "wrong_type"),
            (" 1", "wrong_type"),
            ("0x1", "wrong_type"),
            ("x", "wrong_type"),
        ),
        *(("NaN", "not_finite"), ("-inf", "not_finite"), ("1e999", "not_finite")),
        *(("+1", 1.0), (".5", 0.5), ("5.", 5.0), ("1E2", 100.0), ("", None), ("-0", -0.0)),
        ("9" * 500, "not_finite"),
        ("true", "wrong_type"),
    ],
)
def test_numbers_of_csv(cell: str, value: object) -> None:
    """A number is what other programs write as one; Python's own ideas of numbers are not."""
    served = cast(LoadedModel, Served(contract_of(Feature("x", "float", "double")), "refuse"))
    table = csv_table.FORMAT.read(served, f'x\r\n1\r\n"{cell}"\r\n'.encode(), LIMITS)
    if isinstance(value, str):
        assert table.faults[1][0].code == value
    else:
        assert not table.faults
        assert bits(table.rows[1]) == bits((cast(float | None, value),))


@pytest.mark.parametrize(
    ("header", "codes"),
    [
        ("amount,amount,colour", ["duplicate_key"]),
        ("amount", ["missing"]),
        ("amount,colour,marker", ["unknown_feature"]),
        ("Amount,colour", ["unknown_feature", "missing"]),
    ],
)
def test_a_wrong_header_refuses_the_table(header: str, codes: list[str]) -> None:
    """Names are checked once, for all rows; what is not the model's own is not repeated."""
    features = (FEATURES[0], FEATURES[5])
    served = cast(LoadedModel, Served(contract_of(*features), "refuse"))
    with pytest.raises(Problem) as raised:
        csv_table.FORMAT.read(served, f"{header}\n1,2,3\n".encode(), LIMITS)
    assert [fault.code for fault in raised.value.faults] == codes
    assert "marker" not in str([raised.value.detail, raised.value.faults])


def test_lines_with_another_number_of_fields() -> None:
    """A line with too few or too many fields is a row with a fault, and harms no other."""
    served = cast(LoadedModel, Served(contract_of(*FEATURES[:2]), "refuse"))
    body = b"\xef\xbb\xbfamount,weight\n1,2\n1\n\n1,2,3\n3,4"
    table = csv_table.FORMAT.read(served, body, LIMITS)
    assert {place: found[0].pointer for place, found in table.faults.items()} == {1: "/1", 2: "/2"}
    np.testing.assert_array_equal(table.matrix[[0, 3]], [[1, 2], [3, 4]])


def test_text_columns_keep_their_texts() -> None:
    """A text is kept as it is, for the models that read texts."""
    served = cast(LoadedModel, Served(contract_of(NOTE, OPTIONAL[0]), "refuse"))
    table = arrow_stream.FORMAT.read(
        served, as_stream(pa.table({"note": ["a", "", "ü"], "bonus": [1.0, None, 2.0]})), LIMITS
    )
    assert list(table.rows) == [("a", 1.0), ("", None), ("ü", 2.0)]
