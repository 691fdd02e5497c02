"""The rows of a log of before blocks, into blocks: part of the migration's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from bentos.records.record import Record, RecordedWarning
from bentos.records.sqlite.file import whole
from bentos.records.sqlite.rows import of_records
from bentos.records.sqlite.writing import insert, make_ready

_COLUMNS = Record.__struct_fields__
# By the primary key, so that a million rows are never sorted or held.
_SELECT = (
    f"SELECT {', '.join(_COLUMNS)} FROM scored LEFT JOIN sources USING (source) "  # noqa: S608 - our own column names
    "WHERE id > ? ORDER BY id LIMIT ?"
)
_ROWS_AT_ONCE = 4096

_decode_warnings = msgspec.json.Decoder(tuple[RecordedWarning, ...]).decode
_decode_reasons = msgspec.json.Decoder(tuple[str, ...]).decode


def move_rows(connection: sqlite3.Connection) -> None:
    """Move the rows of the table `scored`, if there is one, and drop it."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'scored'").fetchall():
        return
    for records in _read(connection):
        insert(connection, make_ready(of_records(records)))
    connection.execute("DROP TABLE scored")


def _read(connection: sqlite3.Connection) -> Iterator[list[Record]]:
    last = ""
    while rows := connection.execute(_SELECT, (last, _ROWS_AT_ONCE)).fetchall():
        with whole():
            records = [_to_record(row) for row in rows]
        last = records[-1].id
        yield records


def _to_record(row: tuple[Any, ...]) -> Record:
    fields = dict(zip(_COLUMNS, row, strict=True))
    fields["features"] = msgspec.Raw(fields["features"])
    fields["scores"] = fields["scores"] and msgspec.json.decode(fields["scores"])
    fields["warnings"] = _decode_warnings(fields["warnings"] or "[]")
    fields["reasons"] = fields["reasons"] and _decode_reasons(fields["reasons"])
    return Record(**fields)
