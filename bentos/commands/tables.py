"""Rows of a CSV or Parquet file as requests would carry them. Needs the `mlflow` extra.

A CSV has no types: the contract says what each column holds. An empty cell is a missing value,
and so is what pandas takes for one (NA, NaN, null, ...) unless it is a category of the column.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from bentos.errors import Fault, Problem, TabserveError
from bentos.model.contract import Contract, Feature
from bentos.model.json_rows import RowReader
from bentos.model.validation import EncodedRow

_MISSING = ("", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "None", "null", "NULL")
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")


class BadTable(TabserveError):
    """A file cannot be read as rows of a model; the message names the place, never a value."""


def read_table(path: Path, contract: Contract) -> pd.DataFrame:
    """Read a file whose columns include the contract's features. Raises BadTable."""
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
        else:
            texts = [one for one in contract.features if _is_text(one)]
            frame = pd.read_csv(
                path,
                dtype={one.name: str for one in texts},
                keep_default_na=False,
                na_values=_missing_values(path, contract),
                low_memory=False,
            )
    except FileNotFoundError:
        raise BadTable(f"{path} does not exist") from None
    # Both readers raise a family of errors that share no base but ValueError and OSError.
    except (ValueError, OSError, EOFError):
        raise BadTable(f"{path} cannot be read as CSV or Parquet") from None
    lacking = [one.name for one in contract.features if one.name not in frame and not one.optional]
    if lacking:
        raise BadTable(f"{path.name} has no column {lacking[0]!r}, which the model needs")
    if frame.empty:
        raise BadTable(f"{path.name} has no rows")
    return frame


def _is_text(feature: Feature) -> bool:
    if feature.categories is not None:
        return all(isinstance(category, str) for category in feature.categories)
    return feature.kind == "text"


def _missing_values(path: Path, contract: Contract) -> dict[str, list[str]]:
    names = pd.read_csv(path, nrows=0).columns
    categories = {
        one.name: set(map(str, one.categories)) for one in contract.features if one.categories
    }
    return {
        name: [text for text in _MISSING if text not in categories.get(name, ())] for name in names
    }


def read_rows(
    frame: pd.DataFrame, contract: Contract, reader: RowReader
) -> Iterator[EncodedRow | list[Fault]]:
    """Take each row the way of a request's body: encoded, or the list of its faults."""
    features = [one for one in contract.features if one.name in frame]
    columns = [
        [plain(value, feature) for value in frame[feature.name].tolist()] for feature in features
    ]
    names = [feature.name for feature in features]
    for values in zip(*columns, strict=True):
        body = msgspec.json.encode(dict(zip(names, values, strict=True)))
        try:
            yield reader.read_row(body)[0]
        except Problem as problem:
            yield list(problem.faults) or [Fault("", "malformed", problem.detail)]


def plain(value: object, feature: Feature) -> object:
    """A cell as JSON would carry it for a feature; None for a missing value."""
    if value is None or value is pd.NA or value is pd.NaT or value != value:  # noqa: PLR0124 - NaN
        return None
    if isinstance(value, np.generic):
        value = value.item()
    is_whole = feature.kind == "integer" or (
        feature.categories is not None and any(type(one) is int for one in feature.categories)
    )
    if isinstance(value, float) and is_whole and value.is_integer():
        # A column of integers with a missing value is a column of floats in a file.
        return int(value)
    is_boolean = feature.kind == "boolean" or (
        feature.categories is not None and any(type(one) is bool for one in feature.categories)
    )
    if is_boolean and value in (*_TRUE, *_FALSE):
        return value in _TRUE
    return value
