"""Records, their ids and times, and records as lines of JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils import uuid7

from bentos.ids import check_id, floor_id, from_milliseconds, milliseconds, time_of
from bentos.records.record import (
    Record,
    RecordedWarning,
    Window,
    decode_lines,
    encode,
    encode_lines,
)
from tests.records.predictions import DAY, NOON, minutes, name, record

MILLISECOND = timedelta(milliseconds=1)


def test_an_id_says_when_it_was_made() -> None:
    """The time in a new id is now, to the millisecond."""
    before = datetime.now(UTC)
    made = time_of(str(uuid7()))
    assert before - MILLISECOND <= made <= datetime.now(UTC)
    assert record(NOON).time == NOON


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "x",
        "01a1fc55-a9aa-70d3-9efa-9e40d5d261a",
        "01a1fc55-a9aa-70d3-9efa-9e40d5d261aaa",
        "01A1FC55-A9AA-70D3-9EFA-9E40D5D261AA",
        "01a1fc55a9aa-70d3-9efa-9e40d5d261aa-",
        "01a1fc55-a9aa-40d3-9efa-9e40d5d261aa",
        "01a1fc55-a9aa-70d3-cefa-9e40d5d261aa",
        "01a1fc55-a9aa-70d3-9efa-9e40d5d261a\n",
        "\N{ARABIC-INDIC DIGIT ZERO}1a1fc55-a9aa-70d3-9efa-9e40d5d261aa",
        "{1a1fc55-a9aa-70d3-9efa-9e40d5d261a}",
    ],
)
def test_what_is_no_id(wrong: str) -> None:
    """Only a UUIDv7 in lower case with four hyphens is an id; the error repeats nothing."""
    with pytest.raises(ValueError, match="not a prediction id") as raised:
        check_id(wrong)
    assert not wrong or wrong not in str(raised.value)


def test_an_id_from_beyond_the_calendar() -> None:
    """An id may hold a year that no datetime reaches: that is an error, not an overflow."""
    with pytest.raises(ValueError, match="beyond the year 9999"):
        time_of("ffffffff-ffff-7000-8000-000000000000")


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))
def test_ids_are_in_the_order_of_time(time: datetime) -> None:
    """Ids of a moment lie between its floor and the floor of the next millisecond."""
    assert floor_id(time) <= name(time) < floor_id(time + MILLISECOND)
    assert time - MILLISECOND < from_milliseconds(milliseconds(time)) <= time
    assert time_of(name(time)) == from_milliseconds(milliseconds(time))


def test_a_window_as_ids() -> None:
    """A window's bounds are ids, in any time zone; before 1970 there are none."""
    india = timezone(timedelta(hours=5.5))
    window = Window(since=NOON.astimezone(india), until=NOON + DAY)
    assert window.first_id <= name(NOON) < window.end_id
    assert name(NOON + DAY) >= window.end_id
    assert Window(since=datetime(1, 1, 1, tzinfo=UTC)).first_id == floor_id(from_milliseconds(0))
    assert Window().first_id <= name(from_milliseconds(0))


def test_records_as_lines() -> None:
    """Records written as JSON lines come back equal, features to the byte."""
    full = record(
        features=msgspec.Raw(b'{"b": -0.0, "a":"\\u0000\\n"}'),
        scores={"low": 5e-324},
        warnings=(RecordedWarning("/a", "out_of_range"),),
        label="line\nbreak",
        subject="ab",
        subject_key="k",
        consumer="c",
        reasons=("R01",),
    )
    lines = encode_lines([full, *minutes(2)])
    assert lines.count(b"\n") == 3
    back = decode_lines(b"\n" + lines + b"  \n")
    assert back[0] == full
    assert bytes(back[0].features) == b'{"b": -0.0, "a":"\\u0000\\n"}'
    assert [one.label for one in back] == ["line\nbreak", "0", "0"]


def test_a_record_leaves_out_what_it_has_not() -> None:
    """Absent values take no room in a line."""
    bare = Record(name(), "r", "m", "1", "c", "e", msgspec.Raw(b"{}"))
    assert msgspec.json.decode(encode(bare)).keys() == {
        *("id", "request_id", "model", "version", "contract", "environment", "features")
    }


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"id":"x"}', b"\xff", encode(record())[:-9]])
def test_a_torn_line_is_no_record(line: bytes) -> None:
    """A line that is cut off or is something else raises ValueError."""
    with pytest.raises(ValueError, match="not a record"):
        decode_lines(encode_lines(minutes(1)) + line)


def test_the_values_of_a_record() -> None:
    """Features by name, as Python's own values."""
    stored = record(features=msgspec.Raw(b'{"a":1,"b":-0.5,"c":null,"d":"x","e":true}'))
    assert stored.values == {"a": 1, "b": -0.5, "c": None, "d": "x", "e": True}
