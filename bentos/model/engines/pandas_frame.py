"""Encoded rows as the pandas frame that a model was trained on. Needs the `mlflow` extra.

The type of a column comes from the contract alone, never from the values of a batch: pandas
would guess one, and a row's score would depend on the rows that arrived with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bentos.model.contract import Contract, Feature
from bentos.model.validation import EncodedRow
from bentos.model.values.checks import EncodedValue

_DTYPES = {
    "double": "float64",
    "float": "float32",
    "long": "int64",
    "integer": "int32",
    "boolean": "bool",
    # pandas' own text type: a missing text is NaN, in a column of nothing else too.
    "string": "str",
}
# numpy's integers and booleans have no missing value; pandas' types of the same size do.
_NULLABLE_DTYPES = {"long": "Int64", "integer": "Int32", "boolean": "boolean"}


def to_pandas(contract: Contract, rows: Sequence[EncodedRow]) -> pd.DataFrame:
    """Make a frame of shape (rows, features) with the contract's column types."""
    columns = list(zip(*rows, strict=True))
    return pd.DataFrame(
        {
            feature.name: _column(feature, values)
            for feature, values in zip(contract.features, columns, strict=True)
        }
    )


def _column(feature: Feature, values: Sequence[EncodedValue]) -> object:
    if feature.categories is not None:
        codes = [-1 if code is None else int(code) for code in values]
        categories: pd.Index = pd.Index(list(feature.categories))
        return pd.Categorical.from_codes(codes, categories=categories)
    dtypes = _DTYPES | _NULLABLE_DTYPES if feature.is_nullable else _DTYPES
    return pd.Series(list(values), dtype=dtypes[feature.dtype]).array
