"""Points in time as people type them: how long ago, or ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d{1,9})([smhdw])")


def parse_duration(text: str) -> timedelta:
    """Read 90s, 15m, 1h, 7d or 2w. Raises ValueError for anything else."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError("must be a number and a unit: 90s, 15m, 1h, 7d or 2w")
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        raise ValueError("is longer than any time there is") from None


def parse_moment(text: str, now: datetime) -> datetime:
    """Read how long before `now`, or an ISO 8601 time; one without a zone is UTC.

    Raises ValueError.
    """
    try:
        return now - parse_duration(text)
    except OverflowError:
        raise ValueError("is before the year 1") from None
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.strip())
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return zoned.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            "must be how long ago (90s, 15m, 1h, 7d, 2w) or a time such as 2026-11-21T09:30Z"
        ) from None


def iso(moment: datetime) -> str:
    """Write a time as ISO 8601 in UTC, to the millisecond."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


class Moment(click.ParamType[Any]):
    """A click option that is a point in time."""

    name = "when"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read the option."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_moment(str(value), datetime.now(UTC))
        except ValueError as error:
            self.fail(f"it {error}", param, ctx)


class Duration(click.ParamType[Any]):
    """A click option that is a length of time."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read the option."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(f"it {error}", param, ctx)
