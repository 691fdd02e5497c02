"""Parquet bodies of `/invocations`, where pyarrow is installed. Pure.

What the file says of itself is looked at before any of it is unpacked.
"""

from __future__ import annotations

from math import isnan
from typing import Any

from bentos.errors import Fault, Problem
from bentos.model.contract import Contract
from bentos.protocols.mlflow_scoring.table import (
    Table,
    place_by_row,
    positions_of,
    refuse,
    require_count,
)

_POINTER = "/rows"

# Bytes that the columns may have once unpacked: four times the largest body by default.
_MAX_UNPACKED_BYTES = 64 * 2**20


def read(contract: Contract, body: bytes, max_rows: int) -> Table:
    """Read a body. Raises Problem for what is malformed, and where pyarrow is missing."""
    try:
        # An extra: most servers do without.
        import pyarrow  # type: ignore[import-untyped]  # noqa: PLC0415 - it publishes no types
        import pyarrow.parquet  # type: ignore[import-untyped]  # noqa: PLC0415 - the same
    except ImportError:
        raise Problem(
            "unsupported-media-type",
            "this server has no pyarrow to read Parquet with: send application/json or text/csv",
        ) from None
    try:
        source = pyarrow.BufferReader(body)
        file = pyarrow.parquet.ParquetFile(source)
        names = file.schema_arrow.names
        count = require_count(file.metadata.num_rows, max_rows, _POINTER)
        found = positions_of(contract, names, "/columns")
        wanted = [names[number] for number in found.values()]
        _require_small(file.metadata, set(wanted))
        # Texts as dictionaries: one that comes in every row is held once.
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(body), read_dictionary=wanted)
        table = file.read(columns=wanted, use_threads=False)
        columns = {
            position: _values_of(table.column(name))
            for position, name in zip(found, wanted, strict=True)
        }
    except (pyarrow.ArrowException, OSError, ValueError, KeyError):
        raise Problem("malformed", "the body is not a Parquet file that can be read") from None
    return Table(columns, count, place_by_row(contract, _POINTER), _POINTER)


def _require_small(metadata: Any, wanted: set[str]) -> None:
    size = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            if column.path_in_schema in wanted:
                size += column.total_uncompressed_size
            elif column.path_in_schema.partition(".")[0] in wanted:
                detail = "must be columns of plain values"
                refuse(Fault("/columns", "wrong_type", detail))
    if size > _MAX_UNPACKED_BYTES:
        raise Problem(
            "too-large", f"the columns have more than {_MAX_UNPACKED_BYTES} bytes unpacked"
        )


def _values_of(column: Any) -> list[Any]:
    values: list[Any] = []
    for chunk in column.chunks:
        if hasattr(chunk, "dictionary"):
            known = chunk.dictionary.to_pylist()
            values += [None if code is None else known[code] for code in chunk.indices.to_pylist()]
        else:
            values += chunk.to_pylist()
    return [None if isinstance(value, float) and isnan(value) else value for value in values]
