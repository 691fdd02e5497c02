"""A contract with every kind of feature, and rows for it: good, bad and hostile, as JSON text."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

from hypothesis import strategies as st

from bentos.errors import Fault
from bentos.model.contract import FLOAT32_MAX, INTEGER_LIMITS, Contract, Feature
from bentos.model.tables.table import Table
from bentos.model.validation import EncodedRow

FEATURES = (
    Feature("amount", "float", "double"),
    Feature("weight", "float", "float"),
    Feature("count", "integer", "long"),
    Feature("visits", "integer", "integer"),
    Feature("is_member", "boolean", "boolean"),
    Feature("colour", "category", "string", categories=("blue", "grün", "red: dark")),
    Feature("grade", "category", "long", categories=(3, 5, 7)),
    Feature("share", "category", "double", categories=(0.5, 1.0)),
    Feature("flag", "category", "boolean", categories=(False, True)),
    # A pointer must escape it, and it is no ASCII.
    Feature("größe/~ m", "float", "double"),
)
OPTIONAL = (
    Feature("bonus", "float", "double", optional=True),
    Feature("seen", "boolean", "boolean", optional=True),
    Feature("region", "category", "string", categories=("north", "south"), optional=True),
)
NOTE = Feature("note", "text", "string")


def contract_of(*features: Feature) -> Contract:
    """A regression on features."""
    return Contract(features=features, task="regression", engine="booster")


# No optional features, and some: two ways through the reader.
PLAIN = contract_of(*FEATURES)
WIDE = contract_of(*FEATURES, *OPTIONAL, NOTE)

GOOD = {
    "amount": 1.5,
    "weight": 2.5,
    "count": 4,
    "visits": 5,
    "is_member": True,
    "colour": "grün",
    "grade": 5,
    "share": 1.0,
    "flag": True,
    "größe/~ m": 3.25,
}
ENCODED = (1.5, 2.5, 4, 5, True, 1.0, 1.0, 1.0, 1.0, 3.25)

_SPACE = st.sampled_from(["", "", "", " ", "\n", "\t "])
NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
)
STRINGS = st.one_of(
    st.text(max_size=8).map(json.dumps),
    st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
    # Lone surrogates, as only an escape can write them.
    st.sampled_from(['"\\ud800"', '"\\udfff x"', '"\\u0000"', '"a:b"', '"\\""']),
)
# What Python's parser knows and JSON does not, and what no float64 can hold.
ODD = st.sampled_from(
    [
        *("NaN", "Infinity", "-Infinity", "1e999", "-1e400", "9" * 400, "9" * 500, "-0", "-0.0"),
        *("9007199254740993", "-9007199254740992", "2147483648", "3.5e38", "3.0"),
        *("1.", "01", "+1", ".5", "--1"),
    ]
)
SCALARS = st.one_of(NUMBERS, STRINGS, ODD, st.sampled_from(["null", "true", "false"]))


def _containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]"),
        st.lists(st.tuples(STRINGS, inner), max_size=3).map(
            lambda items: "{" + ",".join(f"{key}:{value}" for key, value in items) + "}"
        ),
    )


VALUES = st.recursive(SCALARS, _containers, max_leaves=6)


def good_values(feature: Feature) -> st.SearchStrategy[str]:
    """JSON texts that a feature accepts."""
    if feature.categories is not None:
        chosen: st.SearchStrategy[str] = st.sampled_from(feature.categories).map(json.dumps)
    elif feature.kind == "float":
        largest = FLOAT32_MAX if feature.dtype == "float" else None
        low = None if largest is None else -largest
        chosen = st.floats(low, largest, allow_nan=False, allow_infinity=False).map(repr)
        chosen = st.one_of(chosen, st.integers(-(10**20), 10**20).map(str))
    elif feature.kind == "integer":
        low_limit, high_limit = INTEGER_LIMITS[feature.dtype]
        chosen = st.integers(low_limit, high_limit).map(str)
    elif feature.kind == "boolean":
        chosen = st.sampled_from(["true", "false"])
    else:
        chosen = st.text(max_size=8).map(json.dumps)
    return st.one_of(chosen, chosen, chosen, st.just("null")) if feature.is_nullable else chosen


def _write(members: list[tuple[str, str]], spaces: list[str], is_ascii: bool) -> bytes:
    before, between, after = spaces
    pairs = (
        f"{json.dumps(name, ensure_ascii=is_ascii)}{between}:{before}{value}"
        for name, value in members
    )
    return ("{" + f"{between},".join(pairs) + "}" + after).encode("utf-8", "surrogatepass")


@st.composite
def good_rows(draw: st.DrawFn, contract: Contract) -> bytes:
    """One row that the contract accepts, keys in any order, optional ones left out or not."""
    members = [
        (feature.name, draw(good_values(feature)))
        for feature in contract.features
        if not feature.optional or draw(st.booleans())
    ]
    spaces = [draw(_SPACE) for _ in range(3)]
    return _write(draw(st.permutations(members)), spaces, draw(st.booleans()))


@st.composite
def odd_rows(draw: st.DrawFn, contract: Contract) -> bytes:
    """One row in which anything may be wrong: values, names, keys twice, keys not there."""
    members = []
    for feature in contract.features:
        fate = draw(st.integers(0, 19))
        if fate == 0:
            continue
        value = draw(VALUES) if fate in (1, 2, 3) else draw(good_values(feature))
        members.append((feature.name, value))
        if fate == 4:
            members.append((feature.name, draw(good_values(feature))))
    if draw(st.integers(0, 3)) == 0:
        members.append((draw(st.text(max_size=8)), draw(VALUES)))
    spaces = [draw(_SPACE) for _ in range(3)]
    return _write(draw(st.permutations(members)), spaces, draw(st.booleans()))


def bits(row: EncodedRow | None) -> object:
    """An encoded row for comparison to the last bit: -0.0 is not 0.0, nor True 1."""
    if row is None:
        return None
    return [
        (type(value).__name__, struct.pack("<d", value) if isinstance(value, float) else value)
        for value in row
    ]


def listed(table: Table) -> tuple[list[EncodedRow | None], list[list[Fault]]]:
    """The rows of a table, None in the place of one with faults; and the faults of each."""
    rows: list[EncodedRow | None] = list(table.rows)
    for place in table.faults:
        rows[place] = None
    found = {**table.tolerated, **table.faults}
    return rows, [found.get(place, []) for place in range(len(rows))]


def body(row: Mapping[str, object]) -> bytes:
    """Write a row as JSON."""
    return json.dumps(row).encode()
