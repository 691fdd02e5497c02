"""Rows that are packed into the spool come out as the records that they are, or not at all."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils import uuid7

from bentos.model.contract import Contract, Feature
from bentos.model.frame import FeatureWarning
from bentos.model.json_rows import RowReader
from bentos.model.scoring import Scored
from bentos.model.tables.table import Lazy
from bentos.model.validation import EncodedRow, Encoder
from bentos.records.record import Record, RecordedWarning, RegisteredReason
from bentos.records.request import RecordedRequest
from bentos.records.subject import Keys
from bentos.records.writer.scored_request import ScoredRequest, ScoredTable
from bentos.records.writer.spool import erasure, frames
from bentos.records.writer.spool.frames import PackedRows
from bentos.records.writer.spool.packing import Packer, Storable
from bentos.records.writer.spool.segment import LINES, PACKED, count, reader_of
from bentos.records.writer.spool.source import RecordSource
from bentos.records.writer.spool.spool import Spool
from bentos.records.writer.spool.unpacking import Unpacker
from tests.records.answers import (
    CONTRACT,
    ROW,
    answered,
    by_column,
    ids_of,
    listening,
    messages,
    served,
)
from tests.rows import WIDE, good_rows

KEYS = Keys({"new": b"n" * 32})


def pack(
    *requests: ScoredRequest | ScoredTable,
    contract: Contract = CONTRACT,
    storable: Storable | None = None,
) -> bytes:
    """The segment of some requests."""
    one = served(contract)
    return bytes(Packer(contract, one.registration, storable or Storable()).pack(requests).data)


def records_of(requests: Sequence[Record | RecordedRequest]) -> list[Record]:
    """The records of requests."""
    return [
        record
        for one in requests
        for record in (one.records() if isinstance(one, RecordedRequest) else [one])
    ]


def unpack(data: bytes, contract: Contract = CONTRACT) -> list[Record]:
    """The records of a segment."""
    return records_of(Unpacker(served(contract)).unpack(data))


def test_single_rows_of_many_requests_keep_what_is_their_own() -> None:
    """Each row has its request's id, stages, client and warnings, whatever it was packed with."""
    warned = FeatureWarning("/amount", "out_of_range", "told the client alone")
    requests = [
        ScoredRequest(
            f"request-{number}",
            [str(uuid7())],
            [(float(number), None)],
            [Scored(number / 7, None, number % 2, (warned,) if number % 3 == 0 else ())],
            None,
            (number * 1e-6 + 5e-7, 2e-6, 3e-6, 4e-6),
            "ab"[number % 2],
        )
        for number in range(10)
    ]
    found = {record.id: record for record in unpack(pack(*requests))}
    assert len(found) == 10
    for number, request in enumerate(requests):
        record = found[request.ids[0]]
        assert record.request_id == f"request-{number}"
        assert record.values == {"amount": float(number), "colour": None}
        assert record.score == number / 7
        assert record.label == str(number % 2)
        assert (record.decode_us, record.encode_us) == (number, 4)
        assert record.consumer == "ab"[number % 2]
        noted = (RecordedWarning("/amount", "out_of_range"),) if number % 3 == 0 else ()
        assert record.warnings == noted


@given(st.lists(good_rows(WIDE), min_size=1, max_size=5))
def test_any_row_comes_out_as_it_was_logged(bodies: Sequence[bytes]) -> None:
    """Packed alone, together and in one request, a row has the same values to the last bit."""
    reader = RowReader(Encoder(WIDE))
    rows = [reader.read_row(body)[0] for body in bodies]
    ids = [str(uuid7()) for _ in rows]
    scored = [Scored(0.5, None, 1)] * len(rows)
    alone = [
        ScoredRequest("r", [one_id], [row], scored[:1])
        for one_id, row in zip(ids, rows, strict=True)
    ]
    together = ScoredRequest("r", ids, rows, scored)
    first = unpack(pack(*alone, contract=WIDE), WIDE)
    second = unpack(pack(together, contract=WIDE), WIDE)
    assert first == second
    assert [record.features for record in first] == [record.features for record in second]


def test_a_table_is_packed_as_its_rows_are() -> None:
    """By column and by row, the records of a request are the same to the last bit."""
    texts = Contract(
        features=(
            Feature("word", "text", "string"),
            Feature("count", "integer", "long"),
            Feature("flag", "boolean", "boolean"),
            Feature("colour", "category", "string", categories=("blue", "green")),
            Feature("amount", "float", "double"),
            Feature("level", "category", "long", categories=(7, 8)),
            Feature("whole", "integer", "long"),
        ),
        task="multiclass",
        engine="booster",
        classes=("low", 1, True),
    )
    rows: list[EncodedRow] = [
        ("a", 2**53, True, 1.0, -0.0, 0.0, -1),
        (None, None, None, None, None, None, 0),
        ("", 0, False, 0.0, 5e-324, 1.0, 1),
    ]
    warned = FeatureWarning("/amount", "out_of_range", "")
    scored = [
        Scored(None, (0.5, 0.25, 0.25), "low"),
        Scored(None, (0.1, 0.2, 0.7), True, (warned,)),
        Scored(None, (0.1, 0.8, 0.1), 1),
    ]
    for storable in (
        Storable(),
        Storable(keys=KEYS),
        Storable(is_shadow=True),
        Storable(["word", "level", "amount"], KEYS),
        Storable([]),
    ):
        one = ScoredRequest(
            "r", answered(3).ids, rows, scored, "somebody", (1e-6, 2e-6, 3e-6, 4e-6), "client"
        )
        several = [one, msgspec.structs.replace(one, answers=["x", "", "y"])]
        source = RecordSource(
            served(texts).registration,
            served(texts).environment,
            None if storable.listed is None else tuple(storable.listed),
        )
        packer = Packer(texts, source.registration, storable)
        for each in several:
            first, second = (
                records_of(Unpacker(source).unpack(bytes(packer.pack([way]).data)))
                for way in (each, by_column(each, texts))
            )
            assert first == second
            assert [record.features for record in first] == [record.features for record in second]
            assert len(first) == 3
    assert [record.label for record in unpack(pack(one, contract=texts), texts)] == [
        "low",
        "True",
        "1",
    ]


@pytest.mark.parametrize(
    "score", [-0.0, 5e-324, 0.1 + 0.2, math.nextafter(1, 0), 1.7976931348623157e308]
)
def test_scores_keep_every_bit(score: float) -> None:
    """The eight bytes of a score are those that the model gave."""
    (found,) = unpack(pack(ScoredRequest("r", answered().ids, [ROW], [Scored(score)])))
    assert found.score is not None
    assert struct.pack("<d", found.score) == struct.pack("<d", score)


def test_a_request_of_many_rows_is_many_frames() -> None:
    """Rows by column are made a piece at a time, and all of them are there, in their order."""
    rows, most = 10_000, 0

    def make(start: int, end: int) -> list[tuple[float, float]]:
        nonlocal most
        most = max(most, end - start)
        return [(float(number), 1.0) for number in range(start, end)]

    ids = [str(uuid7()) for _ in range(rows)]
    one = ScoredRequest("r", ids, Lazy(rows, make), [Scored(0.5, None, 1)] * rows)
    data = pack(one)
    assert most <= 4096
    found = unpack(data)
    assert ids_of(found) == ids
    assert [record.values["amount"] for record in found] == [float(n) for n in range(rows)]
    assert count(PACKED, data) == (rows, ids[0])
    warned = FeatureWarning("/amount", "out_of_range", "")
    scored = [Scored(0.5, None, 1, (warned,) if row == 5000 else ()) for row in range(rows)]
    table = by_column(ScoredRequest("r", ids, one.rows, scored))
    data = pack(table)
    assert count(PACKED, data) == (rows, ids[0])
    by_table = unpack(data)
    assert [record.features for record in by_table] == [record.features for record in found]
    assert ids_of([record for record in by_table if record.warnings]) == [ids[5000]]


def test_classes_of_any_type_are_texts() -> None:
    """Labels are stored as text: an integer, a truth value and a word, which may be equal."""
    contract = Contract(
        features=CONTRACT.features, task="multiclass", engine="booster", classes=("low", 1, True)
    )
    scored = [Scored(None, (0.2, 0.3, 0.5), label) for label in ("low", 1, True)]
    found = unpack(
        pack(ScoredRequest("r", answered(3).ids, [ROW] * 3, scored), contract=contract), contract
    )
    assert [record.label for record in found] == ["low", "1", "True"]
    assert found[0].scores == {"low": 0.2, "1": 0.3, "True": 0.5}


def test_what_may_not_be_stored_is_not_packed() -> None:
    """Values, warnings and reasons of features that are not listed never leave the worker."""
    features = (*CONTRACT.features, Feature("diagnosis", "text", "string"))
    contract = Contract(features=features, task="binary", engine="booster", classes=(0, 1))
    one = served(contract)
    reasons = {
        "R1": RegisteredReason("because of the amount", ("amount",)),
        "R2": RegisteredReason("because of the health", ("diagnosis", "amount")),
    }
    registration = msgspec.structs.replace(one.registration, reasons=reasons)
    warnings = (
        FeatureWarning("/diagnosis", "unknown_category", ""),
        FeatureWarning("/amount", "out_of_range", ""),
    )
    request = ScoredRequest(
        "r",
        answered().ids,
        [(1.5, 1.0, "se7r3t")],
        [Scored(0.5, None, 1, warnings)],
        "somebody",
        reasons=[("R2", "R1")],
    )
    listed = ["colour", "amount"]
    packer = Packer(contract, registration, Storable(listed, KEYS))
    data = bytes(packer.pack([request]).data)
    for hidden in (b"se7r3t", b"diagnosis", b"R2", b"unknown_category", b"somebody"):
        assert hidden not in data
    source = RecordSource(registration, one.environment, tuple(listed))
    (found,) = records_of(Unpacker(source).unpack(data))
    assert found.values == {"amount": 1.5, "colour": "green"}
    assert found.reasons == ("R1",)
    assert found.warnings == (RecordedWarning("/amount", "out_of_range"),)
    assert (found.subject_key, found.subject) == KEYS.token("somebody")


def test_rows_of_a_shadow_are_marked_however_they_came() -> None:
    """A shadow's single rows, batches and rows with a subject are no answers; others name one."""
    requests = [
        answered(),
        answered(3),
        answered(2, "somebody"),
        msgspec.structs.replace(answered(2), answers=["an id", ""]),
    ]
    found = unpack(pack(*requests, storable=Storable(is_shadow=True)))
    assert sorted(record.shadow or "" for record in found) == [*[""] * 7, "an id"]
    assert None not in {record.shadow for record in found}
    assert {record.shadow for record in unpack(pack(*requests[:2]))} == {None}


def test_one_that_cannot_be_packed_takes_no_other_along() -> None:
    """Among single rows, too, one with half a surrogate pair is left out alone."""
    contract = Contract(
        features=(Feature("word", "text", "string"),), task="regression", engine="pyfunc"
    )
    words = ["a", "\ud800", "b", "c"]
    requests = [ScoredRequest(word, answered().ids, [(word,)], [Scored(1.0)]) for word in "abcd"]
    requests = [
        msgspec.structs.replace(request, request_id="r", rows=[(word,)])
        for request, word in zip(requests, words, strict=True)
    ]
    packed = Packer(contract, served(contract).registration, Storable()).pack(requests)
    assert [rows for rows, _ in packed.failed] == [1]
    assert packed.rows == 3
    found = unpack(bytes(packed.data), contract)
    assert [record.values["word"] for record in found] == ["a", "b", "c"]


# ---- damage and erasure


def test_a_damaged_segment_is_refused() -> None:
    """Cut anywhere, or with any byte of its heads changed, a segment is no other segment."""
    data = pack(answered(2), answered(1), answered(2, "somebody"), storable=Storable(keys=KEYS))
    whole = unpack(data)
    for end in range(1, len(data)):
        # A cut between two frames cannot be told; a segment appears whole under its name.
        try:
            found = unpack(data[:end])
        except ValueError:
            continue
        assert found == whole[: len(found)]
    for place in (0, 1, 2, 3, 4):
        changed = bytearray(data)
        changed[place] ^= 0x41
        with pytest.raises(ValueError):
            unpack(bytes(changed))


@pytest.mark.parametrize(
    "data",
    [b"\x00" * 4, b"\x00" * 100, b"[]\n", b'{"id":"x"}\n', b"\x01\x00\x00\x00R\xc0", b"\xff" * 50],
)
def test_what_is_no_segment_is_refused(data: bytes) -> None:
    """Bytes of something else are no rows, and the error quotes none of them."""
    with pytest.raises(ValueError):
        unpack(data)
    with pytest.raises(ValueError):
        count(PACKED, data)


def test_columns_that_do_not_fit_together_are_refused() -> None:
    """Labels, reasons or marks for other rows, and a score that is a text, are damage."""
    whole = PackedRows(["i"] * 2, [(1.0, 1.0)] * 2, [0.5] * 2, [1, 0], ["r"], [(0.0,) * 4])
    for changes in ({}, {"labels": [1]}, {"reasons": [None] * 3}, {"scores": [0.5, "x"]}):
        buffer = bytearray()
        frames.append(buffer, msgspec.structs.replace(whole, **changes))
        if not changes:
            assert len(unpack(bytes(buffer))) == 2
            continue
        with pytest.raises(ValueError, match="not rows of this contract"):
            unpack(bytes(buffer))


def test_rows_of_another_contract_are_refused() -> None:
    """More values than features, or a code of no category, is damage and no row."""
    table = pack(by_column(answered(3)))
    other = Contract(
        features=CONTRACT.features[:1], task="binary", engine="booster", classes=(0, 1)
    )
    with pytest.raises(ValueError):
        unpack(table, other)
    for row in ((1.0, 1.0, 1.0), (1.0, 7.0)):
        buffer = bytearray()
        packed = PackedRows(["i"], [row], [0.5], [], ["r"], [(0.0, 0.0, 0.0, 0.0)])
        frames.append(buffer, packed)
        with pytest.raises(ValueError):
            unpack(bytes(buffer))


def test_a_subject_is_erased_in_place(tmp_path: Path) -> None:
    """The frames of one subject are blanked in every worker's folder; all others stay."""
    source = served()
    others = [answered(1), answered(3), answered(2, "another")]
    hers = [answered(1, "she"), answered(2, "she")]
    table = answered(2, "she")
    packer = Packer(CONTRACT, source.registration, Storable(keys=KEYS))
    _, token = KEYS.token("she")
    assert token is not None
    spool = Spool(tmp_path, 2**30, source)
    mixed = spool.write(
        packer.pack([others[0], hers[0], by_column(table), others[1], hers[1]]).data
    )
    untouched = spool.write(packer.pack([others[2]]).data)
    earlier = Spool(tmp_path, 2**30, source)
    older = earlier.write(b"", LINES)
    sizes = [path.stat().st_size for path in (mixed, untouched, older)]
    before = untouched.read_bytes()
    assert erasure.find(tmp_path, [token]) == 5
    assert erasure.blank(tmp_path, [token]) == 5
    assert erasure.find(tmp_path, [token]) == 0
    assert [path.stat().st_size for path in (mixed, untouched, older)] == sizes
    assert untouched.read_bytes() == before
    left = records_of(reader_of(PACKED, source)(mixed.read_bytes()))
    assert sorted(ids_of(left)) == sorted([*others[0].ids, *others[1].ids])
    for one in (*hers, table):
        for one_id in one.ids:
            assert one_id.encode() not in mixed.read_bytes()
    assert token.encode() not in mixed.read_bytes()
    spool.close()
    earlier.close()
    adopted = Spool(tmp_path, 2**30, source).adopt()
    assert sorted(segment.rows for segment in adopted) == [0, 2, 4]


def test_without_a_key_no_subject_is_packed() -> None:
    """The text of a subject goes nowhere, and one line says that it is not stored."""
    with listening() as heard:
        found = unpack(pack(answered(1, "she"), answered(2, "she")))
    assert {record.subject for record in found} == {None}
    assert len(messages(heard)) == 1


def test_ids_stay_in_order() -> None:
    """Rows of one request keep the order of their ids."""
    found = unpack(pack(answered(50)))
    assert all(one.id < other.id for one, other in pairwise(found))
