"""Numbers that say how good a binary score is, and the threshold that makes it a label.

Pure: outcomes and scores in, numbers out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

from bentos.audit.quality.measures import calibration_error
from bentos.training.settings import ThresholdMethod

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bentos.training.settings import ThresholdSettings

METHODS = {
    ThresholdMethod.youden: (
        "Largest difference between true and false positive rate (Youden's J, the point of the "
        "Kolmogorov-Smirnov statistic)"
    ),
    ThresholdMethod.f1: "Largest F1",
    ThresholdMethod.cost: (
        "Least cost, where a missed positive costs {false_negative_cost:g} and a false alarm "
        "{false_positive_cost:g}"
    ),
}


def choose_threshold(
    outcomes: NDArray[np.int64], scores: NDArray[np.float64], settings: ThresholdSettings
) -> float:
    """Choose the score from which on a row counts as positive.

    `outcomes`: 0 or 1, shape (n,). `scores`: probabilities, shape (n,). Only scores that occur
    are candidates; of equally good ones the highest is taken.
    """
    false_rate, true_rate, thresholds = roc_curve(outcomes, scores, drop_intermediate=False)
    # The first threshold is infinite: no row is positive. It is not a probability.
    false_rate, true_rate, thresholds = false_rate[1:], true_rate[1:], thresholds[1:]
    positives = float(outcomes.sum())
    hits = true_rate * positives
    alarms = false_rate * (len(outcomes) - positives)
    if settings.method is ThresholdMethod.youden:
        gain = true_rate - false_rate
    elif settings.method is ThresholdMethod.f1:
        gain = 2 * hits / (hits + alarms + positives)
    else:
        missed = positives - hits
        gain = -(settings.false_negative_cost * missed + settings.false_positive_cost * alarms)
    return float(thresholds[int(np.argmax(gain))])


def explain_threshold(settings: ThresholdSettings, rows: int) -> str:
    """One sentence on how the threshold was chosen, and on how many validation rows."""
    method = METHODS[settings.method].format(
        false_negative_cost=settings.false_negative_cost,
        false_positive_cost=settings.false_positive_cost,
    )
    return f"{method} on {rows:,} validation rows that did not train the model."


def measure(
    outcomes: NDArray[np.int64], scores: NDArray[np.float64], threshold: float
) -> dict[str, float]:
    """Measure a score against outcomes, both of shape (n,).

    Gini is 2 AUC - 1. KS is the largest distance between the two classes' cumulative
    distributions of scores. PR-AUC is average precision. The calibration error is the mean
    distance between score and observed rate over ten groups of equal size, weighted by rows
    (Naeini, Cooper and Hauskrecht 2015, with equal-frequency bins); the calibration gap is mean
    score minus observed rate.
    """
    false_rate, true_rate, _ = roc_curve(outcomes, scores, drop_intermediate=False)
    auc = float(roc_auc_score(outcomes, scores))
    flagged = (scores >= threshold).astype(np.int64)
    precision, recall, f1, _ = precision_recall_fscore_support(
        outcomes, flagged, average="binary", zero_division=0.0
    )
    return {
        "roc_auc": auc,
        "pr_auc": float(average_precision_score(outcomes, scores)),
        "ks": float(np.max(true_rate - false_rate)),
        "gini": 2.0 * auc - 1.0,
        "brier": float(brier_score_loss(outcomes, scores)),
        "log_loss": float(log_loss(outcomes, scores, labels=[0, 1])),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "accuracy": float(np.mean(flagged == outcomes)),
        "flagged_rate": float(flagged.mean()),
        "calibration_error": calibration_error(scores, outcomes.astype(np.float64)),
        "calibration_gap": float(scores.mean() - outcomes.mean()),
    }


def count_confusion(
    outcomes: NDArray[np.int64], scores: NDArray[np.float64], threshold: float
) -> NDArray[np.int64]:
    """Rows by outcome (down) and label (across), int64, shape (2, 2)."""
    flagged = (scores >= threshold).astype(np.int64)
    return np.asarray(confusion_matrix(outcomes, flagged, labels=[0, 1]), dtype=np.int64)
