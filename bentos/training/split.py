"""Which row trains, which validates, which tests.

The order of rows comes from BLAKE2b over seed and position, not from a library's random
generator: the same file gives the same split whatever the versions of numpy or scikit-learn.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """Row positions, int64, ascending, disjoint, every row in one."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def shuffle(count: int, seed: int) -> NDArray[np.int64]:
    """The positions 0 to count - 1 in an order that depends on seed and position alone."""
    keys = [
        hashlib.blake2b(f"{seed}:{position}".encode(), digest_size=8).digest()
        for position in range(count)
    ]
    return np.array(sorted(range(count), key=keys.__getitem__), dtype=np.int64)


def divide(outcomes: NDArray[np.int64], seed: int, validation: float, test: float) -> Split:
    """Split rows, the same share of every class in each part.

    `outcomes`: int64, shape (n,). `validation`, `test`: shares in (0, 1).
    """
    order = shuffle(len(outcomes), seed)
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for label in np.unique(outcomes):
        members = order[outcomes[order] == label]
        tests = round(len(members) * test)
        validations = round(len(members) * validation)
        parts[0].append(members[tests + validations :])
        parts[1].append(members[tests : tests + validations])
        parts[2].append(members[:tests])
    train, validating, testing = (np.sort(np.concatenate(part)) for part in parts)
    return Split(train=train, validation=validating, test=testing)


def divide_by_time(times: NDArray[np.int64], validation: float, test: float) -> Split:
    """Split rows so that no part has a row that is earlier than one of the part before it.

    `times`: int64, shape (n,). `validation`, `test`: shares in (0, 1), kept as closely as rows
    of one time allow, which stay together.
    """
    ordered = np.sort(times)
    count = len(times)
    second = ordered[min(count - 1, round(count * (1.0 - validation - test)))]
    third = ordered[min(count - 1, round(count * (1.0 - test)))]
    return Split(
        train=np.flatnonzero(times < second),
        validation=np.flatnonzero((times >= second) & (times < third)),
        test=np.flatnonzero(times >= third),
    )


def sample(outcomes: NDArray[np.int64], rows: int, seed: int) -> NDArray[np.int64]:
    """Positions of about `rows` rows, ascending, with the same share of every class."""
    if rows >= len(outcomes):
        return np.arange(len(outcomes), dtype=np.int64)
    return divide(outcomes, seed, validation=0.0, test=rows / len(outcomes)).test
