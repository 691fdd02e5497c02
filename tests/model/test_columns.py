"""Columns are encoded as rows are, to the last bit, and refused as rows are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.errors import Problem
from bentos.model import json_rows
from bentos.model.columns import ColumnEncoder
from bentos.model.contract import Contract
from bentos.model.validation import Encoder, UnknownCategory
from tests.rows import PLAIN, SCALARS, WIDE, bits, good_values


def place(position: int, row: int) -> str:
    return f"/{position}/{row}"


def values_of(texts: list[str]) -> list[object]:
    document = json_rows.parse(f"[{','.join(texts)}]".encode(), 100, 100)
    assert isinstance(document, list)
    return document


@st.composite
def tables(draw: st.DrawFn, contract: Contract) -> tuple[list[list[str]], int]:
    """A table by column, most values good: JSON texts, and the number of rows."""
    count = draw(st.integers(1, 4))
    columns = []
    for feature in contract.features:
        odd = draw(st.integers(0, 5)) == 0
        values = st.one_of(good_values(feature), SCALARS) if odd else good_values(feature)
        columns.append(draw(st.lists(values, min_size=count, max_size=count)))
    return columns, count


@pytest.mark.parametrize("unknown", ["refuse", "missing"])
@pytest.mark.parametrize("contract", [PLAIN, WIDE], ids=["plain", "wide"])
@settings(max_examples=80)
@given(data=st.data())
def test_equal_to_rows(contract: Contract, unknown: UnknownCategory, data: st.DataObject) -> None:
    """Any table gives the rows, the faults and the tolerated faults that its rows give."""
    encoder = Encoder(contract, unknown)
    texts, count = data.draw(tables(contract))
    try:
        columns = {position: values_of(column) for position, column in enumerate(texts)}
    except Problem:
        return
    rows, tolerated, faults = ColumnEncoder(encoder).encode(columns, count, place)
    names = contract.names
    expected = [
        encoder.validate({name: columns[p][row] for p, name in enumerate(names)})
        for row in range(count)
    ]
    wrong = [found for encoded, found in expected if encoded is None]
    if wrong:
        assert rows == []
        codes = sorted(fault.code for fault in faults)
        assert codes == sorted(fault.code for found in wrong for fault in found)
    else:
        assert faults == []
        assert [bits(row) for row in rows] == [bits(encoded) for encoded, _ in expected]
        assert tolerated == [found for _, found in expected]


def test_left_out() -> None:
    """A feature that may be left out is missing then; any other is a fault of the table."""
    encoder = ColumnEncoder(Encoder(WIDE))
    _, _, faults = encoder.encode({}, 2, place, "/table")
    required = {
        f"'{feature.name}' is required" for feature in WIDE.features if not feature.optional
    }
    assert {fault.detail for fault in faults} == required
    assert {(fault.pointer, fault.code) for fault in faults} == {("/table", "missing")}


def test_no_value_in_a_fault() -> None:
    """A fault names the feature and the place, and never the value."""
    encoder = ColumnEncoder(Encoder(PLAIN))
    columns = {position: ["MARKED", "MARKED"] for position in range(len(PLAIN.features))}
    _, _, faults = encoder.encode(columns, 2, place)
    assert len(faults) == 2 * len(PLAIN.features)
    assert "MARKED" not in json.dumps([fault.detail for fault in faults])
