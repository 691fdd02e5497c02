"""JSON bodies of `/invocations`: exactly one of MLflow's four forms of a table. Pure.

- `dataframe_split`: `{"columns": [...], "data": [[...]]}`, as `DataFrame.to_dict("split")` is;
- `dataframe_records`: a list of rows by name;
- `instances`: the same, or what `inputs` takes;
- `inputs`: columns by name, one row by name, or a list of rows by name.

A model of one feature takes a plain list of its values in the last two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bentos.errors import Fault
from bentos.model.contract import Contract
from bentos.model.values.json_limits import require_few_values
from bentos.protocols.json_document import DocumentReader
from bentos.protocols.mlflow_scoring.table import (
    Table,
    place_by_column,
    place_by_row,
    positions_of,
    refuse,
    require_count,
)

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")

# Columns that the model does not have, for each row, and members that may be mistakes.
_SPARE_COLUMNS = 20
_SPARE_MEMBERS = 50_000
_SPARE_OBJECTS = 1000

_UNSET = msgspec.UNSET


class Split(msgspec.Struct, gc=False):
    """A table of rows by position, with the names of its columns."""

    columns: list[str]
    data: list[Any]
    # pandas writes it; no feature is in it.
    index: Any = _UNSET


class Document(msgspec.Struct, gc=False):
    """The body. Members that are not listed here are ignored, as MLflow ignores them."""

    dataframe_split: Split | msgspec.UnsetType = _UNSET
    dataframe_records: list[dict[str, Any]] | msgspec.UnsetType = _UNSET
    instances: list[Any] | dict[str, Any] | msgspec.UnsetType = _UNSET
    inputs: list[Any] | dict[str, Any] | msgspec.UnsetType = _UNSET
    params: dict[str, Any] | msgspec.UnsetType | None = _UNSET


def read(contract: Contract, body: bytes, max_rows: int) -> tuple[Table, Mapping[str, Any]]:
    """Read a body: its table, and its `params`. Raises Problem for everything that is malformed."""
    most = max_rows * (len(contract.features) + _SPARE_COLUMNS) + _SPARE_MEMBERS
    require_few_values(body, most)
    document = _READER.read(body, max_rows + _SPARE_OBJECTS, most)
    given = [form for form in FORMS if getattr(document, form) is not _UNSET]
    if len(given) != 1:
        detail = f"must have exactly one of {', '.join(FORMS)}"
        refuse(Fault("", "missing" if not given else "unknown_member", detail))
    form = given[0]
    table = _read_form(contract, form, getattr(document, form), max_rows)
    return table, document.params if isinstance(document.params, dict) else {}


def _read_form(contract: Contract, form: str, value: Any, max_rows: int) -> Table:
    pointer = f"/{form}"
    if isinstance(value, Split):
        return _read_split(contract, value, pointer, max_rows)
    if isinstance(value, dict):
        return _read_columns(contract, value, pointer, max_rows)
    require_count(len(value), max_rows, pointer)
    types = set(map(type, value))
    has_rows = all(issubclass(kind, dict) for kind in types)
    if len(contract.features) == 1 and not any(issubclass(kind, dict | list) for kind in types):
        return Table({0: value}, len(value), lambda _, row: f"{pointer}/{row}", pointer)
    if not has_rows:
        detail = "must be an object of named features"
        wrong = (number for number, row in enumerate(value) if not isinstance(row, dict))
        refuse(*(Fault(f"{pointer}/{number}", "wrong_type", detail) for number in wrong))
    return _read_records(contract, value, pointer)


def _read_records(contract: Contract, rows: Sequence[dict[str, Any]], pointer: str) -> Table:
    first = rows[0]
    columns = {
        position: [row.get(name) for row in rows]
        for position, name in enumerate(contract.names)
        # As in pandas, a column is there where any row has it.
        if name in first or any(name in row for row in rows)
    }
    return Table(columns, len(rows), place_by_row(contract, pointer), pointer)


def _read_split(contract: Contract, split: Split, pointer: str, max_rows: int) -> Table:
    rows = split.data
    count = require_count(len(rows), max_rows, f"{pointer}/data")
    found = positions_of(contract, split.columns, f"{pointer}/columns")
    width = len(split.columns)
    if width == 1 and list not in set(map(type, rows)):
        rows = [[value] for value in rows]
    wrong = [
        number for number, row in enumerate(rows) if not isinstance(row, list) or len(row) != width
    ]
    if wrong:
        detail = "must be an array with a value for each column"
        refuse(*(Fault(f"{pointer}/data/{number}", "wrong_type", detail) for number in wrong))
    by_number = list(zip(*rows, strict=True))
    columns = {position: by_number[number] for position, number in found.items()}
    return Table(
        columns,
        count,
        lambda position, row: f"{pointer}/data/{row}/{found[position]}",
        pointer,
    )


def _read_columns(
    contract: Contract, given: Mapping[str, Any], pointer: str, max_rows: int
) -> Table:
    positions = contract.positions
    columns = {positions[name]: values for name, values in given.items() if name in positions}
    place = place_by_column(contract, pointer)
    is_list = {isinstance(values, list) for values in columns.values()}
    if is_list == {False}:
        # One row: each column is a value.
        columns = {position: [value] for position, value in columns.items()}
        return Table(columns, 1, lambda position, _: place(position, 0)[:-2], pointer)
    if len(is_list) == 2:
        wrong = [position for position, one in columns.items() if not isinstance(one, list)]
        detail = "must be an array, as the other columns are"
        refuse(*(Fault(place(one, 0)[:-2], "wrong_type", detail) for one in wrong))
    counts = {len(values) for values in columns.values()}
    if len(counts) > 1:
        refuse(Fault(pointer, "malformed", "must have as many values in every column"))
    count = require_count(counts.pop() if counts else 0, max_rows, pointer)
    return Table(columns, count, place, pointer)


def _count_members(document: Document) -> int:
    members = sum(getattr(document, name) is not _UNSET for name in (*FORMS, "params"))
    split = document.dataframe_split
    if isinstance(split, Split):
        members += 2 if split.index is _UNSET else 3
    for value in (document.instances, document.inputs, document.dataframe_records):
        if isinstance(value, dict):
            members += len(value)
        elif isinstance(value, list):
            members += sum(len(row) for row in value if isinstance(row, dict))
    return members + (len(document.params) if isinstance(document.params, dict) else 0)


def _strings(document: Document) -> Iterator[str]:
    split = document.dataframe_split
    if isinstance(split, Split):
        yield from split.columns
        yield from _texts(split.data)
    for value in (
        *(document.instances, document.inputs, document.dataframe_records),
        document.params,
    ):
        yield from _texts(value)


def _texts(value: Any) -> Iterator[str]:
    """The strings of a value and of what it holds: as deep as a table goes."""
    for inner in _members(value):
        if isinstance(inner, str):
            yield inner
        for innermost in _members(inner):
            if isinstance(innermost, str):
                yield innermost


def _members(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list):
        yield from value


_READER = DocumentReader(Document, _count_members, _strings)
