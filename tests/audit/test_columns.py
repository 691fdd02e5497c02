"""What a column of a table holds, where contracts agree on it and where they do not."""

from __future__ import annotations

import msgspec
import pytest

from bentos.audit.columns import Kind, find_kinds, take
from bentos.model.contract import Category, Contract, Feature
from bentos.records.record import Record, Value
from tests.audit.logged import NOW, make_id


def contract(kind: str, categories: tuple[Category, ...] | None = None) -> Contract:
    """A contract with one feature, `x`."""
    feature = msgspec.convert(
        {"name": "x", "kind": kind, "dtype": "", "categories": categories}, Feature
    )
    return Contract((feature,), "regression", "booster")


@pytest.mark.parametrize(
    ("contracts", "kind"),
    [
        ([contract("float")], "float"),
        ([contract("integer")], "integer"),
        ([contract("boolean")], "boolean"),
        ([contract("text")], "text"),
        ([contract("category", ("a", "b"))], "text"),
        ([contract("category", (1, 2))], "integer"),
        ([contract("category", (1, 2.5))], "float"),
        ([contract("category", (True, False))], "boolean"),
        ([contract("category", ("a", 1))], "json"),
        ([contract("integer"), contract("float")], "float"),
        ([contract("float"), contract("text"), contract("float")], "json"),
    ],
)
def test_kinds(contracts: list[Contract], kind: Kind) -> None:
    """A column has the type that holds every contract's values exactly, or JSON text."""
    assert find_kinds(contracts) == {"x": kind}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("float", 3, 3.0),
        ("float", None, None),
        ("integer", 2**53, 2**53),
        ("text", "", ""),
        ("json", "a", '"a"'),
        ("json", 1.5, "1.5"),
        ("json", None, None),
    ],
)
def test_values(kind: Kind, value: Value, expected: Value) -> None:
    """A value is what it was, in the column's type; missing is missing everywhere."""
    features = msgspec.Raw(msgspec.json.encode({"x": value}))
    record = Record(make_id(NOW), "r", "m", "v", "c", "e", features)
    assert take(record, {"x": kind, "y": "text"}) == [expected, None]
