"""What labels say: the metrics of training, measured on the window's labelled rows.

The error of a metric is estimated by resampling the labelled rows. The training value has an
error too: with the same spread of a row it is that of the window times the root of the ratio
of the numbers of rows, and both are added as variances. One-sided: a model that got better
does not drift.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from monitoring.drift.decision.findings import Check, CheckName
from monitoring.drift.decision.limits import Limits

# Enough for a standard error within 5 % (its own error is about 1 / sqrt(2 B)).
_RESAMPLES = 200

# Rows of the rarer class below which the area under the curve is noise.
_MIN_CLASS_ROWS = 20

# Probabilities are kept from 0 and 1, whose logarithm is infinite: scikit-learn's bound.
_SMALLEST = float(np.finfo(np.float64).eps)

# A larger loss is reported as this one: no reader needs its digits.
_LARGEST_LOSS = 1e6

# Parts of the data whose metrics training may have logged, the most honest one first.
_PARTS = ("test_", "val_", "")

_NAMES: tuple[CheckName, ...] = ("roc_auc", "brier", "accuracy", "log_loss", "mae", "rmse")

Measure = Callable[[NDArray[np.float64], NDArray[np.float64]], float]


@dataclass(frozen=True)
class Evidence:
    """What training measured: the value of each metric, and on how many rows."""

    values: Mapping[CheckName, float]
    rows: Mapping[CheckName, float]


def read_training(metrics: Mapping[str, float], rows: int) -> Evidence:
    """Find the training value of each metric: on test rows where that was logged, else as named.

    `test_rows`, `val_rows` or `rows` among the metrics says on how many rows; `rows` stands in
    where none does. A value that is no finite number is as good as none.
    """
    values: dict[CheckName, float] = {}
    counts: dict[CheckName, float] = {}
    for name in _NAMES:
        for part in _PARTS:
            value = metrics.get(part + name, math.nan)
            if math.isfinite(value):
                logged = metrics.get(f"{part}rows", math.nan)
                values[name] = value
                counts[name] = logged if logged >= 1.0 and math.isfinite(logged) else rows
                break
    return Evidence(values, counts)


def compare_binary(
    outcomes: NDArray[np.bool_],
    scores: NDArray[np.float64],
    training: Evidence,
    limits: Limits,
    seed: int,
) -> list[Check]:
    """Compare `roc_auc` and `brier`. Shapes (labels,); True is the second class."""
    labels = outcomes.astype(np.float64)
    checks = []
    if "roc_auc" in training.values:
        rare = int(min(outcomes.sum(), (~outcomes).sum()))
        if rare < _MIN_CLASS_ROWS:
            note = f"fewer than {_MIN_CLASS_ROWS} labels of one class"
            checks.append(Check("roc_auc", min_effect=limits.min_performance_loss, note=note))
        else:
            checks.append(_compare("roc_auc", labels, scores, _area, training, limits, seed))
    if "brier" in training.values:
        checks.append(_compare("brier", labels, scores, _square, training, limits, seed))
    return checks


def compare_classes(
    outcomes: Sequence[str],
    scores: NDArray[np.float64],
    classes: Sequence[str],
    training: Evidence,
    limits: Limits,
    seed: int,
) -> list[Check]:
    """Compare `accuracy` and `log_loss` of several classes; scores of shape (labels, classes)."""
    truth = np.array([classes.index(outcome) for outcome in outcomes])
    hits = (scores.argmax(axis=1) == truth).astype(np.float64)
    chances = np.clip(scores[np.arange(len(truth)), truth], _SMALLEST, 1.0)
    columns: dict[CheckName, NDArray[np.float64]] = {"accuracy": hits, "log_loss": -np.log(chances)}
    return [
        _compare(name, values, values, _mean, training, limits, seed)
        for name, values in columns.items()
        if name in training.values
    ]


def compare_numbers(
    outcomes: NDArray[np.float64],
    scores: NDArray[np.float64],
    training: Evidence,
    limits: Limits,
    seed: int,
) -> list[Check]:
    """Compare `mae` and `rmse` of a regression. Shapes (labels,)."""
    errors = np.abs(outcomes - scores)
    measures: dict[CheckName, Measure] = {"mae": _mean, "rmse": _root_mean_square}
    return [
        _compare(name, errors, errors, measure, training, limits, seed)
        for name, measure in measures.items()
        if name in training.values
    ]


def _compare(
    name: CheckName,
    truth: NDArray[np.float64],
    scores: NDArray[np.float64],
    measure: Measure,
    training: Evidence,
    limits: Limits,
    seed: int,
) -> Check:
    random = np.random.default_rng(seed)
    now, before = measure(truth, scores), training.values[name]
    values = []
    for _ in range(_RESAMPLES):
        rows = random.integers(0, len(truth), len(truth))
        # A resample may lack a class, whose area is undefined: the next one will not.
        if name != "roc_auc" or 0.0 < truth[rows].mean() < 1.0:
            values.append(measure(truth[rows], scores[rows]))
    error = float(np.std(values, ddof=1)) * math.sqrt(1.0 + len(truth) / training.rows[name])
    loss = before - now if name in ("roc_auc", "accuracy") else now - before
    # Labelled rows that are all alike have no error: any loss is certain then.
    p_value = float(norm.sf(loss / error)) if error > 0 else float(loss <= 0)
    # A training value of almost 0 makes any loss a large one.
    share = max(0.0, loss) / max(abs(before), _SMALLEST)
    return Check(name, now, p_value, min(share, _LARGEST_LOSS), limits.min_performance_loss)


def _area(truth: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    # The Mann-Whitney statistic as a share of its largest value: many times faster than a curve.
    positive = truth == 1.0
    count = int(positive.sum())
    ranks = float(rankdata(scores)[positive].sum())
    return (ranks - count * (count + 1) / 2) / (count * (len(truth) - count))


def _square(truth: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    return float(np.mean((truth - scores) ** 2))


def _mean(values: NDArray[np.float64], _: NDArray[np.float64]) -> float:
    return float(values.mean())


def _root_mean_square(errors: NDArray[np.float64], _: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(errors**2)))
