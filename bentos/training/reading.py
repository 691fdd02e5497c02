"""A table out of a CSV or Parquet file, or one line on why the file is none."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd

from bentos.training import TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def is_parquet(path: Path) -> bool:
    """Whether a file is read as Parquet, by its name; every other name is a CSV's."""
    return path.suffix.lower() in (".parquet", ".pq")


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV or Parquet file. Raises TrainingError naming file and fault."""
    kind = "Parquet" if is_parquet(path) else "CSV"
    try:
        if kind == "Parquet":
            frame = pd.read_parquet(path)
        else:
            read_header(path)
            frame = pd.read_csv(path, low_memory=False)
    except UnicodeDecodeError:
        raise TrainingError(f"{path} is not UTF-8: save it as UTF-8") from None
    except pd.errors.EmptyDataError:
        raise TrainingError(f"{path} is empty") from None
    # Both readers raise a family of errors that share no base but ValueError and OSError.
    except (ValueError, OSError, EOFError) as error:
        raise TrainingError(describe_failure(path, kind, error)) from None
    require_unique(frame.columns.tolist(), path.name)
    if frame.empty:
        raise TrainingError(f"{path.name} has no rows")
    return frame


def describe_failure(path: Path, kind: str, error: Exception) -> str:
    """One line on a file that a reader of pandas refused, without its message: it may quote."""
    if isinstance(error, OSError) and error.strerror:
        return f"{path} cannot be read: {error.strerror}"
    return f"{path} cannot be read as {kind}"


def read_header(path: Path) -> list[str]:
    """The column names of a CSV, plain or compressed, as the file has them.

    pandas numbers a repeated name instead of refusing it.
    Raises TrainingError where a name occurs twice or the separator is none of a CSV.
    """
    first = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False)
    names = [str(name) for name in first.iloc[0].tolist()]
    if any("\0" in name for name in names):
        raise TrainingError(f"{path} cannot be read as CSV")
    for separator, called in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(names) == 1 and separator in names[0]:
            raise TrainingError(
                f"{path.name} is separated by {called}: write it with commas, and with points in "
                "its numbers"
            )
    require_unique(names, path.name)
    return names


def require_unique(names: Sequence[object], place: str) -> None:
    """Raise TrainingError where a column name occurs more than once."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise TrainingError(f"{place}: column {repeated[0]!r} occurs more than once")
