"""Records as rows of a log in SQLite, and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

import msgspec

from bentos.records.record import Record, RecordedWarning, encode

COLUMNS = Record.__struct_fields__

# What is the same for row after row is stored once: fewer bytes, and less time.
Source = tuple[str, str, str, str, float | None]
# What each row has, and what few rows have: for each NULL that is bound, Python's sqlite3
# looks for an adapter, which is felt in the time of a row.
_COMMON = (
    "id, request_id, source, features, decode_us, queue_us, predict_us, encode_us, score, label"
)
_RARE = "scores, consumer, subject, subject_key, warnings, reasons, shadow"
_INSERT_COMMON = (
    f"INSERT INTO scored ({_COMMON}) VALUES ({', '.join('?' * 10)}) ON CONFLICT (id) DO NOTHING"  # noqa: S608 - our own column names
)
_INSERT = (
    f"INSERT INTO scored ({_COMMON}, {_RARE}) VALUES ({', '.join('?' * 17)}) "  # noqa: S608 - the same
    "ON CONFLICT (id) DO NOTHING"
)

_decode_reasons = msgspec.json.Decoder(tuple[str, ...]).decode


def insert(connection: sqlite3.Connection, records: Iterable[Record]) -> None:
    """Insert records, in the open transaction; what is there by its id stays as it is."""
    sources: dict[Source, int] = {}
    common: list[tuple[object, ...]] = []
    others: list[tuple[object, ...]] = []
    for record in records:
        made_by = (
            record.model,
            record.version,
            record.contract,
            record.environment,
            record.threshold,
        )
        source = sources.get(made_by)
        if source is None:
            source = sources[made_by] = _find_source(connection, made_by)
        rare = _rare(record)
        if rare is None:
            common.append(_to_row(record, source))
        else:
            others.append(_to_row(record, source) + rare)
    connection.executemany(_INSERT_COMMON, common)
    connection.executemany(_INSERT, others)


def to_record(row: tuple[Any, ...]) -> Record:
    """A record of a view's `COLUMNS`, in their order."""
    fields = dict(zip(COLUMNS, row, strict=True))
    fields["features"] = msgspec.Raw(fields["features"])
    fields["scores"] = fields["scores"] and msgspec.json.decode(fields["scores"])
    fields["warnings"] = msgspec.json.decode(
        fields["warnings"] or "[]", type=tuple[RecordedWarning, ...]
    )
    fields["reasons"] = fields["reasons"] and _decode_reasons(fields["reasons"])
    return Record(**fields)


def _find_source(connection: sqlite3.Connection, made_by: Source) -> int:
    found = connection.execute(
        "SELECT source FROM sources WHERE model = ? AND version = ? AND contract = ? "
        "AND environment = ? AND threshold IS ?",
        made_by,
    ).fetchone()
    if found is None:
        found = connection.execute(
            "INSERT INTO sources (model, version, contract, environment, threshold) "
            "VALUES (?, ?, ?, ?, ?) RETURNING source",
            made_by,
        ).fetchone()
    source: int = found[0]
    return source


def _to_row(record: Record, source: int) -> tuple[object, ...]:
    return (
        record.id,
        record.request_id,
        source,
        str(record.features, "utf-8"),
        record.decode_us,
        record.queue_us,
        record.predict_us,
        record.encode_us,
        record.score,
        record.label,
    )


def _rare(record: Record) -> tuple[object, ...] | None:
    if (
        record.scores is None
        and record.consumer is None
        and record.subject is None
        and not record.warnings
        and record.reasons is None
        and record.shadow is None
    ):
        return None
    return (
        None if record.scores is None else encode(record.scores).decode(),
        record.consumer,
        record.subject,
        record.subject_key,
        encode(record.warnings).decode() if record.warnings else None,
        None if record.reasons is None else encode(record.reasons).decode(),
        record.shadow,
    )
