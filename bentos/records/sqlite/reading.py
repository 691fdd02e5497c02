"""Rows out of the blocks of a log: by window in the order of ids, and by id."""

from __future__ import annotations

import re
import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush, heapreplace
from typing import Any, NamedTuple

from bentos.records.record import Record, Window
from bentos.records.sqlite.blocks import REACH_MS, Rows, unpack
from bentos.records.sqlite.file import whole
from bentos.records.sqlite.rows import Source, to_records
from bentos.records.sqlite.uuids import ID_BYTES, find_place, floor_of, to_ids

# Joined in this order, so that blocks are taken by their index.
FROM = "FROM blocks CROSS JOIN sources USING (source)"
SOURCE = "model, version, contract, environment, threshold, names"
SELECT = f"SELECT block, ids, CAST(requests AS BLOB), CAST(content AS BLOB), {SOURCE} {FROM}"

_is_uuid = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
# How many blocks' ids are kept for the next lookup: neighbours are looked up together.
_KEPT = 64


class Place(NamedTuple):
    """Where a row is."""

    block: int
    at: int
    is_shadow: bool
    model: str
    version: str


def where(window: Window) -> tuple[str, list[object]]:
    """The condition of the blocks that may have rows of a window, and its parameters."""
    text = "is_shadow = ? AND first_id >= ? AND first_id < ? AND last_id >= ?"
    first, end = window.first_id, window.end_id
    parameters: list[object] = [window.is_shadow, floor_of(first, -REACH_MS), end, first]
    for column, value in (("model", window.model), ("version", window.version)):
        if value is not None:
            text += f" AND {column} = ?"
            parameters.append(value)
    return text, parameters


def read_blocks(blocks: Iterable[tuple[Any, ...]], window: Window) -> Iterator[Record]:
    """The records of a window in the order of ids, of blocks in the order of their first ids."""
    # Blocks of several workers lie in one another: those begun wait for their next row.
    waiting: list[tuple[str, int, Record, Iterator[Record]]] = []
    for block, ids, requests, content, *source in blocks:
        with whole():
            rows = unpack(ids, requests, content)
        records = _records(rows, Source(*source), window)
        first = next(records, None)
        if first is None:
            continue
        # The next blocks begin later, as the window lets them.
        yield from _drain(waiting, max(to_ids(ids[:ID_BYTES])[0], window.first_id))
        heappush(waiting, (first.id, block, first, records))
    yield from _drain(waiting, None)


def read_rows(connection: sqlite3.Connection, places: Iterable[tuple[int, int]]) -> list[Record]:
    """The records at some places, each a block and a place in it; by id."""
    wanted: dict[int, list[int]] = {}
    for block, at in places:
        wanted.setdefault(block, []).append(at)
    found: list[Record] = []
    for block, chosen in wanted.items():
        _, ids, requests, content, *source = connection.execute(
            f"{SELECT} WHERE block = ?", (block,)
        ).fetchone()
        with whole():
            rows = unpack(ids, requests, content)
            for at in chosen:
                found += to_records(Source(*source), rows, at, at + 1)
    return sorted(found, key=lambda record: record.id)


def _records(rows: Rows, source: Source, window: Window) -> Iterator[Record]:
    start = bisect_left(rows.ids, window.first_id)
    stop = bisect_left(rows.ids, window.end_id)
    with whole():
        yield from to_records(source, rows, start, stop)


def _drain(
    waiting: list[tuple[str, int, Record, Iterator[Record]]], end: str | None
) -> Iterator[Record]:
    while waiting and (end is None or waiting[0][0] < end):
        _, block, record, records = waiting[0]
        yield record
        following = next(records, None)
        if following is None:
            heappop(waiting)
        else:
            heapreplace(waiting, (following.id, block, following, records))


class Finder:
    """Finds rows by id; ids that lie near each other are found fastest one after another.

    For one transaction, or one statement: it keeps what it has read.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._blocks: dict[int, _Block] = {}
        self._last: _Block | None = None

    def find(self, name: str) -> Place | None:
        """Find a row, an answer or one of a shadow."""
        if _is_uuid(name) is None:
            return None
        raw = bytes.fromhex(name.replace("-", ""))
        if self._last is not None and (found := self._last.find(raw)):
            return found
        for (number,) in self._connection.execute(
            "SELECT block FROM blocks WHERE first_id >= ? AND first_id <= ? AND last_id >= ?",
            (floor_of(name, -REACH_MS), name, name),
        ).fetchall():
            block = self._blocks.get(number) or self._load(number)
            if found := block.find(raw):
                self._last = block
                return found
        return None

    def _load(self, number: int) -> _Block:
        if len(self._blocks) >= _KEPT:
            self._blocks.pop(next(iter(self._blocks)))
        ids, is_shadow, model, version = self._connection.execute(
            f"SELECT ids, is_shadow, model, version {FROM} WHERE block = ?",
            (number,),
        ).fetchone()
        block = self._blocks[number] = _Block(number, ids, bool(is_shadow), model, version)
        return block


class _Block(NamedTuple):
    number: int
    ids: bytes
    is_shadow: bool
    model: str
    version: str

    def find(self, raw: bytes) -> Place | None:
        at = find_place(self.ids, raw)
        if at is None:
            return None
        return Place(self.number, at, self.is_shadow, self.model, self.version)
