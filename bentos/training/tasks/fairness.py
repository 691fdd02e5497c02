"""How the model treats groups: the same numbers for each value of a column.

Pure, and no verdict: it shows the differences. Which of them is unfair, and whether a column
may be used at all, is for people to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from bentos.training import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from bentos.training.settings import SliceSettings

    # A group's outcomes and scores in, its numbers out.
    Measure = Callable[[NDArray[Any], NDArray[np.float64]], dict[str, float | None]]

MISSING = "missing"


@dataclass(frozen=True)
class Slice:
    """One group's rows and numbers; a rate over no rows is None.

    Which numbers there are is the task's to say (`Task.measure_group`).
    """

    column: str
    group: str
    rows: int
    numbers: Mapping[str, float | None]

    def as_dict(self) -> dict[str, object]:
        """Column, group, rows and every number, for a file."""
        named: dict[str, object] = {"column": self.column, "group": self.group, "rows": self.rows}
        return {**named, **self.numbers}

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers that exist, under names that MLflow takes."""
        column, group = (re.sub(r"[^0-9A-Za-z_]+", "_", text) for text in (self.column, self.group))
        return {
            f"fairness_{column}_{group}_{name}": value
            for name, value in self.numbers.items()
            if value is not None
        }


def require(features: pd.DataFrame, slices: Sequence[SliceSettings]) -> None:
    """Refuse slices that the data cannot give. Raises TrainingError naming the column."""
    for wanted in slices:
        name = wanted.column
        if name not in features:
            raise TrainingError(f"fairness.slices: the data have no column {name!r}")
        is_number = features[name].dtype == np.float64
        if is_number and not wanted.edges:
            raise TrainingError(f"fairness.slices: column {name!r} is a number and needs edges")
        if not is_number and wanted.edges:
            raise TrainingError(f"fairness.slices: column {name!r} is no number, take edges away")
        if wanted.edges and any(low >= high for low, high in pairwise(wanted.edges)):
            raise TrainingError(f"fairness.slices: the edges of {name!r} must ascend")


def compare(
    features: pd.DataFrame,
    outcomes: NDArray[Any],
    scores: NDArray[np.float64],
    slices: Sequence[SliceSettings],
    measure: Measure,
) -> list[Slice]:
    """Measure every group of every slice.

    `features`: shape (n, features); `outcomes`: shape (n,); `scores`: shape (n,) or (n,
    classes). A group without rows is left out; rows without a value are a group of their own.
    """
    found: list[Slice] = []
    for wanted in slices:
        groups = _group(features[wanted.column], wanted.edges)
        for name in groups.cat.categories:
            members = (groups == name).to_numpy(dtype=bool)
            if members.any():
                numbers = measure(outcomes[members], scores[members])
                found.append(Slice(wanted.column, str(name), int(members.sum()), numbers))
    return found


def _group(values: pd.Series, edges: list[float] | None) -> pd.Series:
    if edges:
        names = [
            f"under {edges[0]:g}",
            *(f"{low:g} to under {high:g}" for low, high in pairwise(edges)),
            f"{edges[-1]:g} and over",
        ]
        groups = pd.cut(values, [-np.inf, *edges, np.inf], right=False, labels=names)
    else:
        text = values.astype(object).map(str, na_action="ignore")
        known = values.cat.categories if hasattr(values, "cat") else sorted(set(text.dropna()))
        groups = text.astype(pd.CategoricalDtype([str(name) for name in known]))
    if groups.isna().any():
        groups = groups.cat.add_categories([MISSING]).fillna(MISSING)
    return groups


def measure_rates(
    outcomes: NDArray[np.int64], scores: NDArray[np.float64], threshold: float
) -> dict[str, float | None]:
    """Rates of a binary score over a group's rows.

    `base_rate`: share of positives. `approval_rate`: share with a score under the threshold.
    `false_negative_rate`: share of the positives that were approved. `false_positive_rate`:
    share of the negatives that were not.
    """
    approved = scores < threshold
    positive = outcomes == 1
    has_both = bool(positive.any() and not positive.all())
    return {
        "base_rate": float(positive.mean()),
        "roc_auc": float(roc_auc_score(outcomes, scores)) if has_both else None,
        "approval_rate": float(approved.mean()),
        "false_negative_rate": float(approved[positive].mean()) if positive.any() else None,
        "false_positive_rate": float((~approved[~positive]).mean()) if not positive.all() else None,
    }
