"""Many rows as JSON: read by column as they would be read one by one, and the wrong ones apart."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.errors import Problem
from bentos.model import json_rows
from bentos.model.contract import Contract, Feature
from bentos.model.json_batches import PIECE_BYTES, BatchReader
from bentos.model.validation import EncodedRow, Encoder
from tests.rows import (
    ENCODED,
    GOOD,
    PLAIN,
    WIDE,
    bits,
    body,
    contract_of,
    good_rows,
    listed,
    odd_rows,
)

# What a decoder and numpy could mistake: integers that no float64 tells apart, categories of
# several types, texts among numbers, features that may be left out.
BROAD = contract_of(
    Feature("note: free", "text", "string", optional=True),
    Feature("number", "category", "long", categories=(2**53, 2**53 + 1, 3)),
    Feature("mixed", "category", "string", categories=("1", ": :", 1, 2.5)),
    Feature("name", "text", "string"),
    Feature("count", "integer", "long", optional=True),
    Feature("flag", "category", "boolean", categories=(True, False), optional=True),
    Feature("kind", "category", "string", categories=("a", "ü: \U0001f600", ""), optional=True),
    Feature("amount", "float", "float", optional=True),
)

READERS = {id(contract): BatchReader(Encoder(contract)) for contract in (PLAIN, WIDE, BROAD)}
READER = READERS[id(PLAIN)]
# Every cut that there can be: as many pieces as rows.
CUT = {id(contract): BatchReader(Encoder(contract), 1) for contract in (PLAIN, WIDE, BROAD)}


def test_instances() -> None:
    """Rows of a batch are read in their order."""
    rows, faults = listed(
        READER.read_instances(body({"instances": [GOOD, {**GOOD, "count": 5}]}), 2)
    )
    assert rows == [ENCODED, (*ENCODED[:2], 5, *ENCODED[3:])]
    assert faults == [[], []]


def test_instances_with_faults() -> None:
    """A bad row costs its neighbours nothing; its faults point into the body."""
    document = {"instances": [GOOD, {**GOOD, "count": "x"}, 3, {**GOOD, "colour": "x"}]}
    rows, faults = listed(READER.read_instances(body(document), 10))
    assert rows == [ENCODED, None, None, None]
    assert [[(fault.pointer, fault.code) for fault in one] for one in faults] == [
        [],
        [("/instances/1/count", "wrong_type")],
        [("/instances/2", "wrong_type")],
        [("/instances/3/colour", "unknown_category")],
    ]


def test_instances_with_an_unknown_category() -> None:
    """A category that is not the model's sends a batch the slow way, which tells where."""
    rows, faults = listed(
        READER.read_instances(body({"instances": [GOOD, {**GOOD, "grade": 4}]}), 10)
    )
    assert rows == [ENCODED, None]
    assert [fault.pointer for fault in faults[1]] == ["/instances/1/grade"]


def test_instances_with_keys_twice() -> None:
    """A key that comes twice in one row of a batch is a fault of that row."""
    data = body({"instances": [GOOD, GOOD]}).replace(b'"count": 4', b'"count": 4, "count": 5', 1)
    rows, faults = listed(READER.read_instances(data, 10))
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
    assert len(READER.read_instances(body({"instances": [GOOD] * 2}), 2)) == 2
    with pytest.raises(Problem) as caught:
        READER.read_instances(body({"instances": [GOOD] * 3}), 2)
    assert [fault.code for fault in caught.value.faults] == ["too_many_rows"]


def test_hints_of_a_batch_are_few() -> None:
    """All rows of a batch share one budget for the nearest names."""
    bad = [{**GOOD, f"colour{number}": 1} for number in range(20)]
    _, faults = listed(READER.read_instances(body({"instances": bad}), 100))
    hints = [fault.detail for one in faults for fault in one if "nearest" in fault.detail]
    assert 0 < len(hints) < 20


@given(st.lists(odd_rows(PLAIN), max_size=4))
def test_batches_agree_with_rows(texts: list[bytes]) -> None:
    """A row in a batch has the result that it has alone."""
    data = b'{"instances":[' + b",".join(texts) + b"]}"
    try:
        rows, _ = listed(READER.read_instances(data, 4))
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


@pytest.mark.parametrize("readers", [READERS, CUT], ids=["whole", "cut"])
@pytest.mark.parametrize("contract", [PLAIN, WIDE], ids=["plain", "wide"])
@settings(max_examples=60)
@given(data=st.data())
def test_batches_agree_with_the_slow_way(
    contract: Contract, readers: dict[int, BatchReader], data: st.DataObject
) -> None:
    """A batch of good and odd rows has the result, and the faults, of a reading of the whole."""
    some = st.one_of(good_rows(contract), odd_rows(contract))
    texts = data.draw(st.lists(some, min_size=1, max_size=4))
    batch = b'{"instances":[' + b",".join(texts) + b"]}"
    reader = readers[id(contract)]
    try:
        expected = reader.validate_instances(
            json_rows.instances_of(json_rows.parse(batch, 1000, 100_000), 4)
        )
    except Problem as problem:
        with pytest.raises(Problem) as caught:
            reader.read_instances(batch, 4)
        assert (caught.value.kind, caught.value.detail) == (problem.kind, problem.detail)
        return
    rows, faults = listed(reader.read_instances(batch, 4))
    assert list(map(bits, rows)) == list(map(bits, expected[0]))
    assert faults == expected[1]


def test_one_bad_row_slows_no_other() -> None:
    """Of a thousand rows with one bad one, that one alone is read the slow way."""
    reader = BatchReader(Encoder(PLAIN))
    good = [GOOD] * 999
    wrong: list[object] = [{**GOOD, "count": "x"}, {**GOOD, "colour": "x"}, {"amount": 1}, [], None]
    for bad in wrong:
        reader.slow_rows = 0
        data = body({"instances": [*good[:500], bad, *good[500:]]})
        rows, faults = listed(reader.read_instances(data, 1000))
        assert rows == [*[ENCODED] * 500, None, *[ENCODED] * 499]
        assert {fault.pointer.split("/")[2] for fault in faults[500]} == {"500"}
        assert reader.slow_rows == 1


def test_one_bad_row_costs_little() -> None:
    """A batch of a thousand with one bad row takes far less than one that is all read slowly."""
    reader = BatchReader(Encoder(PLAIN))
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


@pytest.mark.parametrize("readers", [READERS, CUT], ids=["whole", "cut"])
@settings(max_examples=60)
@given(st.lists(good_rows(BROAD), min_size=1, max_size=5))
def test_broad_batches_agree_with_the_slow_way(
    readers: dict[int, BatchReader], texts: list[bytes]
) -> None:
    """Whatever a good batch holds, its table has the values of a slow reading, to the last bit."""
    batch = b'{"instances":[' + b",".join(texts) + b"]}"
    reader = readers[id(BROAD)]
    document = json_rows.instances_of(json_rows.parse(batch, 1000, 100_000), 5)
    rows, faults = listed(reader.read_instances(batch, 5))
    assert list(map(bits, rows)) == list(map(bits, reader.validate_instances(document)[0]))
    assert not any(faults)
    lines, faults = listed(
        reader.read_lines(b"\n".join(json_rows.encode(one) for one in document), 7)
    )
    assert list(map(bits, lines)) == list(map(bits, rows))
    assert not any(faults)


@pytest.mark.parametrize("contract", [PLAIN, WIDE], ids=["plain", "wide"])
@settings(max_examples=30)
@given(data=st.data())
def test_good_batches_stay_fast(contract: Contract, data: st.DataObject) -> None:
    """No good row of a batch is read slowly, whatever the batch holds."""
    texts = data.draw(st.lists(good_rows(contract), min_size=1, max_size=5))
    reader = READERS[id(contract)]
    reader.slow_rows = 0
    table = reader.read_instances(b'{"instances":[' + b",".join(texts) + b"]}", 5)
    assert (len(table), len(table.faults)) == (len(texts), 0)
    assert reader.slow_rows == 0


def test_unlike_numbers_stay_unlike() -> None:
    """A category is found by its own value: a float64 would take it for its neighbour."""
    row = {"number": 2**53 + 1, "mixed": "1", "name": "x"}
    reader = BatchReader(Encoder(BROAD))
    table = reader.read_instances(body({"instances": [row, {**row, "number": 2**53}]}), 2)
    assert table.matrix[:, 1].tolist() == [1.0, 0.0]
    assert reader.slow_rows == 0
    huge = {**row, "number": 10**400}
    table = reader.read_instances(body({"instances": [row, huge, {**row, "number": 3.0}]}), 3)
    assert list(table.faults) == [1]
    assert table.matrix[[0, 2], 1].tolist() == [1.0, 2.0]


def test_tolerated_rows_of_a_batch() -> None:
    """An unknown category that is scored as missing costs the other rows nothing."""
    reader = BatchReader(Encoder(PLAIN, "missing"))
    table = reader.read_instances(body({"instances": [GOOD, {**GOOD, "colour": "red"}, GOOD]}), 3)
    assert not table.faults
    assert [fault.code for fault in table.tolerated[1]] == ["unknown_category"]
    assert list(table.rows) == [ENCODED, (*ENCODED[:5], None, *ENCODED[6:]), ENCODED]
    assert reader.slow_rows == 1


def test_a_second_key_in_each_row_of_many() -> None:
    """A key that comes twice is found in the row that has it, and the others stay fast."""
    whole = {**GOOD, "note": "a: b", "bonus": 1.0, "seen": True, "region": "north"}
    rows = [json.dumps(whole) for _ in range(50)]
    rows[20] = rows[20].replace('"bonus": 1.0', '"bonus": 1.0, "bonus": 1.0')
    # It leaves out another, so that the body has as many members as a good one.
    rows[20] = rows[20].replace(', "seen": true', "")
    rows[30] = rows[30].replace("a: b", "a\\u003a b")
    reader = READERS[id(WIDE)]
    reader.slow_rows = 0
    table = reader.read_instances(b'{"instances": [' + ",".join(rows).encode() + b"]}", 50)
    assert list(table.faults) == [20]
    assert [fault.code for fault in table.faults[20]] == ["duplicate_key"]
    assert table.texts[13][30] == "a: b"
    assert reader.slow_rows == 1


def test_rows_of_a_table_are_alike_one_by_one_and_together() -> None:
    """Single values come out of a table as they went in, however many rows are made at once."""
    row = {"number": 3, "mixed": 2.5, "name": "x", "note: free": "", "count": 0, "amount": -0.0}
    other = {"number": None, "mixed": None, "name": "", "flag": False, "kind": "", "amount": 5e-324}
    table = READERS[id(BROAD)].read_instances(body({"instances": [row, other] * 10}), 20)
    alone = [table.rows[place] for place in range(20)]
    assert list(map(bits, table.rows)) == list(map(bits, alone))
    assert bits(alone[0]) == bits(("", 2.0, 3.0, "x", 0, None, None, -0.0))
    assert bits(alone[1]) == bits((None, None, None, "", None, 1.0, 2.0, 5e-324))


@pytest.mark.parametrize("text", ["}, {", '}, {"a": 1}, {', "}]}", '{"instances": ['])
def test_a_text_is_not_cut(text: str) -> None:
    """What looks like the end of a row inside of a text ends none."""
    rows = [{**GOOD, "note": f"{number}{text}"} for number in range(9)]
    reader = CUT[id(WIDE)]
    reader.slow_rows = 0
    table = reader.read_instances(json.dumps({"instances": rows}).encode(), 9)
    assert list(table.texts[13]) == [row["note"] for row in rows]
    assert (reader.slow_rows, len(table.faults)) == (0, 0)


@pytest.mark.parametrize(
    "between", ["", " ", "\x0b,", ",\x0b", ",,", ", 1,", ', "x",', "],[", '],"instances":[', ",]"]
)
def test_what_stands_between_rows_is_read(between: str) -> None:
    """A cut hides nothing: anything but one comma between two rows is a mistake."""
    row = json.dumps(GOOD)
    data = f'{{"instances": [{row}{between}{row}]}}'.encode()
    for readers in (READERS, CUT):
        reader = readers[id(PLAIN)]
        try:
            table = reader.read_instances(data, 10)
        except Problem as problem:
            assert problem.kind in ("malformed", "invalid-features")
        else:
            assert between in (", 1,", ', "x",')
            assert list(table.faults) == [1]


@pytest.mark.parametrize("envelope", ['{"inst\\u0061nces" : [%s]}', ' {\n"instances":\t[ %s\r] } '])
def test_any_writing_of_the_envelope(envelope: str) -> None:
    """Other ways to write the same envelope are read alike."""
    data = (envelope % ", ".join([json.dumps(GOOD)] * 3)).encode()
    for readers in (READERS, CUT):
        assert list(readers[id(PLAIN)].read_instances(data, 3).rows) == [ENCODED] * 3


def test_faults_of_later_pieces_have_their_places() -> None:
    """Rows are counted through all pieces of a body, wherever the wrong ones are."""
    rows: list[object] = [GOOD] * 2000
    rows[1500] = {**GOOD, "count": "x"}
    rows[1999] = 3
    table = READER.read_instances(json.dumps({"instances": rows}).encode(), 2000)
    assert [fault.pointer for place in (1500, 1999) for fault in table.faults[place]] == [
        "/instances/1500/count",
        "/instances/1999",
    ]
    assert len(table.faults) == 2
    lines = b"\n".join(map(json_rows.encode, rows))
    assert len(lines) > 2 * PIECE_BYTES
    table = READER.read_lines(lines, 7)
    assert [fault.pointer for place in (1500, 1999) for fault in table.faults[place]] == [
        "/1507/count",
        "/2006",
    ]
    with pytest.raises(Problem) as caught:
        READER.read_instances(json.dumps({"instances": [GOOD] * 2000}).encode(), 1999)
    assert [fault.code for fault in caught.value.faults] == ["too_many_rows"]
