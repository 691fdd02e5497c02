"""What moves a model's scores over many rows: importance, and dependence on each value. Pure.

Rows are put together in groups of equal size before anything is shown, so that no picture holds
the values of one person.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Groups of a number's values. Fewer rows than this make no group: a rare category is not shown.
GROUPS = 20
LEAST_ROWS = 10


class Group(msgspec.Struct, frozen=True):
    """Rows with like values of one feature.

    `label`: a category, `missing`, or the group's mean value as text; `place`: that mean, None for
    what has no order. `mean`, `low`, `high`: mean, 10th and 90th percentile of the contributions.
    """

    label: str
    place: float | None
    rows: int
    mean: float
    low: float
    high: float


class Dependence(msgspec.Struct, frozen=True):
    """One feature: `importance` is its mean absolute contribution, `groups` how it depends."""

    feature: str
    importance: float
    groups: tuple[Group, ...]


def summarize(
    names: Sequence[str],
    columns: Sequence[Floats],
    labels: Sequence[Sequence[str] | None],
    contributions: Floats,
) -> list[Dependence]:
    """Summarize features, the most important first, of equals the first by name.

    `columns`: of each feature, float64 (rows,), NaN for missing; a category is its place in its
    `labels`, which are None for numbers. `contributions`: (rows, features).
    """
    found = [
        Dependence(
            name,
            float(np.abs(contributions[:, place]).mean()),
            tuple(_group(columns[place], labels[place], contributions[:, place])),
        )
        for place, name in enumerate(names)
    ]
    return sorted(found, key=lambda one: (-one.importance, one.feature))


def _group(values: Floats, labels: Sequence[str] | None, parts: Floats) -> list[Group]:
    missing = np.isnan(values)
    present = ~missing
    groups: list[Group] = []
    if labels is not None:
        for code, label in enumerate(labels):
            _add(groups, label, None, parts[values == code])
    elif present.any():
        known, own = values[present], parts[present]
        order = np.argsort(known, kind="stable")
        known, own = known[order], own[order]
        # Equal values stay together: a group ends where a value does.
        wanted = np.unique(np.linspace(0, len(known), GROUPS + 1).round().astype(np.int64))
        ends = np.unique(np.searchsorted(known, known[wanted[1:] - 1], side="right"))
        starts = [0]
        for end in ends.tolist():
            # What is left at the end goes with the group before it.
            if end - starts[-1] >= LEAST_ROWS and len(known) - end >= LEAST_ROWS:
                starts.append(end)
        for start, end in pairwise([*starts, len(known)]):
            place = float(known[start:end].mean())
            _add(groups, f"{place:.4g}", place, own[start:end])
    _add(groups, "missing", None, parts[missing])
    return groups


def _add(groups: list[Group], label: str, place: float | None, parts: Floats) -> None:
    if len(parts) >= LEAST_ROWS:
        low, high = np.quantile(parts, [0.1, 0.9]).tolist()
        groups.append(Group(label, place, len(parts), float(parts.mean()), low, high))
