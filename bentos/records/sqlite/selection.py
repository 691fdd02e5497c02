"""Which rows a window has: counted by version, or some of them picked, without their contents."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterator
from heapq import nsmallest
from struct import Struct

from bentos.records.record import Version, Window
from bentos.records.sqlite.reading import FROM, where
from bentos.records.sqlite.uuids import split, to_ids

# An id begins with its time and ends with 32 random bits.
_END = Struct(">12xI")
_ENDS = 2**32

# Only the blocks at the edges have rows outside the window.
_COUNTED = (
    "SELECT model, version, contract, rows, "
    "CASE WHEN first_id >= ? AND last_id < ? THEN NULL ELSE ids END"
)


def count_versions(connection: sqlite3.Connection, window: Window) -> list[Version]:
    """How many rows each model version and contract has, in the order of their bytes."""
    condition, parameters = where(window)
    counts: dict[tuple[str, str, str], int] = {}
    for model, version, contract, rows, ids in connection.execute(
        f"{_COUNTED} {FROM} WHERE {condition}", (window.first_id, window.end_id, *parameters)
    ):
        of = (model, version, contract)
        counts[of] = counts.get(of, 0) + (rows if ids is None else len(_span(ids, window)))
    in_order = sorted(counts, key=lambda of: [part.encode() for part in of])
    return [Version(*of, counts[of]) for of in in_order if counts[of]]


def pick(
    connection: sqlite3.Connection, window: Window, rows: int, seed: int
) -> list[tuple[int, int]]:
    """Pick rows by the random end of their ids, from the seed on, round the circle.

    Gives the block of each and its place there.
    """
    return [(block, at) for *_, block, at in nsmallest(rows, _distances(connection, window, seed))]


def _distances(
    connection: sqlite3.Connection, window: Window, seed: int
) -> Iterator[tuple[int, bytes, int, int]]:
    condition, parameters = where(window)
    for block, ids in connection.execute(
        f"SELECT block, ids {FROM} WHERE {condition}",
        parameters,
    ):
        ends, names = list(_END.iter_unpack(ids)), split(ids)
        for at in _span(ids, window):
            # Rows of the same end go by the whole id.
            yield (ends[at][0] - seed) % _ENDS, names[at], block, at


def _span(ids: bytes, window: Window) -> range:
    names = to_ids(ids)
    return range(bisect_left(names, window.first_id), bisect_left(names, window.end_id))
