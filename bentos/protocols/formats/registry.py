"""Every format of many rows."""

from __future__ import annotations

from bentos.protocols.formats import arrow_stream, csv_table, json_batch, json_lines, parquet
from bentos.protocols.formats.format import Format

# The first is the answer's where a client says nothing, and sends what is no format of answers.
FORMATS: tuple[Format, ...] = (
    json_batch.FORMAT,
    json_lines.FORMAT,
    csv_table.FORMAT,
    arrow_stream.FORMAT,
    parquet.FORMAT,
)
