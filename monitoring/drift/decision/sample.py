"""A sample of rows, as every test sees it: typed by the contract, bound by name.

Numbers are float64 with NaN for missing, rounded as the model sees them; everything else is
text with None for missing. So a value compares equal whether it came from Parquet or from JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bentos.model.contract import Contract, Feature

# The reference's columns of scores (`bentos.model.bundle`, which writes it, needs numpy 2's world).
SCORE_PREFIX = "__score__"

# Stands for a category whose text was not kept: the service scored it as missing, and said so.
UNSEEN = "(not a training category)"


@dataclass(frozen=True)
class Sample:
    """Rows of one side.

    `features`: shape (n, features), by name; a column that was not recorded is absent.
    `scores`: float64, shape (n, scores): one column named "", or one for each class.
    `ids`: of the predictions, empty for a reference. `recorded`: for a feature that only some
    rows have, which ones: bool, shape (n,); elsewhere its value is no missing one.
    """

    features: pd.DataFrame
    scores: pd.DataFrame
    ids: tuple[str, ...] = ()
    recorded: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, positions: NDArray[np.intp]) -> Sample:
        """The rows at these positions, in this order; repeated ones are repeated."""
        return Sample(
            self.features.iloc[positions].reset_index(drop=True),
            self.scores.iloc[positions].reset_index(drop=True),
            tuple(self.ids[position] for position in positions) if self.ids else (),
            {name: rows[positions] for name, rows in self.recorded.items()},
        )


def find_recorded(sample: Sample, name: str) -> pd.Series | None:
    """The values of the rows that have a feature; None where it was never recorded."""
    column = sample.features.get(name)
    if column is None or name not in sample.recorded:
        return column
    return column[sample.recorded[name]]


def kind_of(feature: Feature) -> Literal["numeric", "categorical"]:
    """Which family of tests a feature gets."""
    return "numeric" if feature.kind in ("float", "integer") else "categorical"


def find_threshold(contract: Contract) -> float:
    """From which score on the second class is decided for, as the service does it."""
    # Where training chose none.
    return 0.5 if contract.threshold is None else contract.threshold


def write_category(value: object) -> str | None:
    """A category's one text: the number 1 is the same as 1.0, and missing is None."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def share_out(importance: Mapping[str, float], contract: Contract) -> dict[str, float]:
    """Each feature's share of the model's gain; equal shares where nothing is known."""
    gains = {name: max(0.0, importance.get(name, 0.0)) for name in contract.names}
    gains = {name: gain if np.isfinite(gain) else 0.0 for name, gain in gains.items()}
    total = sum(gains.values())
    if np.isinf(total):
        # Each is a float64, their sum is not.
        largest = max(gains.values())
        gains = {name: gain / largest for name, gain in gains.items()}
        total = sum(gains.values())
    if total <= 0:
        return {name: 1.0 / len(gains) for name in gains}
    return {name: gain / total for name, gain in gains.items()}
