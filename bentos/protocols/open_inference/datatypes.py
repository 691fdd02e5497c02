"""Tensor datatypes: their sizes and ranges, and which of them a feature takes. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from bentos.model.contract import Category, Feature

Family = Literal["float", "integer", "boolean", "bytes"]


class Datatype(msgspec.Struct, frozen=True):
    """One datatype of the protocol.

    `dtype`: of its elements in a binary tensor, little-endian; empty for BYTES, whose elements
    have no fixed size. `low`, `high`: of an integer.
    """

    name: str
    family: Family
    dtype: str = ""
    low: int = 0
    high: int = 0

    @property
    def size(self) -> int:
        """Bytes of one element; 0 for BYTES."""
        return np.dtype(self.dtype).itemsize if self.dtype else 0


def _integer(name: str, dtype: str) -> Datatype:
    limits = np.iinfo(dtype)
    return Datatype(name, "integer", dtype, int(limits.min), int(limits.max))


# BF16 is left out: numpy has no such type, and no column of a table does.
DATATYPES = {
    one.name: one
    for one in (
        Datatype("BOOL", "boolean", "|u1"),
        _integer("UINT8", "|u1"),
        _integer("UINT16", "<u2"),
        _integer("UINT32", "<u4"),
        _integer("UINT64", "<u8"),
        _integer("INT8", "|i1"),
        _integer("INT16", "<i2"),
        _integer("INT32", "<i4"),
        _integer("INT64", "<i8"),
        Datatype("FP16", "float", "<f2"),
        Datatype("FP32", "float", "<f4"),
        Datatype("FP64", "float", "<f8"),
        Datatype("BYTES", "bytes"),
    )
}

_NUMBERS: frozenset[Family] = frozenset({"float", "integer"})
# A category may be of any type: the contract says of which.
_TAKEN: dict[str, frozenset[Family]] = {
    "float": _NUMBERS,
    "integer": _NUMBERS,
    "boolean": frozenset({"boolean"}),
    "text": frozenset({"bytes"}),
    "category": frozenset({"float", "integer", "boolean", "bytes"}),
}

_NAMES: dict[str, str] = {
    "float": "FP64, FP32 or an integer datatype",
    "integer": "an integer datatype, or FP64 and FP32 with whole numbers",
    "boolean": "BOOL",
    "text": "BYTES",
    "category": "the datatype that the model's metadata gives",
}

_BY_DTYPE = {"double": "FP64", "float": "FP32", "long": "INT64", "integer": "INT32"}
_BY_TYPE: dict[type, str] = {str: "BYTES", int: "INT64", float: "FP64", bool: "BOOL"}


def takes(feature: Feature, datatype: Datatype) -> bool:
    """Whether a feature's values may come in a tensor of a datatype."""
    return datatype.family in _TAKEN[feature.kind]


def explain(feature: Feature) -> str:
    """Say which datatypes a feature takes."""
    return f"'{feature.name}' takes {_NAMES[feature.kind]}"


def of_feature(feature: Feature) -> str:
    """The datatype that a feature's tensor has in the model's metadata."""
    if feature.categories is not None:
        return of_categories(feature.categories)
    if feature.kind == "boolean":
        return "BOOL"
    return _BY_DTYPE.get(feature.dtype, "BYTES")


def of_categories(categories: tuple[Category, ...]) -> str:
    """The datatype of categories or classes; BYTES where they are of several types."""
    types = {type(one) for one in categories}
    return _BY_TYPE[types.pop()] if len(types) == 1 else "BYTES"
