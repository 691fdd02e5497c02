"""Results as Arrow's columns: `row`, `id`, scores, `label`, `warnings`, `errors`.

Needs pyarrow, which it loads when called. A row without a score has nulls and its errors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bentos.errors import Problem
from bentos.model.contract import Contract
from bentos.model.loading import LoadedModel
from bentos.protocols.formats.format import TableResults

_ID_BYTES = 36


def score_names(contract: Contract) -> list[str]:
    """The names of the columns that hold scores."""
    if contract.task == "multiclass":
        return [f"score_{label}" for label in contract.classes or ()]
    return ["score"]


def schema(model: LoadedModel) -> Any:
    """The schema of answers; its metadata name the model."""
    import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types  # noqa: PLC0415 - a worker loads it when it is asked for

    contract = model.contract
    notes = pa.list_(
        pa.struct([("pointer", pa.string()), ("code", pa.string()), ("detail", pa.string())])
    )
    fields = [("row", pa.int64()), ("id", pa.string())]
    fields += [(name, pa.float64()) for name in score_names(contract)]
    if contract.classes is not None:
        fields.append(("label", _labels(pa, contract).type))
    fields += [("warnings", notes), ("errors", notes)]
    stored = model.stored
    return pa.schema(fields, metadata={"model": stored.name, "version": stored.version})


def to_batch(model: LoadedModel, kinds: Any, results: TableResults) -> Any:
    """Make a record batch of results. `kinds`: what `schema` gives."""
    import pyarrow as pa  # noqa: PLC0415 - a worker loads it when it is asked for

    rows = len(results)
    numbers = np.arange(results.first, results.first + rows, dtype=np.int64)
    lacks = np.zeros(rows, dtype=np.bool_)
    lacks[list(results.problems)] = True
    mask = lacks if results.problems else None
    scores = results.scores.reshape(rows, -1)
    arrays = [pa.array(numbers), _ids(pa, results)]
    arrays += [
        pa.array(np.ascontiguousarray(scores[:, place]), mask=mask)
        for place in range(scores.shape[1])
    ]
    if results.decided is not None:
        arrays.append(_labels(pa, model.contract).take(pa.array(results.decided, mask=mask)))
    kind = kinds.field("warnings").type
    arrays.append(_notes(pa, kind, rows, results.warnings))
    errors = {place: problem.faults for place, problem in results.problems.items()}
    for place, problem in results.problems.items():
        if not problem.faults:
            errors[place] = (_Note("", problem.kind, problem.detail),)  # type: ignore[assignment]  # has the same members
    arrays.append(_notes(pa, kind, rows, errors))
    return pa.RecordBatch.from_arrays(arrays, schema=kinds)


def fail_batch(model: LoadedModel, kinds: Any, problem: Problem, row: int) -> Any:
    """Make a record batch of one row that says why no more rows are answered."""
    results = TableResults(
        row,
        np.zeros(1, dtype="S36"),
        np.full((1, len(score_names(model.contract))), np.nan),
        None if model.contract.classes is None else np.zeros(1, dtype=np.intp),
        {0: problem},
        {},
    )
    return to_batch(model, kinds, results)


class ArrowWriter:
    """Writes an Arrow stream, a record batch for each table."""

    def __init__(self, model: LoadedModel) -> None:
        import pyarrow as pa  # noqa: PLC0415 - a worker loads it when it is asked for

        self._model = model
        self._kinds = schema(model)
        self._sink = _Sink()
        self._stream = pa.ipc.new_stream(pa.PythonFile(self._sink, mode="w"), self._kinds)

    def begin(self) -> bytes:
        """The schema's message."""
        return self._sink.take()

    def write(self, results: TableResults) -> bytes:
        """One record batch."""
        self._stream.write_batch(to_batch(self._model, self._kinds, results))
        return self._sink.take()

    def end(self) -> bytes:
        """The end of the stream."""
        self._stream.close()
        return self._sink.take()

    def fail(self, problem: Problem, row: int) -> bytes:
        """A last row with the error and no id."""
        self._stream.write_batch(fail_batch(self._model, self._kinds, problem, row))
        return self._sink.take()


class _Note:
    def __init__(self, pointer: str, code: str, detail: str) -> None:
        self.pointer, self.code, self.detail = pointer, code, detail


class _Sink:
    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def flush(self) -> None:
        """Nothing: `take` gives what was written."""

    def close(self) -> None:
        """Nothing: what was written stays until it is taken."""

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def _ids(pa: Any, results: TableResults) -> Any:
    rows = len(results)
    if not all(results.ids[:1]):
        return pa.nulls(rows, pa.string())
    # Every id has as many bytes: the offsets need no look at them.
    offsets = np.arange(0, (rows + 1) * _ID_BYTES, _ID_BYTES, dtype=np.int32)
    data = np.ascontiguousarray(results.ids)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(data))


def _labels(pa: Any, contract: Contract) -> Any:
    classes = list(contract.classes or ())
    if len({type(label) for label in classes}) > 1:
        classes = [str(label) for label in classes]
    return pa.array(classes)


def _notes(pa: Any, kind: Any, rows: int, found: Any) -> Any:
    if not found:
        return pa.nulls(rows, kind)
    return pa.array(
        [
            [{"pointer": one.pointer, "code": one.code, "detail": one.detail} for one in notes]
            if (notes := found.get(place))
            else None
            for place in range(rows)
        ],
        kind,
    )
