"""Rows into the blocks of a log, and out of them, in the caller's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bentos.records.sqlite.blocks import REACH_MS, Head, Packed, Rows, collect, unpack
from bentos.records.sqlite.file import whole
from bentos.records.sqlite.rows import Kind, Source
from bentos.records.sqlite.uuids import floor_of, split, to_ids

# Bytes that become text in SQLite are not looked at as a `str` of Python's would be.
_INSERT = """
INSERT INTO blocks (source, is_shadow, first_id, last_id, rows, ids, requests, content)
VALUES (?, ?, ?, ?, ?, ?, CAST(? AS TEXT), CAST(? AS TEXT))
"""
_UPDATE = """
UPDATE blocks SET first_id = ?, last_id = ?, rows = ?, ids = ?,
    requests = CAST(? AS TEXT), content = CAST(? AS TEXT)
WHERE block = ?
"""
# All blocks that may hold an id of a range.
_AROUND = "SELECT ids FROM blocks WHERE first_id >= ? AND first_id <= ? AND last_id >= ?"


class Ready(NamedTuple):
    """A block that only has to be inserted."""

    source: Source
    is_shadow: bool
    rows: Rows
    packed: Packed


def make_ready(kinds: Mapping[Kind, Rows]) -> list[Ready]:
    """Pack rows into blocks. Raises RowsRefused where a row can never be stored."""
    return [
        Ready(source, is_shadow, block, block.pack())
        for (source, is_shadow), rows in kinds.items()
        for block in rows.in_order().blocks()
    ]


def insert(connection: sqlite3.Connection, blocks: Sequence[Ready]) -> None:
    """Insert rows; one whose id is there already stays as it is."""
    numbers: dict[Source, int] = {}
    for block in blocks:
        number = numbers.get(block.source)
        if number is None:
            number = numbers[block.source] = _find_source(connection, block.source)
        _insert_block(connection, number, block)


def rewrite(
    connection: sqlite3.Connection, block: int, is_kept: Callable[[Head, str], bool]
) -> list[str]:
    """Keep some of a block's rows, by head and id; gives the ids of all others."""
    stored = connection.execute(
        "SELECT ids, CAST(requests AS BLOB), CAST(content AS BLOB) FROM blocks WHERE block = ?",
        (block,),
    ).fetchone()
    with whole():
        before = unpack(*stored)
    kept = collect(one for one in before.each() if is_kept(one[0], one[1]))
    if kept.ids:
        connection.execute(_UPDATE, (*kept.pack(), block))
    else:
        connection.execute("DELETE FROM blocks WHERE block = ?", (block,))
    connection.executemany(
        "DELETE FROM subjects WHERE subject = ? AND block = ?",
        [(subject, block) for subject in before.subjects - kept.subjects],
    )
    left = set(kept.ids)
    return [name for name in before.ids if name not in left]


def _insert_block(connection: sqlite3.Connection, source: int, ready: Ready) -> None:
    rows, packed = ready.rows, ready.packed
    around = (floor_of(packed.first_id, -REACH_MS), packed.last_id, packed.first_id)
    for (ids,) in connection.execute(_AROUND, around).fetchall():
        # Blocks of several workers lie in one another; rows come a second time only in a retry.
        taken = set(split(ids))
        if taken.isdisjoint(split(packed.ids)):
            continue
        names = set(to_ids(ids))
        rows = collect(one for one in rows.each() if one[1] not in names)
        if not rows.ids:
            return
        packed = rows.pack()
    block = connection.execute(_INSERT, (source, ready.is_shadow, *packed)).lastrowid
    if subjects := rows.subjects:
        connection.executemany(
            "INSERT INTO subjects VALUES (?, ?)", [(subject, block) for subject in subjects]
        )


def _find_source(connection: sqlite3.Connection, source: Source) -> int:
    found = connection.execute(
        "SELECT source FROM sources WHERE model = ? AND version = ? AND contract = ? "
        "AND environment = ? AND threshold IS ? AND names IS ?",
        source,
    ).fetchone()
    if found is None:
        found = connection.execute(
            "INSERT INTO sources (model, version, contract, environment, threshold, names) "
            "VALUES (?, ?, ?, ?, ?, ?) RETURNING source",
            source,
        ).fetchone()
    number: int = found[0]
    return number
