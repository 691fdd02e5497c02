"""The error of a reader that finds no log."""

from __future__ import annotations

from bentos.errors import StoreDown


def no_log(place: str) -> StoreDown:
    """Make the error of a place without a log; `place` is a phrase such as "in this database"."""
    return StoreDown(
        f"there is no log {place}: did the service write one? `tabserve migrate` makes one"
    )
