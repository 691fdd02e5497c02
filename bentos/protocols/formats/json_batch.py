"""`application/json`: `{"instances": [...]}` in, `{"model", "predictions"}` out. Pure."""

from __future__ import annotations

import msgspec

from bentos.errors import Problem
from bentos.model.loading import LoadedModel
from bentos.model.tables.table import Table
from bentos.protocols.formats.format import Format, TableLimits, TableResults
from bentos.protocols.formats.json_lines import LineWriter


def read(model: LoadedModel, body: bytes, limits: TableLimits) -> Table:
    """Read a whole body within the limits. Raises Problem."""
    return model.reader.read_instances(body, limits.max_rows)


class JsonWriter:
    """Writes one document, an item of `predictions` for each row, with its number."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._lines = LineWriter(model)
        self._encode = msgspec.json.Encoder().encode
        self._is_first = True

    def begin(self) -> bytes:
        """All before the first prediction."""
        return b'{"model":' + bytes(self._model.reference) + b',"predictions":['

    def write(self, results: TableResults) -> bytes:
        """The next predictions."""
        listed = self._encode(self._lines.lines(results))[1:-1]
        before, self._is_first = (b"" if self._is_first else b","), False
        return before + listed

    def end(self) -> bytes:
        """All after the last prediction."""
        return b"]}"

    def fail(self, problem: Problem, row: int) -> bytes:
        """A last item with the error; the document does not end."""
        line = self._lines.fail(problem, row).rstrip(b"\n")
        return line if self._is_first else b"," + line


FORMAT = Format(media_type=b"application/json", read=read, open_writer=JsonWriter)
