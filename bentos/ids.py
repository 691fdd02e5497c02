"""Ids of predictions and requests, and the time inside them.

An id is a UUIDv7 (RFC 9562, section 5.7): its first 48 bits are milliseconds since 1970, so
an id alone says when its prediction was made. Windows, retention and the bar of an erasure
go by it, so ids follow the system's clock back when it was ahead.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from uuid_utils import uuid7

from bentos.logs import LOGGER

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
# Matches an id as we write it, whole; None for anything else.
is_id = re.compile(PATTERN.strip("^$")).fullmatch


# The generator never goes back: after a clock was ahead, its ids stay ahead until the clock
# has caught up. A correction by less than this keeps the order of ids; a larger one is followed.
MAX_AHEAD_SECONDS = 1.0
# The same in nanoseconds, as the clock counts them.
_MAX_AHEAD = int(MAX_AHEAD_SECONDS * 1e9)


class IdSource:
    """Makes ids of this moment that run ahead of the clock by at most `MAX_AHEAD_SECONDS`.

    `clock` gives nanoseconds since 1970. Ids of one source ascend, except where the clock is
    set back by more than that, and among the ids of one millisecond after it.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._is_ahead = False

    def new_id(self) -> str:
        """Make an id, unique across processes."""
        made = uuid7()
        now = self._clock()
        ahead = made.timestamp * 1_000_000 - now
        if ahead <= _MAX_AHEAD:
            self._is_ahead = False
            return str(made)
        if not self._is_ahead:
            self._is_ahead = True
            LOGGER.warning(
                "the system's clock was set back: new ids follow it, earlier ones are ahead of it",
                extra={"fields": {"seconds": round(ahead / 1e9, 3)}},
            )
        return str(uuid7(nanoseconds=now))

    def new_ids(self, count: int) -> list[str]:
        """Make many ids of this moment, in ascending order."""
        if not count:
            return []
        # One look at the clock serves all: they are made within milliseconds.
        first = self.new_id()
        if self._is_ahead:
            return sorted(
                [first, *(str(uuid7(nanoseconds=self._clock())) for _ in range(count - 1))]
            )
        return [first, *(str(uuid7()) for _ in range(count - 1))]


# One for the process, as the generator behind it is one for the process.
_SOURCE = IdSource()
new_id = _SOURCE.new_id
new_ids = _SOURCE.new_ids


def milliseconds(time: datetime) -> int:
    """Milliseconds since 1970, UTC, rounded down."""
    return (time - EPOCH) // _MILLISECOND


def from_milliseconds(count: int) -> datetime:
    """The time that is so many milliseconds after 1970, UTC."""
    return EPOCH + count * _MILLISECOND


def start_of_day(time: datetime) -> datetime:
    """The midnight, UTC, with which the day of a time began."""
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def time_of(prediction_id: str) -> datetime:
    """When an id was made. Raises ValueError for what is no UUIDv7 as we write it."""
    check_id(prediction_id)
    try:
        return from_milliseconds(int(prediction_id[:8] + prediction_id[9:13], 16))
    except OverflowError:
        raise ValueError("the time in the id is beyond the year 9999") from None


def check_id(prediction_id: str) -> None:
    """Raise ValueError for what is no UUIDv7 in lower case with its four hyphens."""
    if is_id(prediction_id) is None:
        raise ValueError("not a prediction id: it must be a UUIDv7 in lower case")


def floor_id(time: datetime) -> str:
    """The least UUID of a millisecond: ids of that millisecond and later are not below it."""
    digits = f"{max(0, milliseconds(time)):012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"
