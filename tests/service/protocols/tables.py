"""The rows of a frame as each protocol writes them."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from tests.service.driver import Answer, App

# The features of the test models as tensors: name, datatype, struct format.
TENSORS = (
    ("amount", "FP64", "d"),
    ("count", "INT64", "q"),
    ("is_member", "BOOL", "?"),
    ("colour", "BYTES", ""),
    ("grade", "INT64", "q"),
    ("weight", "FP32", "f"),
)
LENGTH = "inference-header-content-length"

Row = Mapping[str, Any]


def infer_document(rows: Sequence[Row], **members: Any) -> dict[str, Any]:
    """The rows as JSON tensors, one a feature."""
    inputs = [
        {
            "name": name,
            "shape": [len(rows), 1],
            "datatype": datatype,
            "data": [row[name] for row in rows],
        }
        for name, datatype, _ in TENSORS
    ]
    return {"inputs": inputs, **members}


def infer_binary(rows: Sequence[Row], **members: Any) -> tuple[bytes, dict[str, str]]:
    """The rows as binary tensors: the body, and its headers."""
    inputs, parts = [], []
    for name, datatype, code in TENSORS:
        part = b"".join(_element(row[name], code) for row in rows)
        parts.append(part)
        parameters = {"binary_data_size": len(part)}
        tensor = {"name": name, "shape": [len(rows)], "datatype": datatype}
        inputs.append({**tensor, "parameters": parameters})
    document = json.dumps({"inputs": inputs, **members}).encode()
    headers = {"content-type": "application/octet-stream", LENGTH: str(len(document))}
    return b"".join([document, *parts]), headers


def _element(value: Any, code: str) -> bytes:
    if code:
        return struct.pack(f"<{code}", math.nan if value is None else value)
    text = (value or "").encode()
    return struct.pack("<I", len(text)) + text


def outputs_of(answer: Answer) -> dict[str, list[Any]]:
    """The outputs of an infer answer by name, JSON or binary, as flat lists."""
    assert answer.status == 200, answer.body[:500]
    length = answer.headers.get(LENGTH)
    document = json.loads(answer.body[: int(length)] if length else answer.body)
    place = int(length) if length else len(answer.body)
    found = {}
    for tensor in document["outputs"]:
        size = tensor.get("parameters", {}).get("binary_data_size")
        if size is None:
            found[tensor["name"]] = tensor["data"]
            continue
        part = answer.body[place : place + size]
        place += size
        assert len(part) == size
        found[tensor["name"]] = _elements(part, tensor["datatype"])
    assert place == len(answer.body)
    return found


def _elements(part: bytes, datatype: str) -> list[Any]:
    if datatype != "BYTES":
        code = {"FP64": "d", "INT64": "q", "BOOL": "?"}[datatype]
        return [value for (value,) in struct.iter_unpack(f"<{code}", part)]
    texts = []
    while part:
        (size,) = struct.unpack_from("<I", part)
        texts.append(part[4 : 4 + size].decode())
        part = part[4 + size :]
    return texts


def infer_path(app: App, rest: str = "/infer") -> str:
    """A path of the app's model."""
    return f"/v2/models/{name_of(app)}{rest}"


def name_of(app: App) -> str:
    """The name of the model that an app serves."""
    name: str = app.get("/v1/model").json()["name"]
    return name
