"""The model's scores against those of its reference: what drift does to decisions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from monitoring.drift.decision.categories import compare_counts
from monitoring.drift.decision.findings import Check
from monitoring.drift.decision.limits import MIN_EXPECTED, SHARES, Limits
from monitoring.drift.decision.numbers import compare_distributions
from monitoring.drift.decision.rates import compare_rates


def compare(
    reference: pd.DataFrame, window: pd.DataFrame, threshold: float | None, limits: Limits
) -> list[Check]:
    """Compare scores: `score_ks` and `score_psi` for each column, and the decisions.

    `reference`, `window`: float64, one column for a single score or one for each class.
    `threshold`: from which score on a row gets the second class; None for a regression.
    """
    checks = []
    for name in reference.columns:
        before, after = reference[name].to_numpy(), window[name].to_numpy()
        ks = compare_distributions("score_ks", before, after, limits.min_ks)
        psi = compare_bins(before, after, limits)
        checks += [_of(ks, name), _of(psi, name)]
    if len(reference.columns) > 1:
        checks.append(
            compare_counts(
                "decision_chi_square", _decide(reference), _decide(window), limits.min_cramers_v
            )
        )
    elif threshold is not None:
        before, after = (side.iloc[:, 0].to_numpy() >= threshold for side in (reference, window))
        checks.append(compare_rates("decision_rate", before, after, limits.min_rate_change))
    return checks


def compare_bins(
    reference: NDArray[np.float64], window: NDArray[np.float64], limits: Limits
) -> Check:
    """Population stability index over quantiles of the reference, calibrated.

    Without drift it is about `(1/n + 1/m)` times chi-square with bins - 1 degrees of freedom
    (Yurdakul 2018, "Statistical properties of the population stability index"): that gives a
    p-value, and the `threshold` that sampling alone reaches at the scores' level. A value that
    is several quantiles has a bin of its own; the first and the last bin have no outer end.
    """
    edges = _find_edges(reference, limits.psi_bins)
    counts = _join_rare(
        np.array(
            [
                np.bincount(np.searchsorted(edges, side, "right"), minlength=len(edges) + 1)
                for side in (reference, window)
            ]
        )
    )
    bins = counts.shape[1]
    # Half a row in every bin: an empty one would make the logarithm infinite.
    shares = [
        (side + 0.5) / (len(rows) + 0.5 * bins)
        for side, rows in zip(counts, (reference, window), strict=True)
    ]
    index = float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
    if bins < 2:
        return Check("score_psi", 0.0, 1.0, 0.0, limits.min_psi)
    scale = 1.0 / len(reference) + 1.0 / len(window)
    return Check(
        "score_psi",
        statistic=index,
        p_value=float(chi2.sf(index / scale, bins - 1)),
        effect=index,
        min_effect=limits.min_psi,
        threshold=float(scale * chi2.isf(limits.alpha * SHARES["scores"], bins - 1)),
    )


def _find_edges(reference: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Where one bin ends and the next begins, in order; an edge is in the bin above it."""
    quantiles = np.quantile(reference, np.linspace(0.0, 1.0, bins + 1))
    values, times = np.unique(quantiles, return_counts=True)
    repeated = values[times > 1]
    single = np.setdiff1d(quantiles[1:-1], repeated)
    edges: NDArray[np.float64] = np.unique(
        np.concatenate([single, repeated, np.nextafter(repeated, np.inf)])
    )
    return edges


def _join_rare(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Join neighbours until each bin has enough rows for chi-square; shape (2, bins).

    By what both sides have together, which says nothing of how they differ.
    """
    sizes = counts.sum(axis=1)
    least = MIN_EXPECTED * sizes.sum() / sizes.min()
    joined = [np.zeros(2, dtype=np.int64)]
    for column in counts.T:
        if joined[-1].sum() >= least:
            joined.append(np.zeros(2, dtype=np.int64))
        joined[-1] = joined[-1] + column
    if len(joined) > 1 and joined[-1].sum() < least:
        rest = joined.pop()
        joined[-1] = joined[-1] + rest
    return np.column_stack(joined)


def _of(check: Check, name: str) -> Check:
    return Check(
        check.name,
        check.statistic,
        check.p_value,
        check.effect,
        check.min_effect,
        threshold=check.threshold,
        of=name,
        note=check.note,
    )


def _decide(scores: pd.DataFrame) -> Sequence[str]:
    names = [str(name) for name in scores.columns]
    return [names[place] for place in scores.to_numpy().argmax(axis=1)]
