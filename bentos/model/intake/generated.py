"""Rows that a client could send, drawn from a contract: what a model is proved with.

The draw is seeded, so that the same model gives the same rows, and the import of a
model changes nothing the second time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bentos.model.contract import FLOAT32_MAX, INTEGER_LIMITS, Contract, Feature
from bentos.model.engines.trees import Forest

Row = dict[str, object]
# Values of a feature that rows are drawn from, by its name.
Points = Mapping[str, Sequence[object]]

_SEED = 20127
_ROWS = 300
# Values of all rows together: a wide model gets fewer rows, but at least _FEWEST.
_MOST_VALUES = 300_000
_FEWEST = 24
# Points of one feature that rows are drawn from.
_MOST_POINTS = 400
# Shares of the values that are missing, or far outside of what training saw.
_MISSING = 0.1
_EXTREME = 0.03


def generate(
    contract: Contract,
    points: Points,
    *,
    is_extreme: bool,
    seed: int = 0,
    largest: float = math.inf,
) -> list[Row]:
    """Draw rows as JSON members by feature name; None stands for null.

    `points`: values that matter, such as the thresholds of the trees or values of example
    rows. `is_extreme`: also draw numbers far outside, which trees take and other models
    may refuse. `largest`: the absolute value that no number goes beyond. The first row has
    every value, the second none that may be missing.
    """
    count = max(_FEWEST, min(_ROWS, _MOST_VALUES // max(1, len(contract.features))))
    random = np.random.default_rng((_SEED, seed))
    columns = {
        feature.name: _column(
            feature,
            points.get(feature.name, ()),
            count,
            is_extreme,
            random,
            min(largest, _limit(feature)),
        )
        for feature in contract.features
    }
    return [{name: values[row] for name, values in columns.items()} for row in range(count)]


def thresholds(contract: Contract, forest: Forest) -> dict[str, list[object]]:
    """The values around which the trees decide, by feature: each threshold and its neighbours.

    For a number that the trees split as a category: the codes of the splits.
    """
    near: list[set[float]] = [set() for _ in range(forest.features)]
    for tree in forest.trees:
        for feature, threshold, decision in zip(
            tree.features, tree.thresholds, tree.decisions, strict=True
        ):
            values = near[feature]
            if len(values) >= _MOST_POINTS:
                continue
            # Bit 0 of a decision marks a set of categories, the threshold its number.
            if decision & 1:
                start, end = tree.category_bounds[int(float(threshold)) :][:2]
                words = tree.category_words[start:end]
                values.update(
                    float(32 * number + bit)
                    for number, word in enumerate(words)
                    for bit in range(32)
                    if word >> bit & 1
                )
                values.add(float(32 * len(words)))
            else:
                value = float(threshold)
                values |= {value, math.nextafter(value, math.inf)}
    return {
        feature.name: [value for value in sorted(values) if math.isfinite(value)]
        for feature, values in zip(contract.features, near, strict=True)
    }


def _column(
    feature: Feature,
    points: Sequence[object],
    count: int,
    is_extreme: bool,
    random: np.random.Generator,
    limit: float,
) -> list[object]:
    present = _present(feature, points, count, is_extreme, random, limit)
    if feature.is_nullable:
        missing = random.random(count) < _MISSING
        missing[:2] = (False, True)
        return [
            None if gone else value for value, gone in zip(present, missing.tolist(), strict=True)
        ]
    return present


def _present(
    feature: Feature,
    points: Sequence[object],
    count: int,
    is_extreme: bool,
    random: np.random.Generator,
    limit: float,
) -> list[object]:
    if feature.categories is not None:
        codes = random.integers(0, len(feature.categories), count).tolist()
        return [feature.categories[code] for code in codes]
    if feature.kind == "boolean":
        return list((random.random(count) < 0.5).tolist())
    if feature.kind == "text":
        pool = list(points) or ["a", "b"]
        return [pool[place] for place in random.integers(0, len(pool), count).tolist()]
    return _numbers(feature, points, count, is_extreme, random, limit)


def _numbers(
    feature: Feature,
    points: Sequence[object],
    count: int,
    is_extreme: bool,
    random: np.random.Generator,
    limit: float,
) -> list[object]:
    known = [float(value) for value in points if isinstance(value, int | float)]
    if feature.profile is not None and feature.profile.minimum is not None:
        known += [feature.profile.minimum, feature.profile.maximum or feature.profile.minimum]
    known = [value for value in known if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if is_extreme:
        known += [low - 1.0, high + 1.0, 0.0, -1.0]
    # Halved first: the width of a range may be beyond float64.
    width = high / 2 - low / 2
    between = low + 2 * width * random.random(count)
    numbers = np.where(random.random(count) < 0.5, random.choice(known, count), between)
    if is_extreme:
        far = random.choice([-limit, limit, -1e6, 1e6, 1e-40], count)
        numbers = np.where(random.random(count) < _EXTREME, far, numbers)
    numbers = np.clip(numbers, -limit, limit)
    if feature.kind == "integer":
        return [int(value) for value in np.rint(numbers).tolist()]
    return list(numbers.tolist())


def _limit(feature: Feature) -> float:
    if feature.kind == "integer":
        return float(INTEGER_LIMITS[feature.dtype][1])
    return FLOAT32_MAX if feature.dtype == "float" else 1e300
