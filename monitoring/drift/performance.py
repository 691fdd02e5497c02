"""What labels say: the metrics of training, measured on the window's labelled rows.

The error of a metric is estimated by resampling the labelled rows; the training value is
taken as exact, as it comes without one. One-sided: a model that got better does not drift.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from monitoring.drift.findings import Check, CheckName
from monitoring.drift.limits import Limits

# Enough for a standard error within 5 % (its own error is about 1 / sqrt(2 B)).
_RESAMPLES = 200

# Rows of the rarer class below which the area under the curve is noise.
_MIN_CLASS_ROWS = 20

# Probabilities are kept from 0 and 1, whose logarithm is infinite: scikit-learn's bound.
_SMALLEST = np.finfo(np.float64).eps

Measure = Callable[[NDArray[np.float64], NDArray[np.float64]], float]


def find_training(metrics: Mapping[str, float], names: Sequence[CheckName]) -> dict[str, float]:
    """The training value of each metric: on test rows where that was logged, else as named."""
    found: dict[str, float] = {}
    for name in names:
        for key in (f"test_{name}", f"val_{name}", name):
            if key in metrics:
                found[name] = metrics[key]
                break
    return found


def compare_binary(
    outcomes: NDArray[np.bool_],
    scores: NDArray[np.float64],
    metrics: Mapping[str, float],
    limits: Limits,
    seed: int,
) -> tuple[list[Check], dict[str, float]]:
    """Compare `roc_auc` and `brier`. Shapes (labels,); True is the second class."""
    training = find_training(metrics, ("roc_auc", "brier"))
    labels = outcomes.astype(np.float64)
    checks = []
    if "roc_auc" in training:
        rare = int(min(outcomes.sum(), (~outcomes).sum()))
        if rare < _MIN_CLASS_ROWS:
            note = f"fewer than {_MIN_CLASS_ROWS} labels of one class"
            checks.append(Check("roc_auc", min_effect=limits.min_performance_loss, note=note))
        else:
            checks.append(
                _compare("roc_auc", labels, scores, _area, training["roc_auc"], limits, seed)
            )
    if "brier" in training:
        checks.append(_compare("brier", labels, scores, _square, training["brier"], limits, seed))
    return checks, training


def compare_classes(
    outcomes: Sequence[str],
    scores: NDArray[np.float64],
    classes: Sequence[str],
    metrics: Mapping[str, float],
    limits: Limits,
    seed: int,
) -> tuple[list[Check], dict[str, float]]:
    """Compare `accuracy` and `log_loss` of several classes; scores of shape (labels, classes)."""
    training = find_training(metrics, ("accuracy", "log_loss"))
    truth = np.array([classes.index(outcome) for outcome in outcomes])
    hits = (scores.argmax(axis=1) == truth).astype(np.float64)
    chances = np.clip(scores[np.arange(len(truth)), truth], _SMALLEST, 1.0)
    columns: dict[CheckName, NDArray[np.float64]] = {"accuracy": hits, "log_loss": -np.log(chances)}
    return _compare_means(columns, training, limits, seed), training


def compare_numbers(
    outcomes: NDArray[np.float64],
    scores: NDArray[np.float64],
    metrics: Mapping[str, float],
    limits: Limits,
    seed: int,
) -> tuple[list[Check], dict[str, float]]:
    """Compare `mae` and `rmse` of a regression. Shapes (labels,)."""
    training = find_training(metrics, ("mae", "rmse"))
    errors = np.abs(outcomes - scores)
    checks = _compare_means({"mae": errors}, training, limits, seed)
    if "rmse" in training:
        checks.append(
            _compare("rmse", errors, errors, _root_mean_square, training["rmse"], limits, seed)
        )
    return checks, training


def _compare_means(
    columns: Mapping[CheckName, NDArray[np.float64]],
    training: Mapping[str, float],
    limits: Limits,
    seed: int,
) -> list[Check]:
    return [
        _compare(name, values, values, _mean, training[name], limits, seed)
        for name, values in columns.items()
        if name in training
    ]


def _compare(
    name: CheckName,
    truth: NDArray[np.float64],
    scores: NDArray[np.float64],
    measure: Measure,
    training: float,
    limits: Limits,
    seed: int,
) -> Check:
    random = np.random.default_rng(seed)
    now = measure(truth, scores)
    values = []
    for _ in range(_RESAMPLES):
        rows = random.integers(0, len(truth), len(truth))
        # A resample may lack a class, whose area is undefined: the next one will not.
        if name != "roc_auc" or 0.0 < truth[rows].mean() < 1.0:
            values.append(measure(truth[rows], scores[rows]))
    error = float(np.std(values, ddof=1))
    loss = training - now if name in ("roc_auc", "accuracy") else now - training
    # Labelled rows that are all alike have no error: any loss is certain then.
    p_value = float(norm.sf(loss / error)) if error > 0 else float(loss <= 0)
    effect = max(0.0, loss / abs(training)) if training else max(0.0, loss)
    return Check(name, now, p_value, effect, limits.min_performance_loss)


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
