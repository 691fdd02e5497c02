"""Shadow rows in every store: beside the answers, and never counted as one."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from bentos.records.record import Outcome, Record, Window
from bentos.records.store import Store
from tests.records.predictions import ALL, DAY, NOON, by_id, minutes, name, record

SHADOWS = Window(is_shadow=True)
SUBJECT = "ab" * 32


def shadow(answer: Record, **changes: object) -> Record:
    """What a candidate scored beside an answer, a second later."""
    fields: dict[str, object] = {
        "id": name(answer.time + timedelta(seconds=1)),
        "version": "2",
        "score": 0.75,
        "shadow": answer.id,
    }
    return msgspec.structs.replace(answer, **(fields | changes))


def labels(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    """Outcomes by id."""
    return [(outcome.id, outcome.outcome) for outcome in outcomes]


@pytest.mark.parametrize("is_retry", [False, True])
def test_answers_and_shadow_rows_are_read_apart(store: Store, is_retry: bool) -> None:
    """A window has answers alone or shadow rows alone; an id finds either."""
    answers = minutes(3)
    beside = [shadow(answer) for answer in answers]
    unknown = shadow(answers[0], id=name(NOON + timedelta(hours=1)), shadow="")
    store.write([*answers, *beside, unknown], is_retry=is_retry)
    assert list(store.read(ALL)) == answers
    assert list(store.read(SHADOWS)) == by_id([*beside, unknown])
    assert [(one.version, one.rows) for one in store.versions(ALL)] == [("1", 3)]
    assert [(one.version, one.rows) for one in store.versions(SHADOWS)] == [("2", 4)]
    assert store.sample(ALL, 10, 1) == answers
    assert store.sample(SHADOWS, 10, 1) == by_id([*beside, unknown])
    assert store.get(answers[0].id) == answers[0]
    assert store.get(unknown.id) == unknown
    part = Window(NOON, NOON + timedelta(seconds=30), is_shadow=True)
    assert list(store.read(part)) == beside[:1]


def test_a_shadow_row_is_stored_once(store: Store) -> None:
    """A retry finds shadow rows as it finds answers."""
    answer = record()
    both = [answer, shadow(answer)]
    store.write(both, is_retry=False)
    store.write(both, is_retry=True)
    assert list(store.read(ALL)) == both[:1]
    assert list(store.read(SHADOWS)) == both[1:]


def test_a_shadow_row_takes_no_outcome(store: Store) -> None:
    """An outcome for the id of a shadow row is as unknown as one for any other text."""
    answer = record()
    beside = shadow(answer)
    store.write([answer, beside], is_retry=False)
    assert store.find([answer.id, beside.id]) == {answer.id: ("credit", "1")}
    posted = [(answer.id, "1", "r"), (beside.id, "1", "r")]
    assert store.write_outcomes(posted) == ["recorded", "unknown"]
    assert store.revisions(beside.id) == []


def test_a_shadow_row_has_the_outcome_of_its_answer(store: Store) -> None:
    """It comes under the shadow row's own id, the last revision, and for known answers alone."""
    # The second answer was given a millisecond before midnight, its shadow the day after.
    midnight = NOON.replace(hour=0) + DAY
    answers = [record(), record(midnight - timedelta(milliseconds=1)), record(midnight + DAY)]
    beside = [shadow(answer) for answer in answers]
    unknown = shadow(answers[0], id=name(NOON + timedelta(hours=1)), shadow="")
    store.write([*answers, *beside, unknown], is_retry=False)
    store.write_outcomes([(answer.id, "0", "r") for answer in answers[:2]])
    store.write_outcomes([(answers[0].id, "1", "r")])
    assert labels(list(store.outcomes(ALL))) == [(answers[0].id, "1"), (answers[1].id, "0")]
    assert labels(list(store.outcomes(SHADOWS))) == [(beside[0].id, "1"), (beside[1].id, "0")]
    day = Window(midnight, midnight + DAY, is_shadow=True)
    assert labels(list(store.outcomes(day))) == [(beside[1].id, "0")]
    assert list(store.outcomes(Window(version="1", is_shadow=True))) == []


def test_a_subject_is_forgotten_in_shadow_rows_too(store: Store) -> None:
    """A subject's shadow rows are found, erased, and barred as its answers are."""
    answer = record(subject=SUBJECT, subject_key="k")
    beside = shadow(answer)
    other = shadow(answer, id=name(NOON + timedelta(minutes=1)), subject="cd" * 32)
    store.write([answer, beside, other], is_retry=False)
    store.write_outcomes([(answer.id, "1", "r")])
    assert list(store.of_subject([SUBJECT])) == [answer, beside]
    assert store.forget([SUBJECT], NOON + DAY) == {"predictions": 2, "outcomes": 1}
    assert list(store.of_subject([SUBJECT])) == []
    store.write([shadow(answer)], is_retry=False)
    assert list(store.read(SHADOWS)) == [other]


def test_days_of_shadow_rows_are_dropped(store: Store) -> None:
    """Retention drops and counts them with the answers of the day."""
    old, new = record(), record(NOON + 2 * DAY)
    store.write([old, shadow(old), new, shadow(new)], is_retry=False)
    dropped = store.drop_before(NOON + DAY)
    assert dropped["predictions"] == 2
    assert [one.version for one in store.read(SHADOWS)] == ["2"]
    assert list(store.read(ALL)) == [new]
