"""Performance: the metrics are scikit-learn's, and a loss is told from chance."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from monitoring.drift.limits import Limits
from monitoring.drift.performance import (
    compare_binary,
    compare_classes,
    compare_numbers,
    find_training,
)

LIMITS = Limits()


def test_binary_metrics_are_those_of_training() -> None:
    """Area and Brier score equal scikit-learn's, ties included."""
    random = np.random.default_rng(1)
    scores = random.random(800).round(2)
    truth = random.random(800) < scores
    training = {"test_roc_auc": 0.8, "test_brier": 0.18}
    checks, found = compare_binary(truth, scores, training, LIMITS, seed=1)
    assert checks[0].statistic == pytest.approx(roc_auc_score(truth, scores))
    assert checks[1].statistic == pytest.approx(brier_score_loss(truth, scores))
    assert found == {"roc_auc": 0.8, "brier": 0.18}


def test_a_better_model_is_no_drift() -> None:
    """The test is one-sided: an area above that of training has no effect."""
    random = np.random.default_rng(1)
    scores = random.random(800)
    truth = random.random(800) < scores
    (check,), _ = compare_binary(truth, scores, {"roc_auc": 0.6}, LIMITS, seed=1)
    assert check.effect == 0.0
    assert check.p_value is not None
    assert check.p_value > 0.99


def test_one_class_alone_has_no_area() -> None:
    """Without both classes the area is not made up: the check says why it was not made."""
    (check,), _ = compare_binary(
        np.zeros(300, dtype=bool), np.linspace(0, 1, 300), {"roc_auc": 0.8}, LIMITS, seed=1
    )
    assert check.note == "fewer than 20 labels of one class"


def test_metrics_of_several_classes() -> None:
    """Accuracy and log loss equal scikit-learn's."""
    random = np.random.default_rng(2)
    scores = random.dirichlet([1, 1, 1], 500)
    classes = ["a", "b", "c"]
    outcomes = [classes[random.choice(3, p=row)] for row in scores]
    training = {"accuracy": 0.6, "log_loss": 0.8}
    checks, _ = compare_classes(outcomes, scores, classes, training, LIMITS, seed=1)
    assert checks[0].statistic == np.mean(np.array(classes)[scores.argmax(axis=1)] == outcomes)
    assert checks[1].statistic == pytest.approx(log_loss(outcomes, scores, labels=classes))


def test_metrics_of_a_regression() -> None:
    """Absolute and squared errors, and twice the error is a loss."""
    random = np.random.default_rng(3)
    scores = random.normal(size=500)
    outcomes = scores + random.normal(scale=2.0, size=500)
    checks, _ = compare_numbers(outcomes, scores, {"mae": 0.8, "rmse": 1.0}, LIMITS, seed=1)
    errors = outcomes - scores
    assert checks[0].statistic == pytest.approx(np.abs(errors).mean())
    assert checks[1].statistic == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert all(check.p_value is not None and check.p_value < 1e-6 for check in checks)


def test_the_value_on_test_rows_is_preferred() -> None:
    """Training may log a metric of several parts of its rows: the test part is the honest one."""
    metrics = {"roc_auc": 0.9, "val_roc_auc": 0.8, "test_roc_auc": 0.7, "other": 1.0}
    assert find_training(metrics, ("roc_auc", "brier")) == {"roc_auc": 0.7}
