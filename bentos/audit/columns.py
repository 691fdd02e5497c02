"""Records as a table: which columns it has, and what stands in them.

A table's columns must be known before its first row. They are the record's own fields,
and one column a feature, `features.NAME`, of every contract that the window has.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from bentos.errors import TabserveError
from bentos.model.contract import Contract, Feature
from bentos.records.record import Outcome, Record, Value

# "json": the value as JSON text, for what has no one type in a table.
Kind = Literal["float", "integer", "boolean", "text", "json"]

Row = tuple[Record, Outcome | None]

_BY_TYPE: dict[type, Kind] = {float: "float", int: "integer", bool: "boolean", str: "text"}
_encode = msgspec.json.Encoder().encode


class NoTable(TabserveError):
    """The records cannot be put in one table; the message says what to do instead."""


def find_kinds(contracts: Iterable[Contract]) -> dict[str, Kind]:
    """The features of all contracts, by name, with what their columns hold."""
    kinds: dict[str, Kind] = {}
    for contract in contracts:
        for feature in contract.features:
            kind = _kind(feature)
            kinds[feature.name] = _join(kinds.get(feature.name, kind), kind)
    return kinds


def take(record: Record, kinds: dict[str, Kind]) -> list[Value]:
    """The features of a record in the order of the columns.

    Raises NoTable for a feature that no column is for.
    """
    values = record.values
    if any(name not in kinds for name in values):
        raise NoTable(
            f"record {record.id} has a feature that its registered contract does not have: "
            "read it with --format jsonl"
        )
    return [_convert(values.get(name), kind) for name, kind in kinds.items()]


def _convert(value: Value, kind: Kind) -> Value:
    if value is None:
        return None
    if kind == "float" and not isinstance(value, str):
        return float(value)
    return _encode(value).decode() if kind == "json" else value


def _kind(feature: Feature) -> Kind:
    if feature.kind != "category":
        return feature.kind
    kinds = {_BY_TYPE[type(category)] for category in feature.categories or ()}
    if kinds == {"float", "integer"}:
        return "float"
    return kinds.pop() if len(kinds) == 1 else "json"


def _join(one: Kind, other: Kind) -> Kind:
    if one == other:
        return one
    return "float" if {one, other} == {"float", "integer"} else "json"
