"""Tensors to columns: the data of each input as plain values, one a row. Pure.

A missing value is null in a JSON tensor, NaN in a tensor of floats, and an empty element of a
BYTES tensor whose feature has categories (unless the empty text is one of them).
"""

from __future__ import annotations

from math import isinf, isnan
from typing import Any

import msgspec
import numpy as np

from bentos.errors import Fault, Problem
from bentos.model import json_rows
from bentos.model.contract import Feature
from bentos.model.values.checks import NOT_FINITE
from bentos.protocols.open_inference import datatypes
from bentos.protocols.open_inference.datatypes import DATATYPES, Datatype
from bentos.protocols.open_inference.request import Tensor

# How MLServer's codecs say what a tensor holds. "pd_json": each element is a JSON text.
CONTENT_TYPES = ("np", "pd", "str", "pd_json")

_JSON_TYPES: dict[str, frozenset[type]] = {
    "float": frozenset({float, int, type(None)}),
    "integer": frozenset({int, type(None)}),
    "boolean": frozenset({bool, type(None)}),
    "bytes": frozenset({str, type(None)}),
}
_JSON_NAMES = {
    "float": "a number or null",
    "integer": "an integer or null",
    "boolean": "true, false or null",
    "bytes": "a string or null",
}


class Wrong(Exception):
    """What is wrong with one tensor: faults, with pointers below the tensor's own."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__()
        self.faults = faults


def count_rows(tensor: Tensor) -> int:
    """The number of rows of a tensor of shape [n] or [n, 1]. Raises Wrong."""
    shape = tensor.shape
    if not 1 <= len(shape) <= 2 or (len(shape) == 2 and shape[1] != 1) or shape[0] < 0:
        detail = "must be [n] or [n, 1]: each feature has a tensor of its own, by its name"
        raise Wrong(Fault("/shape", "wrong_type", detail))
    return shape[0]


def read_values(feature: Feature, tensor: Tensor, binary: bytes | None, count: int) -> list[Any]:
    """The values of a tensor, None where missing. Raises Wrong."""
    datatype = DATATYPES.get(tensor.datatype)
    if datatype is None:
        raise Wrong(Fault("/datatype", "malformed", f"must be one of {', '.join(DATATYPES)}"))
    content_type = tensor.known.get("content_type") if tensor.parameters else None
    if content_type is not None and content_type not in CONTENT_TYPES:
        detail = f"must be one of {', '.join(CONTENT_TYPES)}"
        raise Wrong(Fault("/parameters/content_type", "malformed", detail))
    is_json = content_type == "pd_json" and datatype.family == "bytes"
    if not is_json and not datatypes.takes(feature, datatype):
        raise Wrong(Fault("/datatype", "wrong_type", datatypes.explain(feature)))
    if binary is not None:
        values = _read_binary(datatype, binary, count)
    else:
        values = _read_json(datatype, tensor, count)
    if is_json:
        return _read_texts(values)
    categories = feature.categories
    is_category = datatype.family == "bytes" and categories is not None
    if is_category and "" in values and "" not in (categories or ()):
        return [value or None for value in values]
    return values


def _read_json(datatype: Datatype, tensor: Tensor, count: int) -> list[Any]:
    values = tensor.data
    if not isinstance(values, list):
        raise Wrong(Fault("/data", "missing", "is required"))
    if len(values) != count:
        raise Wrong(Fault("/data", "malformed", "must have as many elements as the shape says"))
    types = set(map(type, values))
    if list in types and len(tensor.shape) == 2:
        values = _flatten(values)
        types = set(map(type, values))
    if datatype.name == "FP16":
        raise Wrong(Fault("/datatype", "malformed", "FP16 comes as binary data only"))
    expected = _JSON_TYPES[datatype.family]
    if not types <= expected:
        _require_types(datatype, values, expected)
    if datatype.name == "FP32":
        return _round(values)
    if datatype.family == "integer":
        _require_range(datatype, values)
    return values


def _flatten(values: list[Any]) -> list[Any]:
    wrong = [
        number
        for number, value in enumerate(values)
        if not isinstance(value, list) or len(value) != 1
    ]
    if wrong:
        detail = "must be an array of one element, or all elements none"
        raise Wrong(*(Fault(f"/data/{number}", "wrong_type", detail) for number in wrong))
    return [value[0] for value in values]


def _require_types(datatype: Datatype, values: list[Any], expected: frozenset[type]) -> None:
    faults = []
    for number, value in enumerate(values):
        if type(value) in expected or (datatype.family == "integer" and _is_integral(value)):
            continue
        if value is NOT_FINITE:
            # The feature's own check says so.
            continue
        detail = f"must be {_JSON_NAMES[datatype.family]} in a tensor of {datatype.name}"
        faults.append(Fault(f"/data/{number}", "wrong_type", detail))
    if faults:
        raise Wrong(*faults)


def _is_integral(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _require_range(datatype: Datatype, values: list[Any]) -> None:
    wrong = [
        number
        for number, value in enumerate(values)
        if isinstance(value, int | float) and not datatype.low <= value <= datatype.high
    ]
    if wrong:
        detail = f"does not fit {datatype.name}"
        raise Wrong(*(Fault(f"/data/{number}", "out_of_bounds", detail) for number in wrong))


def _round(values: list[Any]) -> list[Any]:
    """Round JSON numbers to float32, which their datatype says they are."""
    rounded: list[Any] = []
    for value in values:
        if value is None or value is NOT_FINITE:
            rounded.append(value)
            continue
        try:
            with np.errstate(over="ignore"):
                single = float(np.float32(value))
        except OverflowError:
            single = float("inf")
        rounded.append(NOT_FINITE if isinf(single) else single)
    return rounded


def _read_binary(datatype: Datatype, binary: bytes, count: int) -> list[Any]:
    if datatype.family == "bytes":
        return _read_bytes(binary, count)
    if len(binary) != count * datatype.size:
        detail = "must have as many bytes of binary data as its shape and datatype say"
        raise Wrong(Fault("", "malformed", detail))
    array = np.frombuffer(binary, dtype=datatype.dtype)
    if datatype.family == "boolean":
        if (array > 1).any():
            wrong = int(np.argmax(array > 1))
            raise Wrong(Fault(f"/data/{wrong}", "malformed", "must be a byte of 0 or 1"))
        return [bool(value) for value in array.tolist()]
    values: list[Any] = array.tolist()
    if datatype.family == "float" and np.isnan(array).any():
        values = [None if isnan(value) else value for value in values]
    return values


def _read_bytes(binary: bytes, count: int) -> list[Any]:
    """Elements of BYTES: each has its length before it, four bytes, little-endian."""
    values: list[Any] = []
    place, end = 0, len(binary)
    for _ in range(count):
        if end - place < 4:
            break
        size = int.from_bytes(binary[place : place + 4], "little")
        place += 4
        if size > end - place:
            break
        try:
            values.append(binary[place : place + size].decode())
        except UnicodeDecodeError:
            detail = "is not UTF-8 text"
            raise Wrong(Fault(f"/data/{len(values)}", "malformed", detail)) from None
        place += size
    if len(values) != count or place != end:
        detail = (
            "must have binary data of as many elements as its shape says, each after its length"
        )
        raise Wrong(Fault("", "malformed", detail))
    return values


def _read_texts(values: list[Any]) -> list[Any]:
    """Elements that are JSON texts of one scalar each, as MLServer's `pd_json` has them."""
    read: list[Any] = []
    for number, text in enumerate(values):
        if text is None:
            read.append(None)
            continue
        try:
            value: Any = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError, ValueError):
            value = _read_odd(text)
        if isinstance(value, dict | list) or value is Ellipsis:
            detail = "must be the JSON text of one value"
            raise Wrong(Fault(f"/data/{number}", "malformed", detail))
        read.append(value)
    return read


def _read_odd(text: str) -> Any:
    """NaN is missing, and numbers beyond float64 are what they are; Ellipsis for no JSON."""
    try:
        return json_rows.parse(text.encode(errors="surrogatepass"), 1, 1, nan=None)
    except Problem:
        return ...
