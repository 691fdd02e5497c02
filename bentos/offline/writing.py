"""The results of parts, and one file of all of them."""

from __future__ import annotations

from typing import Any

from bentos.model.loading import LoadedModel
from bentos.offline.files import File
from bentos.protocols.formats import arrow_answers
from bentos.protocols.formats.csv_answers import CsvWriter
from bentos.protocols.formats.format import TableResults, Writer
from bentos.protocols.formats.json_lines import LineWriter

_COPY_BYTES = 4 * 2**20


def write_part(model: LoadedModel, file: File, results: TableResults) -> bytes:
    """Write the results of one part: lines without a header, or a Parquet file of its own."""
    if file.kind == "parquet":
        return _write_parquet(model, results)
    return _writer(model, file).write(results)


def join(model: LoadedModel, file: File, paths: list[str]) -> None:
    """Make the file of its parts, in their order; it appears whole under its name."""
    target = file.beside(".part")
    with file.system.open(target, "wb") as opened:
        if file.kind == "parquet":
            _join_parquet(model, file, paths, opened)
        else:
            opened.write(_writer(model, file).begin())
            for path in paths:
                with file.system.open(path, "rb") as part:
                    while data := part.read(_COPY_BYTES):
                        opened.write(data)
    file.system.mv(target, file.path)


def _writer(model: LoadedModel, file: File) -> Writer:
    # Nothing enters the log, so a row has no id.
    if file.kind == "csv":
        return CsvWriter(model, has_ids=False)
    return LineWriter(model, has_ids=False)


def _write_parquet(model: LoadedModel, results: TableResults) -> bytes:
    import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types  # noqa: PLC0415 - other formats do not need it
    from pyarrow import parquet  # noqa: PLC0415 - the same

    batch = arrow_answers.to_batch(model, arrow_answers.schema(model), results)
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_batches([batch]).drop_columns(["id"]), sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _join_parquet(model: LoadedModel, file: File, paths: list[str], opened: Any) -> None:
    from pyarrow import parquet  # noqa: PLC0415 - other formats do not need it

    kinds = arrow_answers.schema(model)
    kinds = kinds.remove(kinds.get_field_index("id"))
    with parquet.ParquetWriter(opened, kinds) as writer:
        for path in paths:
            with file.system.open(path, "rb") as part:
                writer.write_table(parquet.read_table(part).cast(kinds))
