"""Records written as JSON lines, CSV or Parquet, one after the other.

JSON lines and Parquet hold every value to the last bit and every text as it is. CSV
does, too, with one rule for texts: what a spreadsheet would take for a formula, and what
begins with an apostrophe, gets an apostrophe in front.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, BinaryIO

import msgspec

from bentos.audit import columns
from bentos.audit.columns import Kind, NoTable, Row
from bentos.audit.streams import chunk
from bentos.audit.times import iso
from bentos.records.record import Record, encode

# Rows of one Parquet row group: some megabytes of an ordinary model's features.
_GROUP_ROWS = 8192

# https://owasp.org/www-community/attacks/CSV_Injection, and the sign of the rule itself.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")

_FIELDS = tuple(name for name in Record.__struct_fields__ if name != "features")
_OUTCOME = ("outcome", "outcome_revision", "outcome_received")
_encode = msgspec.json.Encoder().encode


def write_jsonl(rows: Iterable[Row], file: BinaryIO) -> int:
    """Write each record as one JSON object, with its time; gives how many."""
    count = 0
    for record, outcome in rows:
        line = b'{"time":"' + iso(record.time).encode() + b'",' + encode(record)[1:]
        if outcome is not None:
            known = {
                "outcome": outcome.outcome,
                "outcome_revision": outcome.revision,
                "outcome_received": iso(outcome.received),
            }
            line = line[:-1] + b"," + _encode(known)[1:]
        # Features are kept as they were sent: in JSON a line break is but a space.
        file.write(line.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n")
        count += 1
    return count


def write_csv(
    rows: Iterable[Row], file: BinaryIO, kinds: dict[str, Kind], *, has_outcomes: bool
) -> int:
    """Write a header and a line a record (RFC 4180, but LF); gives how many.

    Nothing between two commas is a missing value, `""` is an empty text.
    """
    names = [*_names(has_outcomes), *(f"features.{name}" for name in kinds)]
    file.write((",".join(map(_cell, names)) + "\n").encode())
    count = 0
    for record, outcome in rows:
        own = _own(record, outcome, has_outcomes)
        cells = [
            _encode(value).decode() if isinstance(value, dict | tuple) else value for value in own
        ]
        cells += columns.take(record, kinds)
        file.write((",".join(map(_cell, cells)) + "\n").encode())
        count += 1
    return count


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if text.startswith(_FORMULA):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"'


def write_parquet(
    rows: Iterable[Row], file: BinaryIO, kinds: dict[str, Kind], *, has_outcomes: bool
) -> int:
    """Write one row group after the other; gives how many rows. Needs pyarrow."""
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types  # noqa: PLC0415 - other commands do not wait for it
        from pyarrow import parquet  # noqa: PLC0415 - other commands do not wait for it
    except ModuleNotFoundError as error:
        raise NoTable(
            f"Parquet needs {error.name}: pip install 'tabserve[parquet]', or take --format jsonl"
        ) from None
    schema = _schema(pa, kinds, has_outcomes)
    count = 0
    with parquet.ParquetWriter(file, schema) as writer:
        for group in chunk(rows, _GROUP_ROWS):
            lists = [
                [*_own(record, outcome, has_outcomes), *columns.take(record, kinds)]
                for record, outcome in group
            ]
            arrays = [
                pa.array([_arrow(value) for value in column], field.type)
                for column, field in zip(zip(*lists, strict=True), schema, strict=True)
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
            count += len(group)
    return count


def _schema(pa: Any, kinds: dict[str, Kind], has_outcomes: bool) -> Any:
    special = {
        "time": pa.timestamp("ms", "UTC"),
        "outcome_received": pa.timestamp("ms", "UTC"),
        "outcome_revision": pa.int32(),
        "score": pa.float64(),
        "scores": pa.map_(pa.string(), pa.float64()),
        "threshold": pa.float64(),
        "warnings": pa.list_(pa.struct([("pointer", pa.string()), ("code", pa.string())])),
        "reasons": pa.list_(pa.string()),
    } | {name: pa.int64() for name in _FIELDS if name.endswith("_us")}
    types = {
        "float": pa.float64(),
        "integer": pa.int64(),
        "boolean": pa.bool_(),
        "text": pa.string(),
        "json": pa.string(),
    }
    own = [(name, special.get(name, pa.string())) for name in _names(has_outcomes)]
    return pa.schema([*own, *((f"features.{name}", types[kind]) for name, kind in kinds.items())])


def _arrow(value: object) -> object:
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, tuple):
        return [
            noted if isinstance(noted, str) else msgspec.structs.asdict(noted) for noted in value
        ]
    return value


def _names(has_outcomes: bool) -> list[str]:
    return ["id", "time", *_FIELDS[1:], *(_OUTCOME if has_outcomes else ())]


def _own(record: Record, outcome: Any, has_outcomes: bool) -> list[Any]:
    values = [record.id, record.time, *(getattr(record, name) for name in _FIELDS[1:])]
    if has_outcomes:
        known = (None, None, None)
        if outcome is not None:
            known = (outcome.outcome, outcome.revision, outcome.received)
        values += known
    return values
