"""Streams of the log: predictions joined with their outcomes, and either in parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from bentos.audit.opened import OpenedLog
from bentos.records.record import Outcome, Record, Window

Item = TypeVar("Item")

# Enough that a call's fixed cost is nothing, few enough to be some megabytes.
CHUNK_ROWS = 4096


def chunk(items: Iterable[Item], size: int = CHUNK_ROWS) -> Iterator[list[Item]]:
    """Take items in lists of at most so many."""
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


def join(
    records: Iterable[Record], outcomes: Iterable[Outcome]
) -> Iterator[tuple[Record, Outcome | None]]:
    """Each record, with its outcome where there is one. Both must come by id."""
    rest = iter(outcomes)
    outcome = next(rest, None)
    for record in records:
        while outcome is not None and outcome.id < record.id:
            outcome = next(rest, None)
        is_mine = outcome is not None and outcome.id == record.id
        yield record, outcome if is_mine else None


def read_labelled(log: OpenedLog, window: Window) -> Iterator[tuple[Record, Outcome | None]]:
    """The records of a window with their outcomes, streaming."""
    return join(log.read(window), log.outcomes(window))
