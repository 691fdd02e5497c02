"""Errors of a log that is not there, or not whole."""

from __future__ import annotations

from collections.abc import Sequence

from bentos.errors import StoreDown


def no_log(place: str) -> StoreDown:
    """Make the error of a place without a log; `place` is a phrase such as "in this database"."""
    return StoreDown(
        f"there is no log {place}: did the service write one? `tabserve migrate` makes one"
    )


def damaged_schema(missing: Sequence[str]) -> StoreDown:
    """Make the error of a log whose schema lacks what an earlier migration made."""
    verb = "is" if len(missing) == 1 else "are"
    return StoreDown(
        f"the log's schema is damaged: {', '.join(missing)} {verb} missing. `tabserve migrate` "
        "does not make anew what was dropped: restore a backup, or remove the log to begin an "
        "empty one"
    )
