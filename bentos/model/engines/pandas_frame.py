"""Encoded rows as the pandas frame that a model was trained on. Needs the `mlflow` extra."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bentos.model.contract import Contract, Feature
from bentos.model.validation import EncodedRow, EncodedValue

_NUMPY_DTYPES = {
    "double": "float64",
    "float": "float32",
    "long": "int64",
    "integer": "int32",
    "boolean": "bool",
}


def to_pandas(contract: Contract, rows: Sequence[EncodedRow]) -> pd.DataFrame:
    """Make a frame of shape (rows, features) with the signature's column types."""
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
    if feature.kind == "text":
        return np.array(values, dtype=object)
    if feature.kind == "float":
        return np.array(values, dtype=_NUMPY_DTYPES[feature.dtype])
    if any(value is None for value in values):
        # A numpy integer or boolean column cannot say missing: MLflow accepts an object.
        return np.array(values, dtype=object)
    return np.array(values, dtype=_NUMPY_DTYPES[feature.dtype])
