"""The data, whole and in parts: to train on, to tune on, to measure on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bentos.training import TrainingError
from bentos.training.split import divide, divide_by_time

if TYPE_CHECKING:
    from bentos.training.data import Dataset
    from bentos.training.settings import Settings

# Of each class in each part: as many as a random split of the smallest data leaves.
MINIMUM_PART_ROWS = {"binary": 10, "multiclass": 4, "regression": 20}


@dataclass(frozen=True)
class Parts:
    """The data, whole and in parts."""

    whole: Dataset
    train: Dataset
    validation: Dataset
    test: Dataset

    @property
    def rows(self) -> dict[str, int]:
        """Number of rows of each part."""
        return {
            "training": len(self.train.outcomes),
            "validation": len(self.validation.outcomes),
            "test": len(self.test.outcomes),
        }


def partition(dataset: Dataset, chosen: Settings) -> Parts:
    """Split the data as the settings say."""
    shares = chosen.split
    if dataset.times is None:
        split = divide(dataset.strata, shares.seed, shares.validation, shares.test)
    else:
        split = divide_by_time(dataset.times, shares.validation, shares.test)
        for part in (split.train, split.validation, split.test):
            counts = np.bincount(dataset.strata[part], minlength=max(1, len(dataset.classes)))
            needed = MINIMUM_PART_ROWS[dataset.task]
            if counts.min() < needed:
                of_what = "of one class, " if dataset.classes else ""
                raise TrainingError(
                    f"a part of the split by time has {int(counts.min())} rows {of_what}"
                    f"{needed} are needed: take other shares, or another column"
                )
    return Parts(
        dataset,
        dataset.take(split.train),
        dataset.take(split.validation),
        dataset.take(split.test),
    )
