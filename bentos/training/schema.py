"""What the columns must hold before anything is learned from them.

A pandera schema, made from the data's description where there is one. Faults name the column
and how many rows break the rule; a row's value never leaves this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pandera.pandas as pa

from bentos.training import TrainingError

if TYPE_CHECKING:
    from bentos.training.description import Column, Description


def build(frame: pd.DataFrame, description: Description) -> pa.DataFrameSchema:
    """Make the schema of a frame of features: types as they are, rules as described.

    Described columns may not be missing from the frame, and without a description every
    column of the frame is taken. Infinite numbers are refused in any case: no client could
    send them as JSON.
    """
    described = {column.name: column for column in description.features}
    names = list(described) or [str(name) for name in frame.columns]
    return pa.DataFrameSchema(
        {name: _column(frame, name, described.get(name)) for name in names},
        strict=True,
    )


def _column(frame: pd.DataFrame, name: str, column: Column | None) -> pa.Column:
    dtype = frame[name].dtype if name in frame else None
    if column is not None and column.categories is not None:
        expected = pd.CategoricalDtype(column.categories)
        return pa.Column(expected, nullable=True)
    if isinstance(dtype, pd.CategoricalDtype) or (column is None and dtype == np.bool_):
        return pa.Column(dtype, nullable=True)
    checks = [pa.Check(np.isfinite, error="is infinite", ignore_na=True)]
    if column is not None and column.minimum is not None:
        checks.append(pa.Check.ge(column.minimum, error=f"is under {column.minimum:g}"))
    if column is not None and column.maximum is not None:
        checks.append(pa.Check.le(column.maximum, error=f"is over {column.maximum:g}"))
    return pa.Column("float64", checks=checks, nullable=True)


def check(frame: pd.DataFrame, description: Description) -> None:
    """Check a frame of features, shape (n, features).

    Raises TrainingError naming every column that breaks a rule and its number of rows.
    """
    try:
        build(frame, description).validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        raise TrainingError("; ".join(_faults(errors.failure_cases, len(frame)))) from None


# What pandera calls the two ways in which columns differ from the schema's.
COLUMN_RULES = {"column_in_schema": "not expected", "column_in_dataframe": "missing"}


def _faults(cases: pd.DataFrame, rows: int) -> list[str]:
    """One line a broken rule. `cases` holds values; only names and counts leave."""
    lines: list[str] = []
    mistyped: set[str] = set()
    # Types come first: rules that could not even be tried on a mistyped column say nothing new.
    ranked = cases.assign(rank=~cases["check"].astype(str).str.startswith("dtype"))
    for keys, group in ranked.groupby(
        ["rank", "schema_context", "column", "check"], dropna=False, sort=True
    ):
        _, context, column, rule = map(str, keys)
        if context != "Column":
            # Here the failing "value" is the name of a column.
            reason = COLUMN_RULES.get(rule, rule)
            lines += [f"column {name!r}: {reason}" for name in sorted(group["failure_case"])]
        elif rule.startswith("dtype"):
            mistyped.add(column)
            lines.append(f"column {column!r}: {rows} of {rows} rows: not {rule}")
        elif column not in mistyped:
            lines.append(f"column {column!r}: {len(group)} of {rows} rows: {rule}")
    return lines
