"""Records as rows of PostgreSQL: into the bytes of a binary COPY, and back.

COPY carries each value in its type's binary form (PostgreSQL, "COPY", Binary Format):
a timestamp is an int8 of microseconds since 2000, a uuid its 16 bytes, json its text.
Handing these over costs half the time of making datetime, UUID and Json objects first.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import msgspec

from bentos.errors import RowsRefused
from bentos.ids import from_milliseconds, is_id, milliseconds
from bentos.records.record import Record, RecordedWarning, Window, encode

# Columns of `predictions`: name, type, and the type whose bytes we bring.
_COLUMNS = (
    ("time", "timestamptz", "int8"),
    ("id", "uuid", "bytea"),
    ("decode_us", "int4", "int4"),
    ("queue_us", "int4", "int4"),
    ("predict_us", "int4", "int4"),
    ("encode_us", "int4", "int4"),
    ("score", "float8", "float8"),
    ("threshold", "float8", "float8"),
    ("request_id", "text", "text"),
    ("model", "text", "text"),
    ("version", "text", "text"),
    ("contract", "text", "text"),
    ("environment", "text", "text"),
    ("features", "json", "bytea"),
    ("scores", "json", "bytea"),
    ("label", "text", "text"),
    ("consumer", "text", "text"),
    ("subject", "text", "text"),
    ("subject_key", "text", "text"),
    ("warnings", "json", "bytea"),
    ("reasons", "json", "bytea"),
    ("shadow", "text", "text"),
)
COLUMNS = ", ".join(name for name, _, _ in _COLUMNS)
DEFINITIONS = ", ".join(f"{name} {kind}" for name, kind, _ in _COLUMNS)
COPY_TYPES = [kind for _, _, kind in _COLUMNS]

# As text: psycopg would parse json and make UUID objects.
_AS_TEXT = frozenset({"id", "features", "scores", "warnings", "reasons"})
_FIELDS = Record.__struct_fields__
_FEATURES, _SCORES, _WARNINGS, _REASONS = map(
    _FIELDS.index, ("features", "scores", "warnings", "reasons")
)
# What only those who see the table itself see, and what others get instead.
_HIDDEN = {
    "request_id": "''",
    "consumer": "NULL::text",
    "subject": "NULL::text",
    "subject_key": "NULL::text",
    "reasons": "NULL::text",
}

_EPOCH_MS = 946_684_800_000  # 2000, PostgreSQL's own, in milliseconds since 1970
_END_MS = 253_402_300_800_000  # the year 10000, which no datetime reaches
_DAY_MS = 86_400_000

# Time and id of a row; of rows with the same id the first one stays the first.
_BY_ID = itemgetter(0, 1)

_warnings = msgspec.json.Decoder(tuple[RecordedWarning, ...]).decode
_reasons = msgspec.json.Decoder(tuple[str, ...]).decode


def selected(*, sees_all: bool) -> str:
    """The columns to select for `to_record`."""
    return ", ".join(
        _HIDDEN[name]
        if not sees_all and name in _HIDDEN
        else f"{name}::text"
        if name in _AS_TEXT
        else name
        for name in _FIELDS
    )


def to_rows(records: Sequence[Record]) -> tuple[list[tuple[object, ...]], set[int]]:
    """The rows for a COPY of `COPY_TYPES` by id, and the days they need, counted from 1970.

    By id, so that sessions which store the same rows at once lock them in the same order.
    Raises RowsRefused for an id that is no UUIDv7 as we write it, or a latency beyond int4.
    """
    days: set[int] = set()
    rows: list[tuple[object, ...]] = []
    for record in records:
        if is_id(record.id) is None:
            raise RowsRefused("a record has an id that is no UUIDv7")
        raw = bytes.fromhex(record.id.replace("-", ""))
        time_ms = int.from_bytes(raw[:6], "big")
        if time_ms >= _END_MS:
            raise RowsRefused("a record has an id of the year 10000 or later")
        # psycopg would cut a longer number to its last 32 bits.
        if (record.decode_us | record.queue_us | record.predict_us | record.encode_us) >> 31:
            raise RowsRefused("a record has a latency below 0 or above 35 minutes")
        days.add(time_ms // _DAY_MS)
        rows.append(
            (
                (time_ms - _EPOCH_MS) * 1000,
                raw,
                record.decode_us,
                record.queue_us,
                record.predict_us,
                record.encode_us,
                record.score,
                record.threshold,
                record.request_id,
                record.model,
                record.version,
                record.contract,
                record.environment,
                bytes(record.features),
                None if record.scores is None else encode(record.scores),
                record.label,
                record.consumer,
                record.subject,
                record.subject_key,
                encode(record.warnings) if record.warnings else b"[]",
                None if record.reasons is None else encode(record.reasons),
                record.shadow,
            )
        )
    rows.sort(key=_BY_ID)
    return rows, days


def to_record(row: Sequence[Any]) -> Record:
    """A record of the columns that `selected` names."""
    values = list(row)
    values[_FEATURES] = msgspec.Raw(values[_FEATURES])
    values[_SCORES] = values[_SCORES] and msgspec.json.decode(values[_SCORES])
    warnings = values[_WARNINGS]
    values[_WARNINGS] = () if warnings == "[]" else _warnings(warnings)
    values[_REASONS] = values[_REASONS] and _reasons(values[_REASONS])
    return Record(*values)


def where(window: Window) -> tuple[str, list[object]]:
    """The condition of a window, and its parameters: whole milliseconds, as ids have."""
    conditions = ["time >= %s", "time < %s"]
    conditions.append("shadow IS NOT NULL" if window.is_shadow else "shadow IS NULL")
    bounds = (window.since, window.until)
    parameters: list[object] = [from_milliseconds(max(0, milliseconds(time))) for time in bounds]
    for column, value in (("model", window.model), ("version", window.version)):
        if value is not None:
            conditions.append(f"{column} = %s")
            parameters.append(value)
    return " AND ".join(conditions), parameters
