"""What a window is compared with: the training rows of the version, or a part of the log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from monitoring.drift.options import SettingsError, read_time

# A year and a bit: the same season is in it.
_MOST_WEEKS = 60

_WEEK = timedelta(weeks=1)

_WANTED = (
    "must be training, accepted, weeks:N with N from 1 to 60, or two times with a zone and a "
    "slash between them"
)


@dataclass(frozen=True)
class Choice:
    """A choice of a reference.

    `kind`: "training", the reference that travels with the version; "accepted", the last window
    before this one that had no drift or was accepted by a person; "weeks", the same hours of the
    same weekdays, so many `weeks` back; "span", the log from `since` on and before `until`.
    """

    kind: Literal["training", "accepted", "weeks", "span"] = "training"
    weeks: int = 0
    since: datetime | None = None
    until: datetime | None = None

    def __str__(self) -> str:
        if self.since is not None and self.until is not None:
            return f"{self.since.isoformat()}/{self.until.isoformat()}"
        return f"weeks:{self.weeks}" if self.kind == "weeks" else self.kind

    def list_spans(self, since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
        """The spans of the log that a window is compared with, by time; none for another kind.

        Of `weeks` whole weeks are stepped back, as many as the window needs not to be its own
        reference.
        """
        if self.since is not None and self.until is not None:
            return [(self.since, self.until)]
        step = _WEEK * max(1, -(-(until - since) // _WEEK))
        return [(since - step * n, until - step * n) for n in range(self.weeks, 0, -1)]


def read_choice(text: str, where: str) -> Choice:
    """Read a setting. Raises SettingsError, which names `where` it is from."""
    if text in ("training", "accepted"):
        return Choice(text)  # type: ignore[arg-type]  # one of the literals, by the line above
    if (match := re.fullmatch(r"weeks:(\d{1,3})", text)) and 1 <= int(match[1]) <= _MOST_WEEKS:
        return Choice("weeks", weeks=int(match[1]))
    first, _, second = text.partition("/")
    try:
        since, until = read_time(first), read_time(second)
    except (ValueError, OverflowError):
        since = until = None
    if since is None or until is None:
        raise SettingsError(f"{where}: {_WANTED}")
    if since >= until:
        raise SettingsError(f"{where}: the second time must be after the first one")
    return Choice("span", since=since, until=until)
