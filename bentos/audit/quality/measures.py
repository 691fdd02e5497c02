"""Numbers that say how good scores were, from outcomes. Pure; numpy alone.

The formulas are those of scikit-learn's functions of the same names, and a test holds
them to it. It is not a dependency of the command line.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Ten groups of equal size are the usual reading of calibration; training reports them too. Each
# holds 600 test rows of the reference data, a standard error of at most 0.02.
GROUPS = 10

# The 95 % point of Kolmogorov's distribution.
_SMIRNOV_95 = 1.3581


def area_under_roc(scores: Floats, positive: Floats, negative: Floats) -> float:
    """The chance that a positive row scores above a negative one, ties counted half.

    `positive`, `negative`: how much each row counts as either, shape (n,); 1 and 0 for
    known outcomes, probabilities for expected ones. NaN where either adds up to nothing.
    """
    ups, downs = _by_score(scores, positive, negative)
    both = ups.sum() * downs.sum()
    if both == 0.0:
        return float("nan")
    below = np.cumsum(downs) - downs
    return float(np.sum(ups * (below + downs / 2.0)) / both)


def kolmogorov_smirnov(scores: Floats, positive: Floats, negative: Floats) -> float:
    """Largest distance between the cumulative distributions of scores of the two classes."""
    ups, downs = _by_score(scores, positive, negative)
    if ups.sum() == 0.0 or downs.sum() == 0.0:
        return float("nan")
    distances = np.cumsum(ups) / ups.sum() - np.cumsum(downs) / downs.sum()
    return float(np.max(np.abs(distances)))


def kolmogorov_smirnov_between(one: Floats, other: Floats) -> float:
    """The two-sample statistic: 0 for equal distributions, at most 1."""
    is_one = np.repeat([1.0, 0.0], [len(one), len(other)])
    return kolmogorov_smirnov(np.concatenate([one, other]), is_one, 1.0 - is_one)


def kolmogorov_smirnov_interval(scores: Floats, outcomes: Floats) -> tuple[float, float]:
    """A 95 % interval of the KS distance: how far both distributions may be off, at once.

    Smirnov 1948 (Annals of Mathematical Statistics 19:279): between samples of m and n rows,
    1.358 * sqrt(1/m + 1/n). A maximum is biased upwards, and more so in each resample, so
    that a bootstrap's percentiles lie above it; this margin holds whatever the distance is,
    and is wider than it need be where the classes are far apart.
    """
    ups = float(outcomes.sum())
    margin = _SMIRNOV_95 * float(np.sqrt(1.0 / ups + 1.0 / (len(outcomes) - ups)))
    distance = kolmogorov_smirnov(scores, outcomes, 1.0 - outcomes)
    return max(0.0, distance - margin), min(1.0, distance + margin)


def _by_score(scores: Floats, positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    # Both weights, added up for each score that occurs, ascending. A stable sort takes
    # linear time on scores that are in order already, as a resample's are.
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    return np.add.reduceat(positive[order], starts), np.add.reduceat(negative[order], starts)


def group_calibration(scores: Floats, outcomes: Floats) -> tuple[Floats, Floats, Ints]:
    """Mean score, observed rate and rows of ten groups of equal size, by ascending score.

    Each of shape (groups,); fewer groups where there are fewer rows.
    """
    order = np.argsort(scores, kind="stable")
    groups = [part for part in np.array_split(order, GROUPS) if len(part)]
    return (
        np.array([scores[part].mean() for part in groups]),
        np.array([outcomes[part].mean() for part in groups]),
        np.array([len(part) for part in groups], dtype=np.int64),
    )


def calibration_error(scores: Floats, outcomes: Floats) -> float:
    """Mean distance of score and rate over the groups, weighted by rows.

    Expected calibration error, Naeini, Cooper and Hauskrecht 2015, with groups of equal size.
    """
    expected, observed, rows = group_calibration(scores, outcomes)
    return float(np.average(np.abs(expected - observed), weights=rows))


def measure_binary(scores: Floats, outcomes: Floats, decided: Floats) -> dict[str, float]:
    """Measure scores of shape (n,) against outcomes and decisions, 0.0 or 1.0.

    `calibration_gap` is mean score minus observed rate. NaN is what cannot be computed:
    precision where nothing was decided positive.
    """
    negative = 1.0 - outcomes
    hits = float(np.sum(decided * outcomes))
    return {
        "roc_auc": area_under_roc(scores, outcomes, negative),
        "ks": kolmogorov_smirnov(scores, outcomes, negative),
        "brier": float(np.mean((scores - outcomes) ** 2)),
        "calibration_gap": float(scores.mean() - outcomes.mean()),
        "accuracy": float(np.mean(decided == outcomes)),
        "precision": _share(hits, float(decided.sum())),
        "recall": _share(hits, float(outcomes.sum())),
    }


def measure_multiclass(scores: Floats, outcomes: Ints, decided: Ints) -> dict[str, float]:
    """Measure scores of shape (n, classes) against outcomes and decisions, class numbers.

    `roc_auc` is the plain mean over classes of one against the rest; `log_loss` the mean
    of minus the logarithm of the true class's score, in nats.
    """
    areas = []
    for number in range(scores.shape[1]):
        mine = (outcomes == number).astype(np.float64)
        areas.append(area_under_roc(scores[:, number], mine, 1.0 - mine))
    true = scores[np.arange(len(outcomes)), outcomes]
    return {
        "accuracy": float(np.mean(decided == outcomes)),
        "roc_auc": float(np.mean(areas)),
        # A score of exactly 0 would be infinitely wrong: clipped as scikit-learn clips.
        "log_loss": float(-np.mean(np.log(np.clip(true, _EPSILON, 1.0 - _EPSILON)))),
    }


def measure_regression(scores: Floats, outcomes: Floats) -> dict[str, float]:
    """Measure predicted values against true ones, both of shape (n,), in their own unit."""
    errors = scores - outcomes
    spread = float(np.sum((outcomes - outcomes.mean()) ** 2))
    return {
        "mae": float(np.mean(np.abs(errors))),
        "rmse": float(np.sqrt(np.mean(errors**2))),
        "r2": 1.0 - float(np.sum(errors**2)) / spread if spread else float("nan"),
    }


_EPSILON = float(np.finfo(np.float64).eps)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
