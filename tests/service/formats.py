"""Rows as each format of `/v1/predict/batch` has them, and answers read back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types
from pyarrow import parquet

from tests.service.driver import Answer

Row = dict[str, Any]

JSON = "application/json"
NDJSON = "application/x-ndjson"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
ALL = (JSON, NDJSON, CSV, ARROW, PARQUET)
# A column's type in Arrow, by MLflow's.
_ARROW_TYPES: Mapping[str, Any] = {
    "amount": pa.float64(),
    "count": pa.int64(),
    "is_member": pa.bool_(),
    "colour": pa.string(),
    "grade": pa.int64(),
    "weight": pa.float64(),
}


def write_json(rows: Sequence[Row]) -> bytes:
    """Write rows as a JSON batch."""
    return json.dumps({"instances": list(rows)}).encode()


def write_lines(rows: Sequence[Row]) -> bytes:
    """Write rows as JSON lines."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write_csv(rows: Sequence[Row]) -> bytes:
    """Write rows as CSV: nothing for a missing value."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer.writerow(names)
    for row in rows:
        cells = [row.get(name) for name in names]
        writer.writerow([json.dumps(one) if isinstance(one, bool) else one for one in cells])
    return text.getvalue().encode()


def to_table(rows: Sequence[Row], types: Mapping[str, Any] = _ARROW_TYPES) -> Any:
    """Make an Arrow table; `types`: of columns by name."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table(
        {name: pa.array([row.get(name) for row in rows], types.get(name)) for name in names}
    )


def write_arrow(rows: Sequence[Row], batch_rows: int = 1000) -> bytes:
    """Write rows as an Arrow stream."""
    return stream_of(to_table(rows), batch_rows)


def stream_of(table: Any, batch_rows: int = 1000, **options: Any) -> bytes:
    """Write a table as an Arrow stream. `options`: of `IpcWriteOptions`."""
    sink = pa.BufferOutputStream()
    chosen = pa.ipc.IpcWriteOptions(**options)
    with pa.ipc.new_stream(sink, table.schema, options=chosen) as stream:
        stream.write_table(table, max_chunksize=batch_rows)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def write_parquet(rows: Sequence[Row]) -> bytes:
    """Write rows as a Parquet file."""
    return file_of(to_table(rows))


def file_of(table: Any, **options: Any) -> bytes:
    """Write a table as a Parquet file. `options`: of `write_table`."""
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, **options)
    data: bytes = sink.getvalue().to_pybytes()
    return data


WRITE: Mapping[str, Callable[[Sequence[Row]], bytes]] = {
    JSON: write_json,
    NDJSON: write_lines,
    CSV: write_csv,
    ARROW: write_arrow,
    PARQUET: write_parquet,
}


def read(answer: Answer) -> list[Row]:
    """The results of an answer of any format: `id`, `score` or `scores`, `label`, `codes`."""
    assert answer.status == 200, answer.body[:500]
    return _READ[answer.headers["content-type"]](answer.body)


def _read_json(body: bytes) -> list[Row]:
    return [_plain(one) for one in json.loads(body)["predictions"]]


def _read_lines(body: bytes) -> list[Row]:
    return [_plain(json.loads(line)) for line in body.splitlines()]


def _plain(one: Row) -> Row:
    error = one.get("error")
    return {
        "id": one.get("id"),
        "scores": one.get("scores") or one.get("score"),
        "label": one.get("label"),
        "codes": _codes(error["errors"] if error and "errors" in error else []),
        "warnings": _codes(one.get("warnings", [])),
    }


def _codes(notes: Sequence[Row]) -> list[tuple[str, str]]:
    # Only JSON has an object around the rows.
    return sorted((one["pointer"].removeprefix("/instances"), one["code"]) for one in notes)


def _read_csv(body: bytes) -> list[Row]:
    def notes(cell: str) -> list[tuple[str, str]]:
        pairs = [one.rpartition(" ") for one in cell.split("; ") if one]
        return sorted((pointer, code) for pointer, _, code in pairs)

    found = []
    for row in csv.DictReader(io.StringIO(body.decode(), newline="")):
        label = row.get("label") or None
        by_class = {name: cell for name, cell in row.items() if name.startswith("score_")}
        scores: object = None
        if by_class:
            if all(by_class.values()):
                scores = {k.removeprefix("score_"): float(v) for k, v in by_class.items()}
        elif row["score"]:
            scores = float(row["score"])
        found.append(
            {
                "id": row["id"],
                "scores": scores,
                "label": label if not label or by_class else int(label),
                "codes": notes(row["errors"]),
                "warnings": notes(row["warnings"]),
            }
        )
    return found


def _read_arrow(body: bytes) -> list[Row]:
    return read_table(pa.ipc.open_stream(body).read_all())


def _read_parquet(body: bytes) -> list[Row]:
    return read_table(parquet.read_table(pa.BufferReader(body)))


def read_table(table: Any) -> list[Row]:
    """The results of an Arrow table."""
    found = []
    for row in table.to_pylist():
        by_class = {k.removeprefix("score_"): v for k, v in row.items() if k.startswith("score_")}
        scores = row.get("score")
        if by_class and None not in by_class.values():
            scores = by_class
        found.append(
            {
                "id": row["id"],
                "scores": scores,
                "label": row.get("label"),
                "codes": _codes(row["errors"] or []),
                "warnings": _codes(row["warnings"] or []),
            }
        )
    return found


_READ: Mapping[str, Callable[[bytes], list[Row]]] = {
    JSON: _read_json,
    NDJSON: _read_lines,
    CSV: _read_csv,
    ARROW: _read_arrow,
    PARQUET: _read_parquet,
}
