"""p-values and effects to verdicts, at one level for the whole run.

Within a group of checks the false discovery rate is controlled (Benjamini and Hochberg
1995, `J. R. Stat. Soc. B` 57:289, which where nothing drifted is the probability of any false
alarm); between groups the level is split (`limits.SHARES`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitoring.drift.decision.findings import Check


class StatisticError(Exception):
    """A test gave no number. Never to be read as "no drift"."""


def decide(checks: Sequence[Check], alpha: float, share: float) -> list[Check]:
    """Set `adjusted` and `drifted` of the checks of one group.

    `share`: the group's part of `alpha`, in (0, 1]. A check with a note instead of a
    statistic stays as it is. Raises StatisticError for a p-value, a statistic or an effect
    that is not finite, or a p-value outside [0, 1].
    """
    decided = list(checks)
    tested = [place for place, check in enumerate(checks) if not check.note]
    p_values = np.array([_p_value(checks[place]) for place in tested], dtype=np.float64)
    adjusted = np.minimum(1.0, adjust(p_values) / share)
    for place, level in zip(tested, adjusted.tolist(), strict=True):
        check = checks[place]
        is_large = check.effect is not None and check.effect >= check.min_effect
        decided[place] = msgspec.structs.replace(
            check, adjusted=level, drifted=level <= alpha and is_large
        )
    return decided


def adjust(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini-Hochberg adjusted p-values: float64, the same shape and order.

    The i-th smallest of m becomes the least of `p[j] * m / j` over j >= i.
    """
    count = len(p_values)
    if not count:
        return p_values
    order = np.argsort(p_values)
    scaled = p_values[order] * count / np.arange(1, count + 1)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted


def _p_value(check: Check) -> float:
    name = check.name + (f" of {check.of}" if check.of else "")
    for value in (check.statistic, check.p_value, check.effect):
        if value is None or not np.isfinite(value):
            raise StatisticError(f"{name} gave no number: a test that says nothing is no verdict")
    if check.p_value is None or not 0.0 <= check.p_value <= 1.0:
        raise StatisticError(f"{name} gave a p-value outside [0, 1]")
    return check.p_value
