"""JSON bodies: what is read, what is refused, and that nothing else can happen."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.errors import MAX_LISTED, Fault, Problem
from bentos.model import json_rows
from bentos.model.contract import Contract, Feature
from bentos.model.json_rows import RowReader
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
    odd_rows,
)

READERS = {id(contract): RowReader(Encoder(contract)) for contract in (PLAIN, WIDE)}
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
    reader = RowReader(Encoder(PLAIN, "missing"))
    row, tolerated = reader.read_row(body({**GOOD, "colour": "yellow"}))
    assert row[5] is None
    assert [fault.code for fault in tolerated] == ["unknown_category"]
    assert reader.validate({**GOOD, "colour": "yellow"}) == (row, tolerated)


# ---- many rows


def test_instances() -> None:
    """Rows of a batch are read in their order."""
    rows, faults = READER.read_instances(body({"instances": [GOOD, {**GOOD, "count": 5}]}), 2)
    assert rows == [ENCODED, (*ENCODED[:2], 5, *ENCODED[3:])]
    assert faults == [[], []]


def test_instances_with_faults() -> None:
    """A bad row costs its neighbours nothing; its faults point into the body."""
    document = {"instances": [GOOD, {**GOOD, "count": "x"}, 3, {**GOOD, "colour": "x"}]}
    rows, faults = READER.read_instances(body(document), 10)
    assert rows == [ENCODED, None, None, None]
    assert [[(fault.pointer, fault.code) for fault in one] for one in faults] == [
        [],
        [("/instances/1/count", "wrong_type")],
        [("/instances/2", "wrong_type")],
        [("/instances/3/colour", "unknown_category")],
    ]


def test_instances_with_an_unknown_category() -> None:
    """A category that is not the model's sends a batch the slow way, which tells where."""
    rows, faults = READER.read_instances(body({"instances": [GOOD, {**GOOD, "grade": 4}]}), 10)
    assert rows == [ENCODED, None]
    assert [fault.pointer for fault in faults[1]] == ["/instances/1/grade"]


def test_instances_with_keys_twice() -> None:
    """A key that comes twice in one row of a batch is a fault of that row."""
    data = body({"instances": [GOOD, GOOD]}).replace(b'"count": 4', b'"count": 4, "count": 5', 1)
    rows, faults = READER.read_instances(data, 10)
    assert rows == [None, ENCODED]
    assert [fault.pointer for fault in faults[0]] == ["/instances/0/count"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[]", [("", "wrong_type")]),
        (b"null", [("", "wrong_type")]),
        (b"{}", [("/instances", "missing")]),
        (b'{"instances": {}}', [("/instances", "wrong_type")]),
        (b'{"instances": null}', [("/instances", "wrong_type")]),
        (b'{"instances": []}', [("/instances", "empty_batch")]),
        (b'{"instances": [1, 2, 3]}', [("/instances", "too_many_rows")]),
        (b'{"instances": [], "x": 1}', [("", "unknown_feature"), ("/instances", "empty_batch")]),
        (b'{"instances": [1], "instances": [1]}', [("", "duplicate_key")]),
    ],
)
def test_envelope(data: bytes, expected: list[tuple[str, str]]) -> None:
    """What is wrong with the envelope refuses the request."""
    with pytest.raises(Problem) as caught:
        READER.read_instances(data, 2)
    assert caught.value.kind == "invalid-features"
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == expected


def test_too_many_good_rows() -> None:
    """The fast way refuses too many rows as the slow way does."""
    assert len(READER.read_instances(body({"instances": [GOOD] * 2}), 2)[0]) == 2
    with pytest.raises(Problem) as caught:
        READER.read_instances(body({"instances": [GOOD] * 3}), 2)
    assert [fault.code for fault in caught.value.faults] == ["too_many_rows"]


def test_hints_of_a_batch_are_few() -> None:
    """All rows of a batch share one budget for the nearest names."""
    bad = [{**GOOD, f"colour{number}": 1} for number in range(20)]
    _, faults = READER.read_instances(body({"instances": bad}), 100)
    hints = [fault.detail for one in faults for fault in one if "nearest" in fault.detail]
    assert 0 < len(hints) < 20


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


@given(st.lists(odd_rows(PLAIN), max_size=4))
def test_batches_agree_with_rows(texts: list[bytes]) -> None:
    """A row in a batch has the result that it has alone."""
    data = b'{"instances":[' + b",".join(texts) + b"]}"
    try:
        rows, _ = READER.read_instances(data, 4)
    except Problem as problem:
        assert 400 <= int(problem.status) < 500
        return
    alone: list[EncodedRow | None] = []
    for text in texts:
        try:
            alone.append(READER.read_row(text)[0])
        except Problem:
            alone.append(None)
    assert list(map(bits, rows)) == list(map(bits, alone))


@pytest.mark.parametrize("contract", [PLAIN, WIDE], ids=["plain", "wide"])
@settings(max_examples=60)
@given(data=st.data())
def test_batches_agree_with_the_slow_way(contract: Contract, data: st.DataObject) -> None:
    """A batch of good and odd rows has the result, and the faults, of a reading of the whole."""
    some = st.one_of(good_rows(contract), odd_rows(contract))
    texts = data.draw(st.lists(some, min_size=1, max_size=4))
    batch = b'{"instances":[' + b",".join(texts) + b"]}"
    reader = READERS[id(contract)]
    try:
        expected = reader.validate_instances(
            json_rows.instances_of(json_rows.parse(batch, 1000, 100_000), 4)
        )
    except Problem as problem:
        with pytest.raises(Problem) as caught:
            reader.read_instances(batch, 4)
        assert (caught.value.kind, caught.value.detail) == (problem.kind, problem.detail)
        return
    rows, faults = reader.read_instances(batch, 4)
    assert list(map(bits, rows)) == list(map(bits, expected[0]))
    assert faults == expected[1]


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
    reader = RowReader(Encoder(COLONS))
    row, faults = reader.read_row(text.encode())
    assert faults == []
    assert reader.slow_rows == 0
    batch = f'{{"instances": [{text}, {text}]}}'
    assert reader.read_instances(batch.encode(), 2) == ([row, row], [[], []])
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
    reader = RowReader(Encoder(COLONS))
    row = '{"a: b": 1.5, "status": "::", "grade": 5, ' + twice + "}"
    with pytest.raises(Problem) as caught:
        reader.read_row(row.encode())
    assert "duplicate_key" in {fault.code for fault in caught.value.faults}
    rows, faults = reader.read_instances(f'{{"instances": [{row}]}}'.encode(), 1)
    assert rows == [None]
    assert "duplicate_key" in {fault.code for fault in faults[0]}


def test_one_bad_row_slows_no_other() -> None:
    """Of a thousand rows with one bad one, that one alone is read the slow way."""
    reader = RowReader(Encoder(PLAIN))
    good = [GOOD] * 999
    wrong: list[object] = [{**GOOD, "count": "x"}, {**GOOD, "colour": "x"}, {"amount": 1}, [], None]
    for bad in wrong:
        reader.slow_rows = 0
        data = body({"instances": [*good[:500], bad, *good[500:]]})
        rows, faults = reader.read_instances(data, 1000)
        assert rows == [*[ENCODED] * 500, None, *[ENCODED] * 499]
        assert {fault.pointer.split("/")[2] for fault in faults[500]} == {"500"}
        assert reader.slow_rows == 1


def test_one_bad_row_costs_little() -> None:
    """A batch of a thousand with one bad row takes far less than one that is all read slowly."""
    reader = RowReader(Encoder(PLAIN))
    good, bad = body({"instances": [GOOD] * 1000}), {**GOOD, "count": "x"}
    mixed = body({"instances": [*[GOOD] * 999, bad]})

    def seconds(read: Callable[[], object]) -> float:
        taken = []
        for _ in range(5):
            started = time.process_time()
            read()
            taken.append(time.process_time() - started)
        return min(taken)

    fast = seconds(lambda: reader.read_instances(good, 1000))
    apart = seconds(lambda: reader.read_instances(mixed, 1000))
    document = json_rows.parse(mixed, 2000, 100_000)
    all_slow = seconds(
        lambda: reader.validate_instances(json_rows.instances_of(document, 1000))
    ) + seconds(lambda: json_rows.parse(mixed, 2000, 100_000))
    assert apart < all_slow / 2
    assert fast < all_slow / 3


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
