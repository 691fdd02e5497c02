"""Rows that a client sent again: a copy brings no news, and every test counts it as some.

Equal rows are retries only where rows are not alike by nature. So a row is a repeat if the
rows of the reference are nearly all different from each other, and this one is not among the
few that are not. Where rows are alike by nature, all of them are tested, and a warning says
when the window repeats itself more than the reference does.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.drift.decision.sample import Sample

# The share of rows that differ from which on equal rows are taken for one that was sent again.
# What rows alike by nature then weigh is too little to move a share by the least effects.
_UNIQUE_SHARE = 0.9

# The share of repeats from which on a warning says so.
_MANY = 0.01


@dataclass(frozen=True)
class Repeats:
    """What a sample repeats.

    `distinct`: rows that differ. `rows`: the sample without repeats. `warning`: one line, or
    empty.
    """

    distinct: int
    rows: Sample
    warning: str = ""


def drop(sample: Sample, natural: Sample, labelled: Collection[str] = ()) -> Repeats:
    """Leave one of each row that was sent again.

    `natural`: rows of the same kind that no client sent, which show how alike rows are.
    `labelled`: ids of predictions that have an outcome; of equal rows one of these stays.
    """
    groups, others = _group(sample, natural)
    count = len(groups)
    distinct = len(np.unique(groups))
    if not count or not len(others):
        return Repeats(distinct, sample)
    expected = _share_distinct(others, count)
    if expected < _UNIQUE_SHARE:
        found = _share_distinct(groups, len(others))
        if found >= expected * _UNIQUE_SHARE:
            return Repeats(distinct, sample)
        warning = (
            f"{1.0 - found:.0%} of the rows repeat another one, in the reference "
            f"{1.0 - expected:.0%} do: a client may send rows again; all were tested, as rows "
            "that are alike by nature cannot be told from these"
        )
        return Repeats(distinct, sample, warning)
    sizes = np.bincount(others, minlength=groups.max() + 1)
    is_natural = sizes[groups] > 1
    # Labelled rows first, then by place: the first of each group stays.
    known = set(labelled)
    has_label = np.array([name in known for name in sample.ids] or [False] * count)
    order = np.lexsort((np.arange(count), ~has_label))
    first = np.zeros(count, dtype=bool)
    first[order[np.unique(groups[order], return_index=True)[1]]] = True
    kept = np.flatnonzero(first | is_natural)
    dropped = count - len(kept)
    if not dropped:
        return Repeats(distinct, sample)
    warning = ""
    if dropped >= _MANY * count:
        warning = (
            f"{dropped:,} of {count:,} rows repeat another one and were left out, the most "
            f"frequent row came {np.bincount(groups).max():,} times: a client sends rows again"
        )
    return Repeats(distinct, sample.take(kept), warning)


def _group(sample: Sample, natural: Sample) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for each row: equal for equal rows, of both sides alike."""
    names = [name for name in sample.features if name in natural.features]
    codes = [
        pd.factorize(pd.concat([side[0], side[1]], ignore_index=True))[0]
        for side in (
            *((sample.features[name], natural.features[name]) for name in names),
            *((sample.scores[name], natural.scores[name]) for name in sample.scores),
        )
    ]
    table = pd.DataFrame(dict(enumerate(codes)))
    groups = np.asarray(table.groupby(list(table.columns), sort=False).ngroup(), dtype=np.int64)
    return groups[: len(sample)], groups[len(sample) :]


def _share_distinct(groups: NDArray[np.int64], rows: int) -> float:
    """The share of rows that differ, among at most so many: more rows repeat more."""
    if len(groups) > rows:
        groups = np.random.default_rng(1).choice(groups, rows, replace=False)
    return len(np.unique(groups)) / len(groups)
