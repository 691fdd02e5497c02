"""The rows of one part as a table."""

from __future__ import annotations

from typing import Any

from bentos.errors import Fault, Problem
from bentos.model.loading import LoadedModel
from bentos.model.tables.table import Table
from bentos.offline.files import BadFile, File
from bentos.offline.planning import Part, Plan
from bentos.protocols.formats import arrow_columns, csv_table
from bentos.protocols.formats.format import TableLimits

# Rows of Parquet that are decoded at a time.
_BATCH_ROWS = 8192
# The texts of one column of a batch.
_MAX_BYTES = 2**28


def read(model: LoadedModel, file: File, plan: Plan, part: Part) -> Table:
    """Read one part. Columns that are no features are left out. Raises BadFile."""
    try:
        if file.kind == "parquet":
            return _read_groups(model, file, part)
        with file.system.open(file.path, "rb") as opened:
            opened.seek(part.start)
            data: bytes = opened.read(part.end - part.start)
        table = _read_text(model, file, plan, data, part)
    except Problem as problem:
        raise BadFile(f"{file.name}, rows from {part.first} on: {_say(problem)}") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadFile(f"{file.name} cannot be read: {reason}") from None
    if len(table) != part.rows:
        where = f"{file.name}, rows from {part.first} on"
        raise BadFile(f"{where}: the file changed, or is no {file.kind}")
    return table


def _read_text(model: LoadedModel, file: File, plan: Plan, data: bytes, part: Part) -> Table:
    if file.kind == "ndjson":
        return model.reader.read_lines(data, part.first)
    body = plan.header + (b"" if plan.header.endswith(b"\n") else b"\n") + data
    lines = csv_table.read_lines(body, body.count(b","))
    header = next(lines, [])
    return csv_table.encode(model, _bind(model, header), len(header), list(lines), part.first)


def _bind(model: LoadedModel, names: list[str]) -> dict[int, int]:
    bound, faults = model.tables.bind(names)
    # A file may have more columns than the model needs; a request may not.
    _refuse([fault for fault in faults if fault.code != "unknown_feature"])
    return bound


def _refuse(faults: list[Fault]) -> None:
    if faults:
        raise Problem("invalid-features", "the columns are wrong", faults=faults)


def _say(problem: Problem) -> str:
    if not problem.faults:
        return problem.detail
    fault = problem.faults[0]
    return f"column {fault.pointer.removeprefix('/')} {fault.detail}"


def _read_groups(model: LoadedModel, file: File, part: Part) -> Table:
    import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types  # noqa: PLC0415 - other formats do not need it
    from pyarrow import parquet  # noqa: PLC0415 - the same

    found: list[Table] = []
    first = part.first
    try:
        with file.system.open(file.path, "rb") as opened:
            source = parquet.ParquetFile(opened)
            names = [name for name in source.schema_arrow.names if name in model.contract.positions]
            groups = list(range(part.start, part.end))
            schema: Any = pa.schema([source.schema_arrow.field(name) for name in names])
            bound = arrow_columns.bind(model, schema)
            for batch in source.iter_batches(_BATCH_ROWS, row_groups=groups, columns=names):
                batch.validate(full=True)
                arrays = [batch.column(name) for name in names]
                limits = TableLimits(_BATCH_ROWS, _MAX_BYTES)
                rows = batch.num_rows
                found.append(arrow_columns.encode(model, arrays, bound, rows, limits, first))
                first += rows
    except pa.ArrowException:
        raise BadFile(f"{file.name} is damaged, or is not a Parquet file") from None
    return Table.join(found)
