"""JSON bodies: what is read, what is refused, and that nothing else can happen."""

from __future__ import annotations

import json
import time
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.errors import MAX_LISTED, Fault, Problem
from bentos.model import json_rows
from bentos.model.contract import Contract, Feature
from bentos.model.json_batches import BatchReader
from bentos.model.validation import EncodedRow, Encoder, JsonObject
from bentos.model.values.checks import NOT_FINITE
from tests.rows import (
    ENCODED,
    GOOD,
    PLAIN,
    VALUES,
    WIDE,
    bits,
    body,
    contract_of,
    good_rows,
    listed,
    odd_rows,
)

READERS = {id(contract): BatchReader(Encoder(contract)) for contract in (PLAIN, WIDE)}
READER = READERS[id(PLAIN)]


def problem_of(data: bytes) -> Problem:
    """The problem of a body that cannot be read as a row."""
    with pytest.raises(Problem) as caught:
        READER.read_row(data)
    return caught.value


def slow(contract: Contract, data: bytes) -> tuple[EncodedRow | None, list[Fault]]:
    """The slow way: the authority."""
    return Encoder(contract).validate(json_rows.parse(data, 1000, 100_000))


# ---- one row


def test_row() -> None:
    """A row is read in any order of its keys, with any white space and any escapes."""
    assert READER.read_row(body(GOOD)) == (ENCODED, [])
    turned = json.dumps(dict(reversed(GOOD.items())), ensure_ascii=False, indent=3).encode()
    assert READER.read_row(turned) == (ENCODED, [])
    escaped = body(GOOD).replace(b'"amount"', b'"\\u0061mount"')
    assert READER.read_row(escaped) == (ENCODED, [])


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "not JSON at line 1, column 1"),
        (b"{", "not JSON at line 1"),
        (b'{"amount": 1,}', "not JSON"),
        (b'{"amount": 01}', "not JSON"),
        (b"{'amount': 1}", "not JSON"),
        (b'{"amount": 1} {}', "not JSON"),
        (b'{"amount": "\n"}', "not JSON"),
        (b'{"amount": 1}\x00', "not JSON"),
        (b"\xef\xbb\xbf" + body(GOOD), "not JSON at line 1, column 1"),
        (json.dumps(GOOD).encode("utf-16"), "not UTF-8 at byte 0"),
        (json.dumps(GOOD).encode("utf-16-le"), "not JSON"),
        (b'{"amount": "\xff"}', "not UTF-8 at byte 12"),
        (b'{"note": "\xed\xa0\x80"}', "not UTF-8"),
    ],
)
def test_malformed(data: bytes, detail: str) -> None:
    """What is no JSON text in UTF-8 is a 400 that says where, and does not quote it."""
    problem = problem_of(data)
    assert (problem.kind, int(problem.status)) == ("malformed", 400)
    assert detail in problem.detail


@pytest.mark.parametrize("opening", [b"[", b'{"amount":', b'{"amount":['])
def test_deep(opening: bytes) -> None:
    """A body that is nested too deeply is a 400, at whatever depth and however it is closed."""
    for depth in (1_000, 100_000, 1_000_000):
        problem = problem_of(opening * depth)
        assert problem.kind == "malformed"
    assert [fault.code for fault in problem.faults] == ["too_deep"]


@pytest.mark.parametrize(
    "token", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 401, "9" * 10_000]
)
def test_not_finite(token: str) -> None:
    """Numbers that JSON does not have, or no float64 holds, are faults and never a number."""
    for name in ("amount", "weight", "count", "grade"):
        data = body({**GOOD, name: 0}).replace(
            f'"{name}": 0'.encode(), f'"{name}": {token}'.encode()
        )
        assert [(fault.pointer, fault.code) for fault in problem_of(data).faults] == [
            (f"/{name}", "not_finite")
        ]


def test_key_twice() -> None:
    """A key that comes twice is a fault, even with one and the same value."""
    twice = body(GOOD).replace(b'"count": 4', b'"count": 4, "count": 4')
    assert [(fault.pointer, fault.code) for fault in problem_of(twice).faults] == [
        ("/count", "duplicate_key")
    ]
    hidden = body({**GOOD, "colour": "red: dark"}).replace(
        b'"count": 4', b'"count": 4, "\\u0063ount": 4'
    )
    assert [fault.code for fault in problem_of(hidden).faults] == ["duplicate_key"]


def test_key_twice_where_others_are_left_out() -> None:
    """A feature that was left out cannot hide another that came twice."""
    reader = READERS[id(WIDE)]
    row = body({**GOOD, "note": "x", "bonus": 1})
    assert reader.read_row(row)[1] == []
    with pytest.raises(Problem) as caught:
        reader.read_row(row.replace(b'"bonus": 1', b'"bonus": 1, "bonus": 2'))
    assert [fault.code for fault in caught.value.faults] == ["duplicate_key"]


def test_all_faults() -> None:
    """One problem lists every fault of a row, and counts them."""
    problem = problem_of(body({"amount": "x", "colour": "x", "y": 1}))
    assert (problem.kind, int(problem.status)) == ("invalid-features", 422)
    assert len(problem.faults) == 11
    assert problem.detail == "11 faults found: see errors"
    assert problem_of(b"[]").detail == "1 fault found: see errors"


def test_tolerated() -> None:
    """An unknown category that is scored as missing comes beside the row."""
    reader = BatchReader(Encoder(PLAIN, "missing"))
    row, tolerated = reader.read_row(body({**GOOD, "colour": "yellow"}))
    assert row[5] is None
    assert [fault.code for fault in tolerated] == ["unknown_category"]
    assert reader.validate({**GOOD, "colour": "yellow"}) == (row, tolerated)


# ---- many rows


# ---- plain values


def test_parse() -> None:
    """Objects remember keys that came twice; impossible numbers become a mark of their own."""
    document = json_rows.parse(b'{"a": [1, 2.5, NaN, 1e999], "b": {"c": 1, "c": 2}}', 2, 100_000)
    assert isinstance(document, JsonObject)
    assert document["a"] == [1, 2.5, NOT_FINITE, NOT_FINITE]
    inner = document["b"]
    assert isinstance(inner, JsonObject)
    assert inner == {"c": 2}
    assert inner.duplicates == ((2, "c"),)
    assert document.duplicates == ()


def test_too_many_objects() -> None:
    """Reading stops at so many objects: each costs far more than its bytes."""
    assert json_rows.parse(b"[{}, {}]", 2, 100_000) == [{}, {}]
    with pytest.raises(Problem) as caught:
        json_rows.parse(b"[{}, {}, {}]", 2, 100_000)
    assert (caught.value.kind, int(caught.value.status)) == ("too-large", 413)
    junk = b'{"x": [' + b",".join([b"{}"] * 1_000_000) + b"]}"
    started = time.process_time()
    assert problem_of(junk).detail == "the body has more than 51020 JSON values"
    with pytest.raises(Problem):
        READER.read_instances(junk, 10)
    # Reading all of it takes some seconds, and half a gigabyte.
    assert time.process_time() - started < 0.2


def test_encode() -> None:
    """Answers are written as compact JSON."""
    assert json_rows.encode({"score": 0.1, "label": None}) == b'{"score":0.1,"label":null}'


# ---- whatever comes


@pytest.mark.parametrize("contract", [PLAIN, WIDE], ids=["plain", "wide"])
@given(data=st.data())
def test_good_rows_agree(contract: Contract, data: st.DataObject) -> None:
    """A good row is read the same on the fast way and on the slow way, to the last bit."""
    text = data.draw(good_rows(contract))
    row, faults = READERS[id(contract)].read_row(text)
    expected, _ = slow(contract, text)
    assert faults == []
    assert bits(row) == bits(expected)


@pytest.mark.parametrize("contract", [PLAIN, WIDE], ids=["plain", "wide"])
@given(data=st.data())
def test_odd_rows_agree(contract: Contract, data: st.DataObject) -> None:
    """A row with anything in it has the same result, or the same faults, on both ways."""
    text = data.draw(odd_rows(contract))
    try:
        row, faults = READERS[id(contract)].read_row(text)
    except Problem as problem:
        assert 400 <= int(problem.status) < 500
        try:
            expected, expected_faults = slow(contract, text)
        except Problem as other:
            assert (other.kind, other.detail) == (problem.kind, problem.detail)
            return
        assert expected is None
        assert list(problem.faults) == expected_faults
        return
    expected, expected_faults = slow(contract, text)
    assert bits(row) == bits(expected)
    assert faults == expected_faults == []


# ---- the fast way

# Every feature that can bring a colon: in its name, in a category, in free text.
COLONS = contract_of(
    Feature("a: b", "float", "double"),
    Feature("status", "category", "string", categories=("male : single", "::", "none")),
    Feature("note: free", "text", "string", optional=True),
    Feature("count", "integer", "long"),
    Feature("grade", "category", "long", categories=(3, 5)),
)
HONEST = {"a: b": 1.5, "status": "male : single", "note: free": "at 10:30", "count": 4, "grade": 5}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(HONEST),
        json.dumps(HONEST, indent=4),
        json.dumps(dict(reversed(HONEST.items()))),
        json.dumps({**HONEST, "a: b": 2}),
        json.dumps({**HONEST, "a: b": None, "note: free": None}),
        json.dumps({name: HONEST[name] for name in ("a: b", "status", "count", "grade")}),
        json.dumps({**HONEST, "count": 4.0, "grade": 5.0}),
        json.dumps(HONEST).replace("1.5", "15E-1").replace(": 4,", ": 0.4e1,"),
        json.dumps({**HONEST, "note: free": "größe / ünï"}),
        json.dumps({**HONEST, "note: free": "a/b ü"}).replace("/", "\\/"),
        json.dumps({**HONEST, "note: free": "größe"}, ensure_ascii=False),
        json.dumps({**HONEST, "note: free": 'a "quoted" \\ line\n\tand more'}),
    ],
    ids=[
        *("plain", "indented", "turned", "integer for a float", "nulls", "left out"),
        *("floats for integers", "exponents", "escaped", "escaped slash", "not ASCII", "quotes"),
    ],
)
def test_what_honest_clients_send_stays_fast(text: str) -> None:
    """No usual way of writing a good row sends it the slow way, alone or in a batch."""
    reader = BatchReader(Encoder(COLONS))
    row, faults = reader.read_row(text.encode())
    assert faults == []
    assert reader.slow_rows == 0
    batch = f'{{"instances": [{text}, {text}]}}'
    assert listed(reader.read_instances(batch.encode(), 2)) == ([row, row], [[], []])
    assert reader.slow_rows == 0
    assert bits(row) == bits(slow(COLONS, text.encode())[0])


@pytest.mark.parametrize(
    "twice",
    [
        '"count": 4, "count": 4',
        '"count": 4, "\\u0063ount": 4',
        # Colons that are escapes must not make up for the second key's.
        '"count": 4, "count": 4, "note: free": "\\u003a"',
        '"count": 4, "count": 4, "note: free": "\\u003A"',
        '"count": 4, "note: free": ":", "note: free": "x"',
        '"count": 4, "note: free": "x", "note: free": ":"',
    ],
)
def test_colons_hide_no_second_key(twice: str) -> None:
    """A key that comes twice is found whatever colons the names and texts have."""
    reader = BatchReader(Encoder(COLONS))
    row = '{"a: b": 1.5, "status": "::", "grade": 5, ' + twice + "}"
    with pytest.raises(Problem) as caught:
        reader.read_row(row.encode())
    assert "duplicate_key" in {fault.code for fault in caught.value.faults}
    rows, faults = listed(reader.read_instances(f'{{"instances": [{row}]}}'.encode(), 1))
    assert rows == [None]
    assert "duplicate_key" in {fault.code for fault in faults[0]}


def read_anyhow(data: bytes) -> None:
    """Read a body in every way: a row, a batch, plain values; only a Problem may be raised."""
    for read in (
        READER.read_row,
        lambda text: READER.read_instances(text, 3),
        lambda text: json_rows.parse(text, 3, 100_000),
    ):
        try:
            read(data)
        except Problem as problem:
            assert 400 <= int(problem.status) < 500
            msgspec.json.encode(problem.document("id"))


@given(st.binary(max_size=64))
def test_any_bytes(data: bytes) -> None:
    """Whatever bytes come, the client hears of a problem and the server of none."""
    read_anyhow(data)


@given(VALUES)
def test_any_value(text: str) -> None:
    """Whatever JSON value comes, alone or as a batch, the client hears of a problem."""
    data = text.encode()
    read_anyhow(data)
    read_anyhow(b'{"instances":[' + data + b"]}")
    read_anyhow(b'{"instances":' + data + b"}")


@given(good_rows(PLAIN), st.integers(0, 400), st.integers(0, 255), st.integers(0, 3))
def test_spoilt_rows(data: bytes, place: int, byte: int, length: int) -> None:
    """A good row with some bytes changed, cut or put in is read the same on both ways, or not."""
    place %= len(data)
    spoilt = data[:place] + bytes([byte]) + data[place + length :]
    read_anyhow(spoilt)
    try:
        row, _ = READER.read_row(spoilt)
    except Problem:
        return
    assert bits(row) == bits(slow(PLAIN, spoilt)[0])


@pytest.mark.parametrize(
    ("body", "members"),
    [
        (b'{"a": 1, "b": {"c": 2}}', 3),
        (b'["a:b", ":", {":": ":"}]', 1),
        (rb'{"\"": 1, "\\": ":", "\\\"": "\":"}', 3),
        (rb'{"a": "\\:\\\\", "b" : 2}', 2),
    ],
)
def test_members_are_counted_outside_of_strings(body: bytes, members: int) -> None:
    """The bound on members counts keys, and no colon of a text."""
    assert json_rows.parse(body, 10, members) is not None
    with pytest.raises(Problem, match=f"more than {members - 1} JSON members"):
        json_rows.parse(body, 10, members - 1)


def test_a_body_of_members_is_refused_unread() -> None:
    """A small body that would become millions of members costs about as much as its bytes."""
    body = b"{" + b",".join([b'"":1'] * 1_000_000) + b"}"
    tracemalloc.start()
    try:
        with pytest.raises(Problem, match="JSON members"):
            json_rows.parse(body, 10, 1000)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(body)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [b"1", b"[1]", b"null", b"[]"])
def test_a_body_of_values_is_refused_unread(value: bytes) -> None:
    """So does one of millions of values in arrays, which are no members and no objects."""
    body = b'{"a":[' + b",".join([value] * 1_000_000) + b"]}"
    tracemalloc.start()
    try:
        with pytest.raises(Problem, match="more than 1010 JSON values"):
            json_rows.parse(body, 10, 1000)
        assert tracemalloc.get_traced_memory()[1] < 12 * len(body)
    finally:
        tracemalloc.stop()
    few = b'{"a":[' + b",".join([value] * 1000) + b', ",,,,,,,,,,,,,,,,,,,"]}'
    assert json_rows.parse(few, 10, 1000) is not None


def test_repeated_keys_are_listed_up_to_a_bound() -> None:
    """One object with very many repeated keys keeps no more of them than an answer lists."""
    document = json_rows.parse(b"{" + b",".join([b'"a":1'] * 5000) + b"}", 1, 5000)
    assert isinstance(document, JsonObject)
    assert len(document.duplicates) == MAX_LISTED
