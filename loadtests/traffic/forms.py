"""Every form in which tabserve takes many rows: how a body is written, and its answer read."""

from __future__ import annotations

import csv
import io
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types
from pyarrow import parquet

from loadtests.peers import bodies

Row = dict[str, Any]
Contract = Mapping[str, Any]

_BATCH = "/v1/predict/batch"
_INFER = "/v2/models/{model}/infer"
_MLFLOW = "/invocations"
_JSON = "application/json"
_ARROW = "application/vnd.apache.arrow.stream"
_PARQUET = "application/vnd.apache.parquet"
_LENGTH = "Inference-Header-Content-Length"
_NUMPY = {"FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_}


@dataclass(frozen=True)
class Body:
    """The bytes of one request, and its headers."""

    data: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Form:
    """One form. `read`: body and headers of an answer to its scores, of several classes the last.

    `rows`: of a request. `gives_labels`: a classifier answers labels, so only their number can
    be compared. `needs_booster`: only models that LightGBM scores have it.
    """

    name: str
    path: str
    write: Callable[[Sequence[Row], Contract], Body]
    read: Callable[[bytes, Mapping[str, str]], list[Any]]
    rows: int = 1000
    gives_labels: bool = False
    needs_booster: bool = False


def _json(make: Callable[[Sequence[Row], Contract], Any], rows: Sequence[Row], c: Contract) -> Body:
    return Body(json.dumps(make(rows, c)).encode(), {"Content-Type": _JSON})


def _lines(rows: Sequence[Row], _: Contract) -> Body:
    data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return Body(data, {"Content-Type": "application/x-ndjson"})


def _csv(rows: Sequence[Row], _: Contract) -> Body:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow(
            [json.dumps(cell) if isinstance(cell, bool) else cell for cell in row.values()]
        )
    return Body(text.getvalue().encode(), {"Content-Type": "text/csv"})


def _table(rows: Sequence[Row]) -> Any:
    return pa.table({name: pa.array([row[name] for row in rows]) for name in rows[0]})


def _arrow(rows: Sequence[Row], _: Contract) -> Body:
    table, sink = _table(rows), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return Body(sink.getvalue().to_pybytes(), {"Content-Type": _ARROW})


def _parquet(rows: Sequence[Row], _: Contract) -> Body:
    sink = pa.BufferOutputStream()
    parquet.write_table(_table(rows), sink)
    return Body(sink.getvalue().to_pybytes(), {"Content-Type": _PARQUET})


def _split(rows: Sequence[Row], contract: Contract) -> Any:
    data = [list(row.values()) for row in rows]
    split = {"columns": list(rows[0]), "data": data}
    return {"dataframe_split": split, **bodies.probabilities(contract)}


def _binary(rows: Sequence[Row], contract: Contract) -> Body:
    """Triton's binary tensors, asked for in the answer, too."""
    document, parts = bodies.named_tensors(rows, contract), []
    for tensor in document["inputs"]:
        values = tensor.pop("data")
        if tensor["datatype"] == "BYTES":
            texts = [b"" if value is None else value.encode() for value in values]
            part = b"".join(struct.pack("<I", len(text)) + text for text in texts)
        else:
            part = np.array(values, dtype=_NUMPY[tensor["datatype"]]).tobytes()
        tensor["parameters"] = {"binary_data_size": len(part)}
        parts.append(part)
    document["parameters"] = {"binary_data_output": True}
    head = json.dumps(document).encode()
    headers = {"Content-Type": "application/octet-stream", _LENGTH: str(len(head))}
    return Body(b"".join([head, *parts]), headers)


def _read_json(take: Callable[[Any], list[Any]], body: bytes, _: Mapping[str, str]) -> list[Any]:
    return take(json.loads(body))


def _read_lines(body: bytes, _: Mapping[str, str]) -> list[Any]:
    return [bodies.score(json.loads(line)) for line in body.splitlines()]


def _last_score(names: Sequence[str]) -> str:
    return [name for name in names if name == "score" or name.startswith("score_")][-1]


def _read_csv(body: bytes, _: Mapping[str, str]) -> list[Any]:
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    name = _last_score(list(rows[0]))
    return [float(row[name]) for row in rows]


def _read_table(table: Any) -> list[Any]:
    scores: list[Any] = table[_last_score(table.column_names)].to_pylist()
    return scores


def _read_arrow(body: bytes, _: Mapping[str, str]) -> list[Any]:
    return _read_table(pa.ipc.open_stream(body).read_all())


def _read_parquet(body: bytes, _: Mapping[str, str]) -> list[Any]:
    return _read_table(parquet.read_table(pa.BufferReader(body)))


def _read_binary(body: bytes, headers: Mapping[str, str]) -> list[Any]:
    # Names of headers have no case.
    length = int({name.lower(): value for name, value in headers.items()}[_LENGTH.lower()])
    output = json.loads(body[:length])["outputs"][0]
    size = output["parameters"]["binary_data_size"]
    values = np.frombuffer(body[length : length + size], dtype=np.float64)
    scores: list[Any] = values.reshape(output["shape"])[:, -1].tolist()
    return scores


def _read_one(answer: Any) -> list[Any]:
    return [bodies.score(answer)]


_read_predictions = partial(_read_json, bodies.predictions)
_read_outputs = partial(_read_json, bodies.outputs)

# What the others are measured by.
BASE = "JSON"
FORMS = (
    Form(BASE, _BATCH, partial(_json, bodies.instances), _read_predictions),
    Form("JSON lines", _BATCH, _lines, _read_lines),
    Form("CSV", _BATCH, _csv, _read_csv),
    Form("Arrow stream", _BATCH, _arrow, _read_arrow),
    Form("Parquet", _BATCH, _parquet, _read_parquet),
    Form(
        "Open Inference, JSON",
        _INFER,
        partial(_json, bodies.named_tensors),
        partial(_read_json, bodies.first_output),
    ),
    Form("Open Inference, binary", _INFER, _binary, _read_binary),
    Form("MLflow, records", _MLFLOW, partial(_json, bodies.records), _read_outputs),
    Form("MLflow, split", _MLFLOW, partial(_json, _split), _read_outputs),
    Form("MLflow, CSV", _MLFLOW, _csv, _read_outputs, gives_labels=True),
    Form("MLflow, Parquet", _MLFLOW, _parquet, _read_outputs, gives_labels=True),
    Form(
        "JSON, one row",
        "/v1/predict",
        partial(_json, bodies.one),
        partial(_read_json, _read_one),
        rows=1,
    ),
    Form(
        "explained, one row",
        "/v1/explain",
        partial(_json, bodies.one),
        partial(_read_json, _read_one),
        rows=1,
        needs_booster=True,
    ),
    Form(
        "explained, 100 rows",
        f"{_BATCH}?explain=true",
        partial(_json, bodies.instances),
        _read_predictions,
        rows=100,
        needs_booster=True,
    ),
)
