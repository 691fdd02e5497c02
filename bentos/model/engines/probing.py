"""Random rows around the thresholds of a model's trees: where scorers would differ. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bentos.model.engines.trees import Forest

_SEED = 20051
_MOST_ROWS = 10_000
_FEWEST_ROWS = 100
# All rows together, and those that are held at a time. A matrix of 10,000 rows and 10,000
# features would take 800 MB, and a worker would never be ready under its memory limit.
_MOST_BYTES = 64 * 2**20
_CHUNK_BYTES = 4 * 2**20
_BYTES_PER_VALUE = 8
# Thresholds of a feature that rows are drawn around.
_MOST_THRESHOLDS = 200
# LightGBM's kZeroThreshold, a float32 constant: what is nearer to zero is zero.
_ZERO = 1.0000000180025095e-35
_CATEGORICAL = 1


def count_rows(features: int) -> int:
    """How many rows are drawn for a model of so many features: bounded by their bytes."""
    most = _MOST_BYTES // (_BYTES_PER_VALUE * max(1, features))
    return max(_FEWEST_ROWS, min(_MOST_ROWS, most))


def random_matrices(forest: Forest) -> Iterator[NDArray[np.float64]]:
    """Draw rows for a comparison, in float64 matrices of at most 4 MiB, or of one row.

    They are seeded, and drawn on, next to and between the thresholds of the trees, around
    zero and far outside, with missing values among them. All values are finite or NaN, as
    those of validated rows are.
    """
    random = np.random.default_rng(_SEED)
    points = [np.array(sorted(values)) for values in _near_thresholds(forest, random)]
    left = count_rows(forest.features)
    most = max(1, _CHUNK_BYTES // (_BYTES_PER_VALUE * max(1, forest.features)))
    while left:
        rows = min(left, most)
        left -= rows
        matrix = np.empty((rows, forest.features), dtype=np.float64)
        for feature, values in enumerate(points):
            # Halved, because the width of a range may be beyond float64.
            low, high = values[0] / 2 - 0.5, values[-1] / 2 + 0.5
            between = 2 * random.uniform(low, high, rows)
            on_points = random.random(rows) < 0.5
            matrix[:, feature] = np.where(on_points, random.choice(values, rows), between)
        np.nan_to_num(matrix, copy=False)
        matrix[random.random(matrix.shape) < 0.01] = 1e300
        matrix[random.random(matrix.shape) < 0.1] = np.nan
        yield matrix


def _near_thresholds(forest: Forest, random: np.random.Generator) -> list[set[float]]:
    near = [{0.0, -1.0, 1e-36, -1e-36, _ZERO} for _ in range(forest.features)]
    for tree in forest.trees:
        for feature, text, decision in zip(
            tree.features, tree.thresholds, tree.decisions, strict=True
        ):
            values = near[feature]
            if len(values) >= _MOST_THRESHOLDS:
                continue
            # Categories are small codes; their threshold is the number of a set.
            is_category = decision & _CATEGORICAL
            value = float(random.integers(0, 64)) if is_category else float(text)
            # LightGBM writes an infinite threshold where a split parts missing from present.
            around = (value, math.nextafter(value, math.inf), math.nextafter(value, -math.inf))
            values.update(one for one in around if math.isfinite(one))
    return near
