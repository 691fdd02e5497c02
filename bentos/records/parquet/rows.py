"""Records and outcomes as Arrow tables, there and back: the columns of the log's files.

Columns are built from buffers and read from them, not by `pyarrow.array` and `to_numpy`:
those import pandas wherever it is installed, some 60 MB in a worker that has no use for
it, and `to_pylist` takes four times as long.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, Literal

import msgspec
import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types
import pyarrow.compute as pc  # type: ignore[import-untyped]  # the same
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # the same

from bentos.errors import RowsRefused
from bentos.ids import PATTERN, from_milliseconds
from bentos.records.record import Outcome, Record, RecordedWarning, encode

# Rows of a row group: what a reader holds of each file it is in, a few megabytes, and what
# is skipped by its ids. Also what is converted at once, under a millisecond a column: other
# threads of the worker wait for no more.
GROUP_ROWS = 8192

_TIME = pa.timestamp("ms", tz="UTC")


def _need(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


# `features`, `scores`, `warnings` and `reasons` are JSON; features verbatim. `time`: the one in
# `id`.
PREDICTIONS = pa.schema(
    [
        _need("id", pa.string()),
        _need("time", _TIME),
        _need("request_id", pa.string()),
        _need("model", pa.string()),
        _need("version", pa.string()),
        _need("contract", pa.string()),
        _need("environment", pa.string()),
        _need("features", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("scores", pa.string()),
        pa.field("label", pa.string()),
        pa.field("threshold", pa.float64()),
        pa.field("consumer", pa.string()),
        pa.field("subject", pa.string()),
        pa.field("subject_key", pa.string()),
        _need("decode_us", pa.int64()),
        _need("queue_us", pa.int64()),
        _need("predict_us", pa.int64()),
        _need("encode_us", pa.int64()),
        _need("warnings", pa.string()),
        pa.field("reasons", pa.string()),
    ]
)
# Shadow rows have a folder of their own: whoever reads predictions with another engine gets
# answers alone.
SHADOWS = PREDICTIONS.append(_need("shadow", pa.string()))
# Both, on their way to the files.
_RECORDS = PREDICTIONS.append(pa.field("shadow", pa.string()))
OUTCOMES = pa.schema(
    [
        _need("id", pa.string()),
        _need("outcome", pa.string()),
        _need("revision", pa.int64()),
        _need("received", _TIME),
        _need("request_id", pa.string()),
    ]
)

# Few different values: worth a dictionary. Ids, features and scores hardly repeat.
_REPEATED = [
    *("model", "version", "contract", "environment", "label", "threshold", "consumer"),
    *("subject", "subject_key", "warnings", "reasons", "outcome"),
]
_FIELDS = Record.__struct_fields__
_DAY_MS = 86_400_000


def to_table(records: Sequence[Record]) -> pa.Table:
    """Records as a table by id, with a last column `shadow` that is null for answers.

    Of records with the same id the first one. Raises RowsRefused for an id that is no UUIDv7,
    text that is no Unicode, and numbers that 64 bits do not hold.
    """
    try:
        batches = [
            _to_batch(records[start : start + GROUP_ROWS])
            for start in range(0, len(records), GROUP_ROWS)
        ]
        return sort_unique(pa.Table.from_batches(batches, _RECORDS))
    except (ValueError, TypeError, OverflowError) as error:
        # Not the message: it may quote a value.
        raise RowsRefused(f"Parquet cannot hold a row: {type(error).__name__}") from None


def split_shadows(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The answers of a table, as `PREDICTIONS`, and its shadow rows, as `SHADOWS`."""
    is_shadow = pc.is_valid(table["shadow"])
    shadows = table.filter(is_shadow).cast(SHADOWS)
    answers = table.filter(pc.invert(is_shadow)) if shadows.num_rows else table
    return answers.drop_columns(["shadow"]), shadows


def to_records(table: pa.Table) -> Iterator[Record]:
    """The records of a table of `PREDICTIONS` or `SHADOWS`, in its order."""
    columns: dict[str, list[Any]] = {
        name: values(table[name]) if name in table.column_names else [None] * table.num_rows
        for name in _FIELDS
    }
    columns["features"] = [msgspec.Raw(text) for text in columns["features"]]
    columns["scores"] = [text and _decode_scores(text) for text in columns["scores"]]
    columns["warnings"] = [
        () if text == "[]" else _decode_warnings(text) for text in columns["warnings"]
    ]
    columns["reasons"] = [text and _decode_reasons(text) for text in columns["reasons"]]
    return (Record(*row) for row in zip(*columns.values(), strict=True))


def outcomes_to_table(outcomes: Sequence[Outcome], received_ms: int) -> pa.Table:
    """Outcomes that were all received at one time, as a table by id."""
    try:
        ordered = sorted(outcomes, key=lambda outcome: outcome.id)
        columns = [
            _checked_ids([outcome.id for outcome in ordered]),
            strings([outcome.outcome for outcome in ordered]),
            _numbers("q", pa.int64(), [outcome.revision for outcome in ordered]),
            _numbers("q", _TIME, [received_ms] * len(ordered)),
            strings([outcome.request_id for outcome in ordered]),
        ]
    except (ValueError, TypeError, OverflowError) as error:
        raise RowsRefused(f"Parquet cannot hold an outcome: {type(error).__name__}") from None
    return pa.Table.from_arrays(columns, schema=OUTCOMES)


def to_outcomes(table: pa.Table) -> Iterator[Outcome]:
    """The outcomes of a table, in its order."""
    return (
        Outcome(name, outcome, revision, from_milliseconds(count), request_id)
        for name, outcome, revision, count, request_id in zip(
            values(table["id"]),
            values(table["outcome"]),
            values(table["revision"]),
            values(table["received"]),
            values(table["request_id"]),
            strict=True,
        )
    )


def to_parquet(table: pa.Table) -> pa.Buffer:
    """A table as a Parquet file, with the statistics by which readers skip row groups."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=GROUP_ROWS,
        compression="zstd",
        use_dictionary=[name for name in _REPEATED if name in table.column_names],
        write_statistics=["id", "time", "model", "version"],
    )
    return sink.getvalue()


def complete(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """A table with these columns of `PREDICTIONS`: nulls in those that its file never had."""
    missing = [name for name in columns if name not in table.column_names]
    for name in missing:
        field = PREDICTIONS.field(name)
        table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(columns) if missing else table


def sort_unique(table: pa.Table) -> pa.Table:
    """A table by id; of rows with the same id only the first one."""
    ids = table["id"].combine_chunks()
    if len(ids) < 2 or pc.all(pc.less(ids[:-1], ids[1:])).as_py():
        return table
    table = sort(table)
    ids = table["id"].combine_chunks()
    is_first = pc.not_equal(ids[:-1], ids[1:])
    return pa.concat_tables([table[:1], table[1:].filter(is_first)])


def sort(table: pa.Table) -> pa.Table:
    """A table by id; rows with the same id stay in their order."""
    return table.take(pc.sort_indices(table, sort_keys=[("id", "ascending")]))


def split_days(table: pa.Table) -> Iterator[pa.Table]:
    """The parts of a table, sorted by id, that are of one day each, UTC."""
    while table.num_rows:
        ms = _milliseconds(table["id"][0].as_py())
        digits = f"{(ms // _DAY_MS + 1) * _DAY_MS:012x}"
        count = count_below(table, f"{digits[:8]}-{digits[8:]}")
        yield table[:count]
        table = table[count:]


def count_below(table: pa.Table, bound: str) -> int:
    """How many rows of a table have an id below a bound."""
    count: int = pc.sum(pc.less(table["id"], strings([bound])[0])).as_py() or 0
    return count


def strings(texts: Sequence[str | None]) -> pa.Array:
    """Texts as an Arrow array. Raises UnicodeEncodeError for a lone surrogate."""
    filled, validity = _fill(texts, "")
    joined = "".join(filled)
    data = joined.encode()
    if len(data) == len(joined):
        return _from_buffers(validity, map(len, filled), data)
    return _from_buffers(validity, [len(text.encode()) for text in filled], data)


def values(column: pa.ChunkedArray) -> list[Any]:
    """A column as Python values, times as milliseconds."""
    listed: list[Any] = []
    for chunk in column.chunks:
        listed += _values(chunk)
    return listed


def _to_batch(records: Sequence[Record]) -> pa.RecordBatch:
    rows = zip(*map(msgspec.structs.astuple, records), strict=True)
    fields: dict[str, Sequence[Any]] = dict(zip(_FIELDS, rows, strict=True))
    ids = fields["id"]
    columns: dict[str, pa.Array] = {
        "id": _checked_ids(ids),
        "time": _numbers("q", _TIME, [_milliseconds(name) for name in ids]),
        "features": _texts([bytes(raw) for raw in fields["features"]]),
        "scores": _texts(
            [None if scores is None else encode(scores) for scores in fields["scores"]]
        ),
        "warnings": _texts(
            [encode(warnings) if warnings else b"[]" for warnings in fields["warnings"]]
        ),
        "reasons": _texts(
            [None if reasons is None else encode(reasons) for reasons in fields["reasons"]]
        ),
    }
    for field in _RECORDS:
        if field.name not in columns:
            columns[field.name] = _BUILDERS[str(field.type)](fields[field.name])
        if columns[field.name].null_count and not field.nullable:
            raise TypeError("a required field is missing")
    return pa.RecordBatch.from_arrays([columns[field.name] for field in _RECORDS], schema=_RECORDS)


def _checked_ids(ids: Sequence[str]) -> pa.Array:
    built = strings(ids)
    if ids and not pc.all(pc.match_substring_regex(built, PATTERN)).as_py():
        raise ValueError("not a prediction id")
    # A day that no calendar has is no folder's name.
    from_milliseconds(max(map(_milliseconds, ids), default=0))
    return built


def _milliseconds(prediction_id: str) -> int:
    return int(prediction_id[:8] + prediction_id[9:13], 16)


def _texts(encoded: Sequence[bytes | None]) -> pa.Array:
    filled, validity = _fill(encoded, b"")
    built = _from_buffers(validity, map(len, filled), b"".join(filled))
    built.validate(full=True)
    return built


def _numbers(code: str, kind: pa.DataType, numbers: Sequence[Any]) -> pa.Array:
    filled, validity = _fill(numbers, 0)
    return pa.Array.from_buffers(kind, len(filled), [validity, pa.py_buffer(array(code, filled))])


def _from_buffers(validity: pa.Buffer | None, lengths: Iterable[int], data: bytes) -> pa.Array:
    offsets = array("i", accumulate(lengths, initial=0))
    buffers = [validity, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)


def _fill(column: Sequence[Any], filling: Any) -> tuple[Sequence[Any], pa.Buffer | None]:
    if None not in column:
        return column, None
    filled = [filling if value is None else value for value in column]
    flags = pa.py_buffer(bytes([value is not None for value in column]))
    # An Arrow boolean is one bit, as a bitmap of nulls is.
    bits = pa.Array.from_buffers(pa.uint8(), len(column), [None, flags]).cast(pa.bool_())
    return filled, bits.buffers()[1]


def _values(chunk: pa.Array) -> list[Any]:
    count = len(chunk)
    if chunk.null_count == count:
        return [None] * count
    is_text = pa.types.is_string(chunk.type)
    # Offsets of text are 32 bits; numbers, and times in milliseconds, are 64.
    code: Literal["i", "d", "q"] = "i" if is_text else "q"
    if pa.types.is_floating(chunk.type):
        code = "d"
    buffers = chunk.buffers()[1:]
    place = slice(chunk.offset, chunk.offset + count + is_text)
    listed: list[Any] = memoryview(buffers[0]).cast(code)[place].tolist()
    if is_text:
        listed = _split(memoryview(buffers[1] or b""), listed)
    if chunk.null_count:
        flags = memoryview(chunk.is_valid().cast(pa.uint8()).buffers()[1])
        listed = [
            value if flag else None for value, flag in zip(listed, flags[:count], strict=True)
        ]
    return listed


def _split(buffer: memoryview, offsets: Sequence[int]) -> list[str]:
    start = offsets[0]
    data = bytes(buffer[start : offsets[-1]])
    text = data.decode()
    if len(text) == len(data):
        return [text[low - start : high - start] for low, high in pairwise(offsets)]
    return [data[low - start : high - start].decode() for low, high in pairwise(offsets)]


_BUILDERS: dict[str, Callable[[Sequence[Any]], pa.Array]] = {
    "string": strings,
    "double": lambda numbers: _numbers("d", pa.float64(), numbers),
    "int64": lambda numbers: _numbers("q", pa.int64(), numbers),
}
_decode_scores = msgspec.json.Decoder(dict[str, float]).decode
_decode_warnings = msgspec.json.Decoder(tuple[RecordedWarning, ...]).decode
_decode_reasons = msgspec.json.Decoder(tuple[str, ...]).decode
