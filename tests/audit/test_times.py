"""Points in time as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bentos.audit.times import iso, parse_duration, parse_moment

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("15m", NOW - timedelta(minutes=15)),
        ("1h", NOW - timedelta(hours=1)),
        ("7d", NOW - timedelta(days=7)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("2026-11-20T09:30", datetime(2026, 11, 20, 9, 30, tzinfo=UTC)),
        ("2026-11-20T09:30Z", datetime(2026, 11, 20, 9, 30, tzinfo=UTC)),
        ("2026-11-20T09:30+02:00", datetime(2026, 11, 20, 7, 30, tzinfo=UTC)),
    ],
)
def test_moments(text: str, expected: datetime) -> None:
    """A moment is how long ago, or an ISO time, in UTC where it has no zone."""
    assert parse_moment(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    ["", "1", "h", "-1h", "1.5h", "1 year", "yesterday", "999999999w", "200000w", "2026-13-01"],
)
def test_what_is_no_moment(text: str) -> None:
    """Anything else is refused, however large."""
    with pytest.raises(ValueError, match=r"must be|is before|is longer"):
        parse_moment(text, NOW)


def test_duration() -> None:
    """A duration is one number and one unit."""
    assert parse_duration("180d") == timedelta(days=180)
    with pytest.raises(ValueError, match="a number and a unit"):
        parse_duration("1h30m")


def test_iso() -> None:
    """Times are written in UTC, to the millisecond, and read back as they were."""
    assert iso(NOW) == "2026-11-21T12:00:00.000Z"
    assert parse_moment(iso(NOW), NOW) == NOW
