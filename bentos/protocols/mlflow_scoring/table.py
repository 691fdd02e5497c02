"""What every body of `/invocations` comes down to: columns by the feature's position. Pure.

As in MLflow, columns that the model does not have are left out, and a column whose name is not
there at all is missing in every row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from bentos.errors import Fault
from bentos.model import json_rows
from bentos.model.contract import Contract
from bentos.model.validation import escape_pointer


class Table(msgspec.Struct):
    """Rows by column.

    `columns`: by the feature's position, each with `count` values, None where missing. `place`:
    where a value stands in the body. `pointer`: where the rows stand.
    """

    columns: Mapping[int, Sequence[Any]]
    count: int
    place: Callable[[int, int], str]
    pointer: str


def refuse(*faults: Fault, rows: int = 0) -> NoReturn:
    """Raise the problem of some faults."""
    raise json_rows.invalid(list(faults), rows=rows)


def require_count(count: int, max_rows: int, pointer: str) -> int:
    """Give back a number of rows. Raises Problem for none, and for too many."""
    if count == 0:
        refuse(Fault(pointer, "empty_batch", "must have at least one row"))
    if count > max_rows:
        detail = f"may have at most {max_rows} rows a request"
        refuse(Fault(pointer, "too_many_rows", detail))
    return count


def positions_of(contract: Contract, names: Sequence[str], pointer: str) -> dict[int, int]:
    """The place of each feature in a list of column names, by the feature's position.

    Raises Problem where the name of a feature comes twice.
    """
    found: dict[int, int] = {}
    repeated = []
    for number, name in enumerate(names):
        position = contract.positions.get(name)
        if position is None:
            continue
        if position in found:
            detail = f"repeats the column '{name}'"
            repeated.append(Fault(f"{pointer}/{number}", "duplicate_key", detail))
        found.setdefault(position, number)
    if repeated:
        refuse(*repeated)
    return found


def place_by_row(contract: Contract, pointer: str) -> Callable[[int, int], str]:
    """Places in rows that name their features."""
    tokens = [escape_pointer(name) for name in contract.names]
    return lambda position, row: f"{pointer}/{row}/{tokens[position]}"


def place_by_column(contract: Contract, pointer: str) -> Callable[[int, int], str]:
    """Places in named columns."""
    tokens = [escape_pointer(name) for name in contract.names]
    return lambda position, row: f"{pointer}/{tokens[position]}/{row}"
