"""What is learned of a target column: one of two classes, one of several, or a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bentos.training import Classes, TaskName, TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Fewer rows than this of the rarer of two classes leave a test part of ten, whose metrics are
# noise; of several classes a rare one may be measured less well, but has to be in each part.
MINIMUM_CLASS_ROWS = {"binary": 50, "multiclass": 20}
# A test part of a fifth has twenty then.
MINIMUM_ROWS = 100
# Each class is a tree more in every round; LightGBM's own examples end at some dozens.
MAXIMUM_CLASSES = 50
# Whole numbers with more values than this are amounts rather than classes.
MAXIMUM_CODES = 20


def read_target(
    values: pd.Series, name: str, task: TaskName | None = None
) -> tuple[NDArray[np.generic], Classes]:
    """Labels of shape (n,) and the classes among them; float64 and none for a regression.

    `task`: what to learn; by default what `suggest` says.
    Raises TrainingError naming the column, never a value.
    """
    missing = int(values.isna().sum())
    if missing:
        raise TrainingError(f"target {name!r} is missing in {missing} rows")
    count = int(values.nunique())
    if count < 2:
        raise TrainingError(f"target {name!r} has {count} different values: nothing can be learned")
    wanted = task or suggest(values)
    if wanted == "regression":
        return _numbers(values, name), ()
    if wanted == "binary" and count != 2:
        raise TrainingError(f"target {name!r} has {count} different values, not two")
    if wanted == "multiclass" and count == 2:
        raise TrainingError(f"target {name!r} has two different values: it is binary")
    if count > MAXIMUM_CLASSES:
        raise TrainingError(
            f"target {name!r} has {count} different values, more than the {MAXIMUM_CLASSES} "
            "classes that are learned: group them"
            + (", or take --task regression" if _is_number(values) else "")
        )
    labels = _labels(values)
    classes: Classes = tuple(np.unique(labels).tolist())
    require_class_rows(np.searchsorted(np.array(classes), labels), len(classes), name)
    return labels, classes


def suggest(values: pd.Series) -> TaskName:
    """What a target's values suggest: text is classes, and so are a few whole numbers."""
    count = int(values.nunique())
    if count == 2:
        return "binary"
    if not _is_number(values):
        return "multiclass"
    numbers = pd.to_numeric(values).astype("float64")
    is_whole = bool((numbers % 1 == 0).all())
    return "multiclass" if is_whole and count <= MAXIMUM_CODES else "regression"


def describe(task: TaskName, classes: Classes, name: str) -> str:
    """One line: what is learned, and how to have it otherwise where the values leave a choice."""
    if task == "binary":
        return f"{name} has two values: learning the probability of {classes[1]}"
    if task == "regression":
        return f"{name} is a number: learning its value"
    choice = "" if isinstance(classes[0], str) else "; --task regression learns a number instead"
    return f"{name} has {len(classes)} values: learning the probability of each{choice}"


def require_class_rows(numbers: NDArray[np.int64], classes: int, name: str) -> None:
    """Raise TrainingError where a class, or a regression, has too few rows to be measured.

    `numbers`: number of each row's class, shape (n,). `classes`: how many there are.
    """
    if not classes:
        if len(numbers) < MINIMUM_ROWS:
            raise TrainingError(
                f"target {name!r} has {len(numbers)} rows, {MINIMUM_ROWS} are needed"
            )
        return
    counts = np.bincount(numbers, minlength=classes)
    rarer, needed = (
        int(counts.min()),
        MINIMUM_CLASS_ROWS["binary" if classes == 2 else "multiclass"],
    )
    if rarer < needed:
        scarce = int((counts < needed).sum())
        more = f" ({scarce} of {classes} classes have too few): group them" if classes > 2 else ""
        raise TrainingError(
            f"target {name!r} has {rarer} rows of its rarer class, {needed} are needed{more}"
        )


def _is_number(values: pd.Series) -> bool:
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype) or pd.api.types.is_bool_dtype(dtype):
        return False
    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype)


def _numbers(values: pd.Series, name: str) -> NDArray[np.generic]:
    if not _is_number(values):
        raise TrainingError(f"target {name!r} is no number: a regression cannot be learned")
    numbers = values.to_numpy(dtype=np.float64)
    infinite = int((~np.isfinite(numbers)).sum())
    if infinite:
        raise TrainingError(f"target {name!r} is infinite in {infinite} rows")
    require_class_rows(np.zeros(len(numbers), dtype=np.int64), 0, name)
    return numbers


def _labels(values: pd.Series) -> NDArray[np.generic]:
    # Objects, extension types and categories become plain numpy arrays, which MLflow's safe
    # model format takes.
    listed = values.tolist()
    is_plain = all(isinstance(value, bool | int | float) for value in listed)
    return np.array(listed if is_plain else [str(value) for value in listed])
