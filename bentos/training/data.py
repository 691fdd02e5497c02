"""Rows and outcomes, from the package or from the user's file.

Numbers become float64, so that a missing value can be said; text becomes a category; booleans
stay booleans. What cannot be one of these is refused with the column's name.
"""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bentos.model.bundle import SCORE_PREFIX
from bentos.training import Classes, TaskName, TrainingError
from bentos.training.description import Description, describe_reference, describe_unknown
from bentos.training.reading import read_table
from bentos.training.schema import check
from bentos.training.split import sample
from bentos.training.tasks.target import read_target, require_class_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

PACKAGED = "credit_default.parquet"

# LightGBM writes feature names into its model text, where these characters end a name. White
# space is fine: it becomes an underscore there, and the intake knows that.
UNSAFE_NAME = re.compile(r'[\n\r\t",:\[\]{}]')

# MLflow keeps at most 36 characters of a data set's digest.
DIGEST_CHARACTERS = 32


@dataclass(frozen=True)
class Dataset:
    """Features and outcomes.

    `features`: shape (n, features); float64, bool or category of strings. `labels`: shape
    (n,), as the file has them, float64 for a regression. `classes`: the labels that occur,
    ascending; of two, the model's score is the probability of the second; a regression has
    none. `source`: where the rows are from, a URL or a file name. `times`: when each row was
    known, shape (n,), where a column of the file says so.
    """

    features: pd.DataFrame
    labels: NDArray[np.generic]
    classes: Classes
    description: Description
    source: str
    times: NDArray[np.int64] | None = None

    @property
    def task(self) -> TaskName:
        """What is learned: the probability of one of two classes, of several, or a number."""
        if not self.classes:
            return "regression"
        return "binary" if len(self.classes) == 2 else "multiclass"

    @cached_property
    def outcomes(self) -> NDArray[Any]:
        """Number of the class, int64, or the value itself, float64; shape (n,)."""
        if not self.classes:
            return np.asarray(self.labels, dtype=np.float64)
        return np.searchsorted(np.array(self.classes), self.labels).astype(np.int64)

    @property
    def strata(self) -> NDArray[np.int64]:
        """What parts have in equal shares: the class; a regression has one stratum, 0."""
        return self.outcomes if self.classes else np.zeros(len(self.labels), dtype=np.int64)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, types, rows and outcomes, the first 32 hexadecimal digits.

        Over all rows; MLflow's own digest stops at 10,000.
        """
        frame = self.features.assign(__target__=self.labels)
        if self.times is not None:
            frame = frame.assign(__time__=self.times)
        state = hashlib.sha256(repr([self.description.target.name, self.classes]).encode())
        for name in frame.columns:
            values = frame[name]
            state.update(repr((str(name), _type_name(values))).encode())
            hashes = pd.util.hash_pandas_object(values, index=False).to_numpy(dtype=np.uint64)
            state.update(hashes.astype("<u8").tobytes())
        return state.hexdigest()[:DIGEST_CHARACTERS]

    def take(self, positions: NDArray[np.int64]) -> Dataset:
        """The rows at these positions."""
        return replace(
            self,
            features=self.features.iloc[positions].reset_index(drop=True),
            labels=self.labels[positions],
            times=None if self.times is None else self.times[positions],
        )


def _type_name(values: pd.Series) -> str:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return f"category{[str(category) for category in values.dtype.categories]}"
    return "text" if values.dtype.kind in "OU" else str(values.dtype)


def load_reference() -> Dataset:
    """Load the packaged data. Raises TrainingError if the file is not the one that was shipped."""
    folder = files("bentos.training").joinpath("data")
    content = folder.joinpath(PACKAGED).read_bytes()
    published = folder.joinpath("SHA256SUMS").read_text().split()[0]
    verify(content, published)
    description = describe_reference()
    frame = pd.read_parquet(io.BytesIO(content))
    labels = frame.pop(description.target.name).to_numpy()
    check(frame, description)
    return Dataset(frame, labels, (0, 1), description, description.url)


def verify(content: bytes, checksum: str) -> None:
    """Compare bytes with a SHA-256 in hexadecimal. Raises TrainingError where they differ."""
    if hashlib.sha256(content).hexdigest() != checksum:
        raise TrainingError(f"{PACKAGED} is damaged: its SHA-256 is not the published one")


def load_file(
    path: Path,
    target: str,
    maximum_categories: int,
    drop: Sequence[str] = (),
    time: str | None = None,
    task: TaskName | None = None,
) -> Dataset:
    """Load a CSV or Parquet file.

    `maximum_categories`: a text column with more values is refused. `drop`: columns that are no
    features. `time`: column of times, which is no feature either. `task`: what to learn, by
    default what the target's values suggest.
    Raises TrainingError naming every column at fault, never a value.
    """
    frame = read_table(path)
    description = describe_unknown(path.name, target)
    if target not in frame.columns:
        raise TrainingError(f"{path.name} has no column {target!r}")
    for name in (*drop, *([] if time is None else [time])):
        if name not in frame.columns or name == target:
            raise TrainingError(f"{path.name} has no column {name!r} besides the target")
    labels, classes = read_target(frame.pop(target), target, task)
    times = None if time is None else _read_times(frame.pop(time), time)
    frame = frame.drop(columns=list(drop))
    if frame.shape[1] == 0:
        raise TrainingError(f"{path.name} has no column besides {target!r}")
    _check_names(frame)
    features = convert(frame, maximum_categories)
    check(features, description)
    return Dataset(features, labels, classes, description, str(path), times)


def _read_times(values: pd.Series, name: str) -> NDArray[np.int64]:
    """Times as whole numbers that ascend with time: their dense ranks."""
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        ranks = values.rank(method="dense")
    else:
        moments = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601")
        ranks = moments.rank(method="dense")
    unreadable = int(ranks.isna().sum())
    if unreadable:
        raise TrainingError(f"column {name!r}: {unreadable} rows have no ISO 8601 time or number")
    return np.asarray(ranks, dtype=np.int64)


def reduce(dataset: Dataset, rows: int | None, seed: int) -> Dataset:
    """Keep about `rows` rows with the same share of every class; None keeps all."""
    if rows is None:
        return dataset
    kept = dataset.take(sample(dataset.strata, rows, seed))
    require_class_rows(kept.strata, len(dataset.classes), dataset.description.target.name)
    return kept


def _check_names(frame: pd.DataFrame) -> None:
    known: set[str] = set()
    for name in frame.columns:
        if not isinstance(name, str) or not name or UNSAFE_NAME.search(name):
            raise TrainingError(
                f"column {name!r}: rename it, LightGBM's model file cannot hold line ends, tabs or "
                'any of ",:[]{} in a name'
            )
        if name.startswith(SCORE_PREFIX):
            raise TrainingError(f"column {name!r}: names may not start with {SCORE_PREFIX!r}")
        if (written := name.replace(" ", "_")) in known:
            raise TrainingError(
                f"column {name!r}: rename it, another one is alike but for spaces and underscores"
            )
        known.add(written)


def convert(frame: pd.DataFrame, maximum_categories: int) -> pd.DataFrame:
    """Every column as a feature. Raises TrainingError naming all columns that cannot be one."""
    features: dict[str, pd.Series] = {}
    faults: list[str] = []
    for name in frame.columns:
        try:
            features[name] = _convert(frame[name], maximum_categories)
        except TrainingError as error:
            faults.append(str(error))
    if faults:
        raise TrainingError("; ".join(faults))
    return pd.DataFrame(features)


def _convert(values: pd.Series, maximum_categories: int) -> pd.Series:
    name, dtype = values.name, values.dtype
    if values.isna().all():
        raise TrainingError(f"column {name!r} has no value in any of its {len(values)} rows")
    is_time = pd.api.types.is_datetime64_any_dtype(dtype) or dtype.kind == "m"
    if is_time or isinstance(dtype, pd.PeriodDtype):
        raise TrainingError(
            f"column {name!r} holds times: leave it out with --drop, split by it with --time, or "
            "turn it into numbers"
        )
    if pd.api.types.is_bool_dtype(dtype) and not isinstance(dtype, pd.CategoricalDtype):
        # A boolean with missing values has no type of its own in LightGBM.
        return _categorise(values, maximum_categories) if values.hasnans else values.astype(bool)
    if pd.api.types.is_complex_dtype(dtype):
        raise TrainingError(f"column {name!r} holds complex numbers")
    if pd.api.types.is_numeric_dtype(dtype):
        return values.astype("float64")
    return _categorise(values, maximum_categories)


def _categorise(values: pd.Series, maximum_categories: int) -> pd.Series:
    """A category of strings, in the order of their code points."""
    present = values.dropna()
    unfit = int(sum(not isinstance(value, str | Number | np.bool_) for value in present))
    if unfit:
        raise TrainingError(f"column {values.name!r}: {unfit} rows are neither text nor number")
    text = values.astype(object).map(str, na_action="ignore")
    categories = sorted(set(text.dropna()))
    if len(categories) > maximum_categories:
        if _holds_times(text):
            raise TrainingError(
                f"column {values.name!r} holds times as text: leave it out with --drop, split by "
                "it with --time, or turn it into numbers"
            )
        raise TrainingError(
            f"column {values.name!r} has {len(categories)} different texts, "
            f"more than data.maximum_categories={maximum_categories}: leave it out with --drop, or "
            "group them"
        )
    return text.astype(pd.CategoricalDtype(categories))


def _holds_times(text: pd.Series) -> bool:
    # A few texts show it; names and ids do not start with a date.
    shown = text.dropna().head(20)
    return bool(pd.to_datetime(shown, errors="coerce", utc=True, format="ISO8601").notna().all())
