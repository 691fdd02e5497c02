"""`application/vnd.apache.parquet`: whole files, measured before they are unpacked. Pure."""

from __future__ import annotations

from typing import Any

from bentos.errors import Fault, Problem
from bentos.model.json_rows import invalid
from bentos.model.loading import LoadedModel
from bentos.model.tables.table import Table
from bentos.protocols.formats import arrow_answers, arrow_columns, parquet_pages
from bentos.protocols.formats.format import Format, TableLimits, TableResults, too_many_rows
from bentos.protocols.formats.parquet_pages import malformed

# Names and places of columns: an honest file of a thousand columns has some hundred kB.
_MAX_DESCRIPTION = 4 * 2**20
_MAX_COLUMNS = 100_000


def read(model: LoadedModel, body: bytes, limits: TableLimits) -> Table:
    """Read a whole file within the limits. Raises Problem."""
    source = _shielded(_open, body)
    metadata = source.metadata
    rows: int = metadata.num_rows
    if rows > limits.max_rows:
        raise too_many_rows(limits.max_rows)
    if not rows:
        raise invalid([Fault("", "empty_batch", "must have at least one row")])
    bound = arrow_columns.bind(model, _shielded(_schema, source))
    _require_room(metadata, body, limits)
    arrays = _shielded(_read, body, source, rows)
    return arrow_columns.encode(model, arrays, bound, rows, limits, 0)


def _open(body: bytes, dictionaries: list[str] | None = None) -> Any:
    import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types  # noqa: PLC0415 - a worker loads it when it is asked for
    from pyarrow import parquet  # noqa: PLC0415 - the same

    return parquet.ParquetFile(
        pa.BufferReader(body),
        read_dictionary=dictionaries,
        thrift_string_size_limit=_MAX_DESCRIPTION,
        thrift_container_size_limit=_MAX_COLUMNS,
        # The schema that Arrow wrote into it could name any type of Arrow.
        arrow_extensions_enabled=False,
    )


def _schema(source: Any) -> Any:
    schema = source.schema_arrow
    # Raises for names that are not UTF-8.
    _ = schema.names
    return schema


def _require_room(metadata: Any, body: bytes, limits: TableLimits) -> None:
    total = 0
    for group in range(metadata.num_row_groups):
        described = metadata.row_group(group)
        for column in range(described.num_columns):
            chunk = described.column(column)
            start: int = chunk.data_page_offset
            if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
                start = chunk.dictionary_page_offset
            total += parquet_pages.add_up(body, start, chunk.total_compressed_size)
            if total > limits.max_bytes:
                raise Problem(
                    "too-large", f"the file may have at most {limits.max_bytes} bytes unpacked"
                )


def _read(body: bytes, source: Any, rows: int) -> list[Any]:
    import pyarrow as pa  # noqa: PLC0415 - a worker loads it when it is asked for

    # A text of a megabyte that ten thousand rows refer to stays one text.
    texts = [field.name for field in source.schema_arrow if _is_text(pa.types, field.type)]
    table = _open(body, texts).read(use_threads=False)
    table.validate(full=True)
    if table.num_rows != rows:
        raise ValueError("another number of rows")
    # Chunks of one column may have dictionaries of their own.
    return [column.combine_chunks() for column in table.unify_dictionaries().columns]


def _is_text(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _shielded(work: Any, *arguments: Any) -> Any:
    """Call pyarrow; whatever it does not like of the bytes is malformed."""
    try:
        return work(*arguments)
    except Exception:
        # Its messages quote what was sent, and its errors share no base but Exception.
        raise malformed("its library cannot read it") from None


class ParquetWriter:
    """Writes one file; all of it is held until the end."""

    def __init__(self, model: LoadedModel) -> None:
        import pyarrow as pa  # noqa: PLC0415 - a worker loads it when it is asked for
        from pyarrow import parquet  # noqa: PLC0415 - the same

        self._model = model
        self._kinds = arrow_answers.schema(model)
        self._sink = pa.BufferOutputStream()
        self._file = parquet.ParquetWriter(self._sink, self._kinds)

    def begin(self) -> bytes:
        """Nothing yet."""
        return b""

    def write(self, results: TableResults) -> bytes:
        """Nothing yet: the file comes at the end."""
        self._file.write_batch(arrow_answers.to_batch(self._model, self._kinds, results))
        return b""

    def end(self) -> bytes:
        """The file."""
        self._file.close()
        data: bytes = self._sink.getvalue().to_pybytes()
        return data

    def fail(self, problem: Problem, row: int) -> bytes:
        """A last row with the error; the file ends with it."""
        self._file.write_batch(arrow_answers.fail_batch(self._model, self._kinds, problem, row))
        return self.end()


FORMAT = Format(
    media_type=b"application/vnd.apache.parquet",
    read=read,
    open_writer=ParquetWriter,
    is_streamed=False,
    package="pyarrow",
)
