"""Requests by column: in every store as the records of the same rows."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from bentos.records.record import RecordedWarning, Window
from bentos.records.request import RecordedRequest, unpack
from bentos.records.store import Store
from tests.records.predictions import ALL, DAY, NOON, by_id, name, record, request

# Every column filled in, values of every type, exact numbers.
FULL = request(
    3,
    names=("number", "text", "whole", "truth"),
    rows=[(0.1 + 0.2, "é\x00\ud7ff", 2**53, True), (-0.0, "", -1, False), (None,) * 4],
    score=[5e-324, 1.0, None],
    label=["line\nbreak", None, "0"],
    consumer="key-1",
    subject="ab" * 32,
    subject_key="2026",
    scores=[{"low": 0.1 + 0.2, "high": 5e-324}, None, {}],
    warnings=[(RecordedWarning("/a~1b", "out_of_range"),), (), ()],
    reasons=[("R01", "R07"), (), None],
)


def test_a_request_is_its_records() -> None:
    """A row of a request has what a record of it has."""
    first, second, last = FULL.records()
    assert first == record(
        id=FULL.ids[0],
        features=msgspec.Raw(
            '{"number":0.30000000000000004,"text":"é\\u0000\ud7ff",'
            '"whole":9007199254740992,"truth":true}'.encode()
        ),
        score=5e-324,
        label="line\nbreak",
        consumer="key-1",
        subject="ab" * 32,
        subject_key="2026",
        scores={"low": 0.1 + 0.2, "high": 5e-324},
        warnings=(RecordedWarning("/a~1b", "out_of_range"),),
        reasons=("R01", "R07"),
    )
    assert (second.scores, second.warnings, second.reasons) == (None, (), ())
    assert (last.score, last.reasons, last.scores) == (None, None, {})
    assert second.values == {"number": -0.0, "text": "", "whole": -1, "truth": False}


@pytest.mark.parametrize("column", ["rows", "score", "label", "warnings"])
def test_columns_are_of_one_length(column: str) -> None:
    """A column that is shorter than the ids is an error, and no row less."""
    with pytest.raises(ValueError, match="shorter"):
        msgspec.structs.replace(request(3), **{column: [()]}).records()
    with pytest.raises(ValueError, match="shorter"):
        request(1, rows=[(1, 2)]).records()


@pytest.mark.parametrize("is_retry", [False, True])
def test_requests_are_stored_as_their_records(store: Store, is_retry: bool) -> None:
    """What was written by column is read, found and counted as records are."""
    written = [
        FULL,
        request(1, NOON + DAY, version="2", threshold=None),
        request(
            2,
            NOON + DAY,
            request_ids=["a", "b"],
            stages=[(1, 2, 3, 4), (5, 6, 7, 8)],
            shadow=[FULL.ids[0], ""],
        ),
        request(2, NOON + 2 * DAY, request_ids=["c", "d"], version="2"),
    ]
    store.write_requests(written, is_retry=is_retry)
    answers, shadows = unpack([*written[:2], written[3]]), unpack(written[2:3])
    assert list(store.read(ALL)) == answers
    assert [one.request_id for one in answers[4:]] == ["c", "d"]
    assert list(store.read(Window(is_shadow=True))) == shadows
    assert [store.get(one.id) for one in answers + shadows] == answers + shadows
    assert store.find([*FULL.ids, shadows[0].id]) == dict.fromkeys(FULL.ids, ("credit", "1"))
    assert list(store.of_subject(["ab" * 32])) == answers[:3]
    assert [(one.version, one.rows) for one in store.versions(ALL)] == [("1", 3), ("2", 3)]
    assert store.sample(ALL, 9, 4) == answers


def test_rows_of_a_request_are_stored_once(store: Store) -> None:
    """Rows that are there by their id stay, whether they came as records or by column."""
    sent = request(4)
    store.write(sent.records()[1:3], is_retry=False)
    changed = msgspec.structs.replace(sent, score=[0.75] * 4)
    store.write_requests([changed], is_retry=False)
    store.write_requests([changed, sent], is_retry=True)
    store.write_requests([sent], is_retry=False)
    store.write(sent.records(), is_retry=True)
    assert [one.score for one in store.read(ALL)] == [0.75, 0.25, 0.25, 0.75]


def test_late_rows_of_a_forgotten_subject(store: Store) -> None:
    """An erasure bars the rows of a request that were made before it, and no other."""
    store.forget(["mine"], NOON)
    ids = [name(NOON - timedelta(milliseconds=1)), name(NOON)]
    late = request(2, ids=ids, subject="mine")
    other = request(2, NOON - DAY, subject="other")
    store.write_requests([late, other], is_retry=False)
    assert list(store.read(ALL)) == by_id([*other.records(), late.records()[1]])


def test_a_write_of_no_request(store: Store) -> None:
    """No request, and one of no row, are no error."""
    store.write_requests([], is_retry=False)
    empty: RecordedRequest = request(0)
    store.write_requests([empty], is_retry=True)
    assert list(store.read(ALL)) == []
