"""`tabserve shadow`, and shadow rows in the other commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from bentos.model.loading import LoadedModel
from bentos.records.record import Record
from tests.audit.logged import NOW, answer, fail, make_id, run, store_of, succeed, write

Rows = list[dict[str, object]]
TIED = 600


@pytest.fixture
def answers(log: Path, served: dict[str, LoadedModel], rows: Rows) -> list[Record]:
    """600 answers in the log."""
    made = answer(served["binary"], rows)
    write(log, served["binary"], made)
    return made


def beside(answers: Sequence[Record], **changes: object) -> list[Record]:
    """What a candidate scored a second later, each row naming its answer."""
    return [
        msgspec.structs.replace(
            one,
            id=make_id(one.time + timedelta(seconds=1), number),
            version="candidate",
            shadow=one.id,
            **changes,
        )
        for number, one in enumerate(answers)
    ]


def put(log: Path, records: Sequence[Record]) -> None:
    """Add rows to the log."""
    store = store_of(log)
    store.write(records, is_retry=False)
    store.close()


def test_a_candidate_that_agrees(log: Path, answers: list[Record]) -> None:
    """Every row is compared with its own answer: nothing differs."""
    put(log, beside(answers))
    output = succeed("shadow", "--min-rows", str(TIED), "--max-flipped", "0")
    assert "candidate (in shadow mode): 600 recorded rows\n  600 scored" in output


def test_a_candidate_that_decides_otherwise(log: Path, answers: list[Record]) -> None:
    """How far it is from the answers, and exit 1 beyond --max-flipped."""
    flipped = [
        msgspec.structs.replace(one, label=str(1 - int(one.label or "0")), score=1 - one.score)
        for one in beside(answers[:300])
        if one.score is not None
    ]
    put(log, [*flipped, *beside(answers[300:])])
    (found,) = json.loads(succeed("shadow", "--json"))
    assert (found["rows"], found["scored"]) == (600, 600)
    assert sum(found["flips"].values()) == 300
    expected = max(abs(1 - 2 * (one.score or 0)) for one in answers[:300])
    assert found["outputs"]["score"]["largest_change"] == pytest.approx(expected)
    result = run("shadow", "--max-flipped", "0.4")
    assert result.exit_code == 1
    assert "50.00% of the rows get another label" in result.output


def test_rows_that_name_no_answer_are_no_evidence(log: Path, answers: list[Record]) -> None:
    """Rows of another mirror, and those whose answer is gone, count apart, prove nothing."""
    lost = make_id(NOW - timedelta(minutes=29))
    shadows = beside(answers)
    put(
        log,
        [
            *(msgspec.structs.replace(one, shadow="") for one in shadows[:2]),
            msgspec.structs.replace(shadows[2], shadow=lost),
        ],
    )
    output = fail("shadow")
    assert "2 not compared: the row names no answer" in output
    assert "1 not compared: its answer is not in the log" in output


def test_no_shadow_rows_at_all(answers: list[Record]) -> None:
    """An empty window is no agreement."""
    result = run("shadow")
    assert result.exit_code == 1
    assert "exit 1: the log has no shadow row in this window" in result.output


def test_other_commands_leave_shadow_rows_out(log: Path, answers: list[Record]) -> None:
    """`records`, `performance` and `replay` speak of answers, unless asked for shadow rows."""
    put(log, beside(answers[:100]))
    store = store_of(log)
    store.write_outcomes([(one.id, one.label or "", "r") for one in answers])
    store.close()
    assert len(succeed("records").splitlines()) == TIED
    lines = [json.loads(line) for line in succeed("records", "--shadow").splitlines()]
    assert {line["shadow"] for line in lines} == {one.id for one in answers[:100]}
    assert succeed("replay").startswith(f"{answers[0].model}:{answers[0].version}: 600 rows")
    plain = json.loads(succeed("performance", "--json"))
    assert [one["rows"] for one in plain["versions"]] == [600]
    shadowed = succeed("performance", "--shadow")
    assert "candidate: 100 rows, but it was never registered" in shadowed
