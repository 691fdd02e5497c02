"""What a model's quality should be if its scores mean what they say. Pure.

Confidence-based performance estimation (CBPE; NannyML's documentation, "Estimation of
Performance of the Monitored Model"): a calibrated score of 0.8 is right as a positive in
eight of ten cases, so every number of a confusion matrix has an expected value without a
single label. It needs no outcomes, and is worth exactly as much as its assumptions.
"""

from __future__ import annotations

import math

import numpy as np

from bentos.audit.quality.measures import Floats, Ints, area_under_roc

ASSUMPTIONS = (
    "the scores are calibrated on today's rows: among rows scored p, a share p is positive",
    "no concept drift: what made a row positive in training makes it positive now; "
    "a drift of the features alone is allowed",
    "to compare with what was measured: outcomes are missing at random, not for some "
    "decisions or scores more than for others",
)


def estimate_binary(scores: Floats, decided: Floats) -> dict[str, float]:
    """Expected quality of scores of shape (n,) and decisions, 0.0 or 1.0.

    Accuracy and Brier score are expected values; precision, recall and ROC-AUC are ratios
    of expected values, which they approach with many rows.
    """
    hits = float(np.sum(scores * decided))
    flagged, positives = float(decided.sum()), float(scores.sum())
    return {
        "roc_auc": _expected_area(scores, scores),
        "brier": float(np.mean(scores * (1.0 - scores))),
        "accuracy": float(np.mean(np.where(decided == 1.0, scores, 1.0 - scores))),
        "precision": hits / flagged if flagged else float("nan"),
        "recall": hits / positives if positives else float("nan"),
    }


def estimate_multiclass(scores: Floats, decided: Ints) -> dict[str, float]:
    """Expected quality of scores of shape (n, classes) and decisions, class numbers.

    The expected log loss is the mean entropy of the scores, in nats.
    """
    areas = [_expected_area(column, column) for column in scores.T]
    safe = np.where(scores > 0.0, scores, 1.0)
    return {
        "accuracy": float(np.mean(scores[np.arange(len(decided)), decided])),
        "roc_auc": float(np.mean(areas)),
        "log_loss": float(-np.mean(np.sum(scores * np.log(safe), axis=1))),
    }


def _expected_area(scores: Floats, chances: Floats) -> float:
    # Over pairs of different rows: no row is positive and negative at once.
    others = 1.0 - chances
    itself = float(np.sum(chances * others))
    pairs = float(chances.sum() * others.sum())
    if pairs - itself <= 0.0:
        return float("nan")
    area = area_under_roc(scores, chances, others)
    return (area * pairs - itself / 2.0) / (pairs - itself)


def check_calibration(scores: Floats, outcomes: Floats) -> dict[str, float]:
    """How likely outcomes at least as far from the scores are, if the scores are calibrated.

    Two-sided p-values of shape-free normal tests: `gap`, of the sum of outcomes against
    the sum of scores; `spread`, Spiegelhalter 1986 (Statistics in Medicine 5), of the
    Brier score against its expected value, which finds scores too bold or too timid.
    """
    variance = scores * (1.0 - scores)
    tilt = 1.0 - 2.0 * scores
    return {
        "gap": _p_value(np.sum(outcomes - scores), np.sum(variance)),
        "spread": _p_value(np.sum((outcomes - scores) * tilt), np.sum(tilt**2 * variance)),
    }


def _p_value(distance: np.floating, variance: np.floating) -> float:
    if variance == 0.0:
        return 1.0 if distance == 0.0 else 0.0
    return math.erfc(abs(float(distance)) / math.sqrt(2.0 * float(variance)))
