"""Bounds of the buckets of a histogram whose values only the model knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Quantiles of the golden rows' scores that bound a regression's buckets.
_SCORE_QUANTILES = 20


def of_scores(golden_scores: Sequence[float]) -> list[float]:
    """Bound the scores of a regression: by quantiles of known ones, else by powers of ten."""
    shares = np.linspace(0, 1, _SCORE_QUANTILES + 1)
    known = np.quantile(golden_scores, shares).tolist() if golden_scores else []
    # Six digits: a limit is a label, and reads better short.
    found = sorted({float(f"{value:.6g}") for value in known})
    if len(found) >= 3:
        return found
    powers = [10.0**power for power in range(-3, 10)]
    return [*(-power for power in reversed(powers)), 0.0, *powers]
