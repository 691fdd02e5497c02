"""Rows against the contract: every fault, all at once, and never a value."""

from __future__ import annotations

import json
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.errors import Fault
from bentos.model import json_rows
from bentos.model.contract import Contract, Feature
from bentos.model.validation import (
    MAX_HINTS,
    MAX_NAMES,
    Encoder,
    Hints,
    JsonObject,
    escape_pointer,
)
from bentos.model.values.checks import NOT_FINITE
from bentos.model.values.row_types import row_type
from tests.rows import (
    ENCODED,
    FEATURES,
    GOOD,
    NOTE,
    NUMBERS,
    PLAIN,
    WIDE,
    bits,
    contract_of,
    good_rows,
)

ENCODER = Encoder(PLAIN)


def faults_of(changes: dict[str, object]) -> list[tuple[str, str]]:
    """Pointer and code of each fault of GOOD with other values."""
    row, faults = ENCODER.validate({**GOOD, **changes})
    assert (row is None) == bool(faults)
    return [(fault.pointer, fault.code) for fault in faults]


def test_good_row() -> None:
    """A good row is encoded in contract order, categories as their codes."""
    row, faults = ENCODER.validate(dict(reversed(GOOD.items())))
    assert bits(row) == bits(ENCODED)
    assert faults == []


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("amount", "1.5", "wrong_type"),
        ("amount", True, "wrong_type"),
        ("amount", [], "wrong_type"),
        ("amount", {}, "wrong_type"),
        ("amount", NOT_FINITE, "not_finite"),
        ("amount", math.inf, "not_finite"),
        ("amount", math.nan, "not_finite"),
        ("amount", 10**400, "not_finite"),
        ("weight", 3.5e38, "out_of_bounds"),
        ("weight", -3.5e38, "out_of_bounds"),
        ("count", "4", "wrong_type"),
        ("count", 4.5, "wrong_type"),
        ("count", False, "wrong_type"),
        ("count", None, "not_nullable"),
        ("count", 2**53 + 1, "out_of_bounds"),
        ("count", -(2**53) - 1, "out_of_bounds"),
        ("count", 1e300, "out_of_bounds"),
        ("count", math.inf, "not_finite"),
        ("count", NOT_FINITE, "not_finite"),
        ("visits", 2**31, "out_of_bounds"),
        ("visits", -(2**31) - 1, "out_of_bounds"),
        ("is_member", 1, "wrong_type"),
        ("is_member", "true", "wrong_type"),
        ("is_member", None, "not_nullable"),
        ("colour", "yellow", "unknown_category"),
        ("colour", "Blue", "unknown_category"),
        ("colour", "\ud800", "unknown_category"),
        ("colour", 1, "wrong_type"),
        ("colour", [], "wrong_type"),
        ("grade", 4, "unknown_category"),
        ("grade", 3.5, "unknown_category"),
        ("grade", "3", "wrong_type"),
        ("grade", True, "wrong_type"),
        ("grade", NOT_FINITE, "not_finite"),
        ("share", 2, "unknown_category"),
        ("share", True, "wrong_type"),
        ("flag", 1, "wrong_type"),
        ("flag", 0.0, "wrong_type"),
        ("flag", "true", "wrong_type"),
    ],
)
def test_one_fault(name: str, value: object, code: str) -> None:
    """Each wrong value is one fault, at its feature, with its code."""
    assert faults_of({name: value}) == [(f"/{name}", code)]


@pytest.mark.parametrize(
    ("name", "value", "encoded"),
    [
        ("amount", 1, 1.0),
        ("amount", None, None),
        ("count", 3.0, 3),
        ("count", 2**53, 2**53),
        ("visits", -(2**31), -(2**31)),
        ("colour", None, None),
        ("grade", 7.0, 2.0),
        ("grade", None, None),
        ("share", 1, 1.0),
        ("flag", False, 0.0),
    ],
)
def test_accepted(name: str, value: object, encoded: object) -> None:
    """A number may be written as an integer or a float; null is a missing float or category."""
    row, faults = ENCODER.validate({**GOOD, name: value})
    assert faults == []
    assert row is not None
    got = row[PLAIN.positions[name]]
    assert (type(got), got) == (type(encoded), encoded)


@pytest.mark.parametrize(("value", "code"), [(1, "wrong_type"), ("\ud800", "malformed")])
def test_text(value: object, code: str) -> None:
    """Text must be a string, and one that can be stored."""
    encoder = Encoder(contract_of(NOTE))
    assert encoder.validate({"note": "grün"}) == (("grün",), [])
    assert [fault.code for fault in encoder.validate({"note": value})[1]] == [code]


def test_mixed_categories() -> None:
    """Categories of several types are told apart as JSON tells them apart."""
    mixed = contract_of(Feature("x", "category", "string", categories=("1", 1, 2.5)))
    encoder = Encoder(mixed)
    for value, expected in (("1", 0.0), (1, 1.0), (2.5, 2.0), (None, None)):
        assert encoder.validate({"x": value}) == ((expected,), [])
    assert [fault.code for fault in encoder.validate({"x": True})[1]] == ["wrong_type"]
    assert json_rows.RowReader(encoder).read_row(b'{"x": 1}') == ((1.0,), [])
    assert json_rows.RowReader(encoder).read_row(b'{"x": "1"}') == ((0.0,), [])


def test_missing() -> None:
    """A required key that is not there is a fault; an optional one is a missing value."""
    row, faults = ENCODER.validate({})
    assert row is None
    assert [fault.code for fault in faults] == ["missing"] * len(FEATURES)
    assert faults[-1].pointer == "/größe~1~0 m"
    wide, faults = Encoder(WIDE).validate({**GOOD, "note": "x"})
    assert faults == []
    assert wide is not None
    assert wide[-4:] == (None, None, None, "x")


def test_all_at_once() -> None:
    """Every fault of a row is told in one answer."""
    row = JsonObject({**GOOD, "amount": "x", "count": None, "colour": "x", "amuont": 1})
    del row["grade"]
    row.duplicates = ((12, "visits"), (13, "amuont"))
    _, faults = ENCODER.validate(row, "/instances/3")
    assert {(fault.pointer, fault.code) for fault in faults} == {
        ("/instances/3/amount", "wrong_type"),
        ("/instances/3/count", "not_nullable"),
        ("/instances/3/colour", "unknown_category"),
        ("/instances/3/grade", "missing"),
        ("/instances/3", "unknown_feature"),
        ("/instances/3/visits", "duplicate_key"),
        ("/instances/3", "duplicate_key"),
    }


@pytest.mark.parametrize("value", [None, 1, "text", [], [GOOD]])
def test_no_object(value: object) -> None:
    """A row that is no object is one fault."""
    fault = Fault("/instances/0", "wrong_type", "must be an object of named features")
    assert ENCODER.validate(value, "/instances/0") == (None, [fault])


def test_nearest_name() -> None:
    """An unknown name is told by its place and by the nearest known name, never by itself."""
    _, faults = ENCODER.validate({**GOOD, "colours": 1, "zzzzzz": 1})
    assert [(fault.pointer, fault.detail) for fault in faults] == [
        ("", "member 11 is not a feature of this model; the nearest is 'colour'"),
        ("", "member 12 is not a feature of this model"),
    ]


def test_many_names() -> None:
    """Beyond some wrong names the rest is counted, so that a bad row has a small answer."""
    row = JsonObject({**GOOD, **{f"x{number}": 1 for number in range(MAX_NAMES + 7)}})
    row.duplicates = tuple((number, "amount") for number in range(MAX_NAMES + 5))
    _, faults = ENCODER.validate(row)
    assert len(faults) == 2 * MAX_NAMES + 1
    assert faults[-1].detail == "12 more members are wrong in these ways"


def test_hints_are_few() -> None:
    """The nearest name is looked up for few names of a request, and never for a long one."""
    hints = Hints()
    found = [hints.nearest(f"colour{number}", PLAIN.positions) for number in range(MAX_HINTS + 3)]
    assert found == ["colour"] * MAX_HINTS + [None] * 3
    assert hints.nearest("colour0", PLAIN.positions) == "colour"
    assert Hints().nearest("colour" * 17, ["colour" * 17 + "s"]) is None


def test_unknown_category_as_missing() -> None:
    """With `unknown_category="missing"` the row is encoded without it, and it is reported."""
    encoder = Encoder(PLAIN, unknown_category="missing")
    row, faults = encoder.validate({**GOOD, "colour": "yellow", "grade": 4})
    assert row is not None
    assert (row[5], row[6]) == (None, None)
    assert [(fault.pointer, fault.code) for fault in faults] == [
        ("/colour", "unknown_category"),
        ("/grade", "unknown_category"),
    ]
    assert encoder.validate({**GOOD, "colour": "yellow", "count": "x"})[0] is None
    # The wrong type is no category at all.
    assert encoder.validate({**GOOD, "colour": 1})[0] is None


@pytest.mark.parametrize(
    ("name", "token"), [("a", "a"), ("a/b", "a~1b"), ("~", "~0"), ("~1", "~01"), ("", "")]
)
def test_escape_pointer(name: str, token: str) -> None:
    """Names are written as JSON pointers write them (RFC 6901, section 3)."""
    assert escape_pointer(name) == token


# ---- the fast way and the slow way


NUMBER = contract_of(Feature("x", "float", "double"))
DECODERS = {
    contract.hash: msgspec.json.Decoder(row_type(contract)) for contract in (PLAIN, WIDE, NUMBER)
}


def encode_fast(contract: Contract, body: bytes) -> object:
    """The fast way alone: the typed decoder, then the categories. None where it gives up."""
    try:
        row = DECODERS[contract.hash].decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return bits(Encoder(contract).encode(row))


@given(good_rows(PLAIN))
def test_fast_way_takes_good_rows(body: bytes) -> None:
    """A row that the contract accepts takes the fast way, to the slow way's result."""
    fast = encode_fast(PLAIN, body)
    row, faults = Encoder(PLAIN).validate(json_rows.parse(body, 1000, 100_000))
    assert faults == []
    assert fast == bits(row)
    assert fast is not None


@given(good_rows(WIDE))
def test_fast_way_takes_rows_with_gaps(body: bytes) -> None:
    """The same, where features may be left out."""
    row, faults = Encoder(WIDE).validate(json_rows.parse(body, 1000, 100_000))
    assert faults == []
    assert encode_fast(WIDE, body) == bits(row)
    assert row is not None


@settings(max_examples=600)
@given(NUMBERS)
def test_numbers_to_the_last_bit(number: str) -> None:
    """However a number is written, both ways read the same float64 or neither reads any."""
    body = f'{{"x":{number}}}'.encode()
    row, _ = Encoder(NUMBER).validate(json_rows.parse(body, 1000, 100_000))
    assert encode_fast(NUMBER, body) == bits(row)


def test_members_are_counted() -> None:
    """A decoded row knows how many of its features were sent."""
    encoder = Encoder(WIDE)
    decode = msgspec.json.Decoder(row_type(WIDE)).decode
    whole = {**GOOD, "note": "x"}
    assert encoder.count_members(decode(json.dumps(whole))) == 11
    assert encoder.count_members(decode(json.dumps({**whole, "bonus": None}))) == 12


# ---- nothing that was sent comes back

MARK = "zq7secret"
DIGITS = 918273645
SECRETS = st.recursive(
    st.sampled_from([MARK, f"{MARK}/x", DIGITS, -DIGITS, float(DIGITS) + 0.5, DIGITS * 10**30]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.just(MARK), inner, max_size=1)
    ),
    max_leaves=4,
)


@given(
    st.dictionaries(st.sampled_from([*WIDE.names, MARK, f"{MARK}2", f"colour{MARK}"]), SECRETS),
    st.sampled_from(["refuse", "missing"]),
)
def test_no_value_comes_back(row: dict[str, object], unknown_category: str) -> None:
    """No fault of any row holds a value, or a name that is not the model's."""
    encoder = Encoder(WIDE, "refuse" if unknown_category == "refuse" else "missing")
    _, faults = encoder.validate(JsonObject(row))
    told = msgspec.json.encode(faults).decode() + str(faults)
    assert MARK not in told
    assert str(DIGITS) not in told
