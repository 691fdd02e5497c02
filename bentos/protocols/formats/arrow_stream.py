"""`application/vnd.apache.arrow.stream`: record batches, each read as it arrives. Pure.

pyarrow's reader waits for bytes, so the messages are cut out before it, measured, and given
to it whole.
"""

from __future__ import annotations

from typing import Any

from bentos.errors import Fault, Problem
from bentos.model.json_rows import invalid
from bentos.model.loading import LoadedModel
from bentos.model.tables.table import Table
from bentos.protocols.formats import arrow_columns, arrow_messages
from bentos.protocols.formats.arrow_answers import ArrowWriter
from bentos.protocols.formats.arrow_messages import Message, malformed
from bentos.protocols.formats.format import Format, TableLimits, too_many_rows


class ArrowParts:
    """A stream of record batches that arrives in pieces; a part is one message."""

    def __init__(self, model: LoadedModel, limits: TableLimits) -> None:
        self._model = model
        self._limits = limits
        self._data = bytearray()
        self._is_over = False
        self._source = _Source()
        self._reader: Any = None
        self._bound: dict[int, int] = {}
        # Bytes of each dictionary, unpacked.
        self._dictionaries: dict[int, int] = {}
        self._first = 0

    @property
    def held_bytes(self) -> int:
        """The bytes that are held."""
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Take in the next piece."""
        self._data += data

    def take(self, *, is_idle: bool) -> bytes | None:
        """The next message that is there whole. Raises Problem."""
        if self._is_over:
            if self._data:
                raise malformed("something follows its end")
            return None
        size = arrow_messages.measure(self._data, self._limits.max_bytes)
        if size == 0:
            self._is_over = True
            del self._data[:8]
            return self.take(is_idle=is_idle)
        if size is None or size > len(self._data):
            return None
        with memoryview(self._data) as view:
            part = bytes(view[:size])
        del self._data[:size]
        return part

    def finish(self) -> bytes | None:
        """Nothing: a message that is not whole is none. Raises Problem for one."""
        if self._data:
            raise malformed("it ends in the middle of a message")
        if self._reader is None:
            raise malformed("it has no schema")
        return None

    def read(self, part: bytes) -> Table | None:
        """Read one message; a table comes of a record batch alone. Raises Problem."""
        message = arrow_messages.inspect(part)
        self._require_room(message)
        self._source.feed(part)
        if message.kind == "schema":
            self._open()
            return None
        if self._reader is None:
            raise malformed("it does not begin with a schema")
        if message.kind == "dictionary":
            # Read together with the record batch that follows.
            if self._source.held_bytes > 2 * self._limits.max_bytes:
                raise Problem("too-large", "the dictionaries before a record batch are too large")
            return None
        batch = _shielded(self._read_batch)
        first, self._first = self._first, self._first + batch.num_rows
        if not batch.num_rows:
            return None
        return arrow_columns.encode(
            self._model, batch.columns, self._bound, batch.num_rows, self._limits, first
        )

    def _open(self) -> None:
        if self._reader is not None:
            raise malformed("it has a second schema")
        self._reader = _shielded(self._open_reader)
        self._bound = arrow_columns.bind(self._model, self._reader.schema)

    def _open_reader(self) -> Any:
        import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types  # noqa: PLC0415 - a worker loads it when it is asked for

        reader = pa.ipc.open_stream(pa.PythonFile(self._source, mode="r"))
        # Raises for names that are not UTF-8.
        _ = reader.schema.names
        return reader

    def _read_batch(self) -> Any:
        batch = self._reader.read_next_batch()
        batch.validate(full=True)
        return batch

    def _require_room(self, message: Message) -> None:
        limits = self._limits
        if message.kind == "dictionary":
            known = self._dictionaries.get(message.dictionary, 0) if message.is_delta else 0
            self._dictionaries[message.dictionary] = known + message.unpacked_bytes
            is_large = sum(self._dictionaries.values()) > limits.max_bytes
            # A value takes a bit at least.
            is_large |= message.rows > 8 * message.unpacked_bytes
        else:
            if message.rows > limits.max_rows:
                raise too_many_rows(limits.max_rows)
            is_large = message.unpacked_bytes > limits.max_bytes
        if is_large:
            raise Problem(
                "too-large",
                f"a record batch, and all dictionaries, may have at most {limits.max_bytes} bytes "
                "unpacked: send smaller ones",
            )


class _Source:
    """Messages as a file that pyarrow reads."""

    closed = False

    def __init__(self) -> None:
        self._data = bytearray()

    @property
    def held_bytes(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        self._data += data

    def read(self, size: int = -1) -> bytes:
        size = len(self._data) if size < 0 else size
        with memoryview(self._data) as view:
            data = bytes(view[:size])
        del self._data[:size]
        return data

    def close(self) -> None:
        """Nothing: pyarrow closes what it reads."""


def _shielded(work: Any) -> Any:
    """Call pyarrow; whatever it does not like of the bytes is malformed."""
    try:
        return work()
    except Exception:
        # Its messages quote what was sent, and its errors share no base but Exception.
        raise malformed("its library cannot read it") from None


def read(model: LoadedModel, body: bytes, limits: TableLimits) -> Table:
    """Read a whole stream; its rows together are within the limits. Raises Problem."""
    parts = ArrowParts(model, limits)
    parts.feed(body)
    tables: list[Table] = []
    rows = 0
    while (part := parts.take(is_idle=True)) is not None:
        table = parts.read(part)
        if table is not None:
            tables.append(table)
            rows += len(table)
            if rows > limits.max_rows:
                raise too_many_rows(limits.max_rows)
    parts.finish()
    if not tables:
        raise invalid([Fault("", "empty_batch", "must have at least one row")])
    return Table.join(tables)


FORMAT = Format(
    media_type=b"application/vnd.apache.arrow.stream",
    read=read,
    open_writer=ArrowWriter,
    open_parts=ArrowParts,
    package="pyarrow",
)
