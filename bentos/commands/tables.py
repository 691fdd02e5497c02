"""Rows of a CSV or Parquet file as requests would carry them. Needs the `mlflow` extra.

A CSV has no types: the contract says what each column holds, cell by cell, so that one bad cell
is one bad row. An empty cell is a missing value, and so is what pandas takes for one (NA, NaN,
null, ...) unless it is a category of the column. Files are read in parts: memory does not grow
with them.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import math
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from bentos.errors import Fault, Problem, TabserveError
from bentos.model.contract import Contract, Feature
from bentos.model.json_rows import RowReader
from bentos.model.validation import EncodedRow
from bentos.training.reading import describe_failure, is_parquet, read_header, require_unique

# As many rows as one call of an engine takes in a request for many.
PART_ROWS = 1000

_MISSING = frozenset(("", "NA", "N/A", "#N/A", "<NA>", "NaN", "nan", "None", "null", "NULL"))
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_COMPRESSED: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
# A number as JSON has it, and as spreadsheets write it: a plus, a point at either end.
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
# Beyond what a float holds: the decoder refuses it as it does in a request.
_TOO_LARGE, _TOO_SMALL = msgspec.Raw(b"1e999"), msgspec.Raw(b"-1e999")


class BadTable(TabserveError):
    """A file cannot be read as rows of a model; the message names the place, never a value."""


def read_table(path: Path, contract: Contract) -> pd.DataFrame:
    """Read a file whole, with every column. Raises BadTable."""
    return pd.concat(read_parts(path, contract, has_all_columns=True), ignore_index=True)


def read_parts(
    path: Path, contract: Contract, rows: int = PART_ROWS, *, has_all_columns: bool = False
) -> Iterator[pd.DataFrame]:
    """Read a file in frames of at most `rows` rows; cells are objects: text, or Parquet's values.

    Columns are those of the contract that the file has, or all. Raises BadTable where a feature
    that must be there is not, or the file has no rows.
    """
    kind = "Parquet" if is_parquet(path) else "CSV"
    wanted = None if has_all_columns else set(contract.names)
    is_empty = True
    try:
        for part in (_parts_of_parquet if kind == "Parquet" else _parts_of_csv)(path, rows, wanted):
            if is_empty:
                _require_features(part, contract, path)
                is_empty = False
            yield part
    except FileNotFoundError:
        raise BadTable(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise BadTable(f"{path} is not UTF-8: save it as UTF-8") from None
    except pd.errors.EmptyDataError:
        raise BadTable(f"{path} is empty") from None
    # Both readers raise a family of errors that share no base but ValueError and OSError.
    except (ValueError, OSError, EOFError) as error:
        raise BadTable(describe_failure(path, kind, error)) from None
    if is_empty:
        raise BadTable(f"{path.name} has no rows")


def _parts_of_csv(path: Path, rows: int, wanted: set[str] | None) -> Iterator[pd.DataFrame]:
    names = read_header(path)
    taken = [place for place, name in enumerate(names) if wanted is None or name in wanted]
    opening = _COMPRESSED.get(path.suffix.lower(), open)
    # Not pandas: it fills short lines with missing values and may cut long ones.
    with opening(path, "rt", encoding="utf-8-sig", newline="") as text:
        lines = csv.reader(text)
        try:
            cells = (line for line in lines if line)
            next(cells)
            while part := list(islice(_check(cells, len(names), lines, path), rows)):
                yield pd.DataFrame(
                    {
                        names[place]: pd.Series([line[place] for line in part], dtype=object)
                        for place in taken
                    },
                    index=range(len(part)),
                )
        except csv.Error:
            raise BadTable(f"{path}: line {lines.line_num} cannot be read as CSV") from None


def _check(cells: Iterator[list[str]], width: int, lines: Any, path: Path) -> Iterator[list[str]]:
    for line in cells:
        if len(line) != width:
            raise BadTable(f"{path}: line {lines.line_num} has {len(line)} cells, not {width}")
        yield line


def _parts_of_parquet(path: Path, rows: int, wanted: set[str] | None) -> Iterator[pd.DataFrame]:
    from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]  # noqa: PLC0415 - publishes none; CSV does without

    with ParquetFile(path) as file:
        names = file.schema_arrow.names
        require_unique(names, path.name)
        taken = [name for name in names if wanted is None or name in wanted]
        for batch in file.iter_batches(batch_size=rows, columns=taken):
            # Python's own values: pandas would turn integers beside a missing one into floats.
            yield pd.DataFrame(
                {
                    name: pd.Series(column.to_pylist(), dtype=object)
                    for name, column in zip(batch.schema.names, batch.columns, strict=True)
                },
                index=range(batch.num_rows),
            )


def _require_features(part: pd.DataFrame, contract: Contract, path: Path) -> None:
    lacking = [one.name for one in contract.features if one.name not in part and not one.optional]
    if lacking:
        raise BadTable(f"{path.name} has no column {lacking[0]!r}, which the model needs")


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
    if isinstance(value, str):
        return _from_text(value, feature)
    if isinstance(value, float):
        if math.isinf(value):
            return _TOO_LARGE if value > 0 else _TOO_SMALL
        if value.is_integer() and _is_whole(feature):
            # A column of integers with a missing value is a column of floats in a file.
            return int(value)
    return value


def _from_text(text: str, feature: Feature) -> object:
    categories = feature.categories or ()
    if text in _MISSING and text not in categories:
        return None
    if any(isinstance(one, str) for one in categories) or feature.kind == "text":
        return text
    if feature.kind == "boolean" or any(type(one) is bool for one in categories):
        return text in _TRUE if text in (*_TRUE, *_FALSE) else text
    bare = text.strip()
    if _WHOLE.fullmatch(bare) and len(bare) < _MOST_DIGITS:
        return int(bare)
    return plain(float(bare), feature) if _NUMBER.fullmatch(bare) else text


# More than any column of integers holds; Python takes long for thousands of them.
_MOST_DIGITS = 40


def _is_whole(feature: Feature) -> bool:
    return feature.kind == "integer" or any(type(one) is int for one in feature.categories or ())
