"""Performance: the metrics are scikit-learn's, and a loss is told from chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from monitoring.drift.decision.limits import Limits
from monitoring.drift.decision.performance import (
    Evidence,
    compare_binary,
    compare_classes,
    compare_numbers,
    read_training,
)

LIMITS = Limits()


def test_binary_metrics_are_those_of_training() -> None:
    """Area and Brier score equal scikit-learn's, ties included."""
    random = np.random.default_rng(1)
    scores = random.random(800).round(2)
    truth = random.random(800) < scores
    training = read_training({"test_roc_auc": 0.8, "test_brier": 0.18}, 1_000)
    checks = compare_binary(truth, scores, training, LIMITS, seed=1)
    assert checks[0].statistic == pytest.approx(roc_auc_score(truth, scores))
    assert checks[1].statistic == pytest.approx(brier_score_loss(truth, scores))


def test_a_better_model_is_no_drift() -> None:
    """The test is one-sided: an area above that of training has no effect."""
    random = np.random.default_rng(1)
    scores = random.random(800)
    truth = random.random(800) < scores
    (check,) = compare_binary(truth, scores, read_training({"roc_auc": 0.6}, 10**6), LIMITS, seed=1)
    assert check.effect == 0.0
    assert check.p_value is not None
    assert check.p_value > 0.99


def test_one_class_alone_has_no_area() -> None:
    """Without both classes the area is not made up: the check says why it was not made."""
    training = read_training({"roc_auc": 0.8}, 1_000)
    (check,) = compare_binary(
        np.zeros(300, dtype=bool), np.linspace(0, 1, 300), training, LIMITS, seed=1
    )
    assert check.note == "fewer than 20 labels of one class"


def test_metrics_of_several_classes() -> None:
    """Accuracy and log loss equal scikit-learn's."""
    random = np.random.default_rng(2)
    scores = random.dirichlet([1, 1, 1], 500)
    classes = ["a", "b", "c"]
    outcomes = [classes[random.choice(3, p=row)] for row in scores]
    training = read_training({"accuracy": 0.6, "log_loss": 0.8}, 1_000)
    checks = compare_classes(outcomes, scores, classes, training, LIMITS, seed=1)
    assert checks[0].statistic == np.mean(np.array(classes)[scores.argmax(axis=1)] == outcomes)
    assert checks[1].statistic == pytest.approx(log_loss(outcomes, scores, labels=classes))


def test_metrics_of_a_regression() -> None:
    """Absolute and squared errors, and twice the error is a loss."""
    random = np.random.default_rng(3)
    scores = random.normal(size=500)
    outcomes = scores + random.normal(scale=2.0, size=500)
    training = read_training({"mae": 0.8, "rmse": 1.0}, 1_000)
    checks = compare_numbers(outcomes, scores, training, LIMITS, seed=1)
    errors = outcomes - scores
    assert checks[0].statistic == pytest.approx(np.abs(errors).mean())
    assert checks[1].statistic == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert all(check.p_value is not None and check.p_value < 1e-6 for check in checks)


def test_the_value_on_test_rows_is_preferred() -> None:
    """Training may log a metric of several parts of its rows: the test part is the honest one."""
    metrics = {"roc_auc": 0.9, "val_roc_auc": 0.8, "test_roc_auc": 0.7, "other": 1.0}
    assert read_training(metrics, 500) == Evidence({"roc_auc": 0.7}, {"roc_auc": 500})
    counted = read_training(metrics | {"test_rows": 2_000.0, "rows": 9_000.0}, 500)
    assert counted.rows == {"roc_auc": 2_000.0}


def test_a_value_that_is_no_number_is_as_good_as_none() -> None:
    """NaN and infinity are passed over, for the next part of the rows that has a value."""
    metrics = {"test_mae": np.nan, "mae": 1.0, "test_rmse": np.inf, "test_rows": np.nan}
    assert read_training(metrics, 500) == Evidence({"mae": 1.0}, {"mae": 500})


def test_the_training_value_has_an_error_too() -> None:
    """As many test rows as labels double the variance; very many leave it what it is."""
    random = np.random.default_rng(4)
    errors = random.exponential(1.1, 400)

    def p_value(rows: int) -> float:
        training = read_training({"mae": 1.0}, rows)
        (check,) = compare_numbers(errors, np.zeros(400), training, LIMITS, seed=1)
        assert check.p_value is not None
        return float(norm.isf(check.p_value))

    assert p_value(400) == pytest.approx(p_value(10**9) / np.sqrt(2.0))


def test_performance_holds_its_level() -> None:
    """Training measured on 500 rows and 500 labels of the same quality: low p-values are rare."""
    random = np.random.default_rng(5)
    low = 0
    for seed in range(200):
        training = read_training({"mae": float(random.exponential(1.0, 500).mean())}, 500)
        errors = random.exponential(1.0, 500)
        (check,) = compare_numbers(errors, np.zeros(500), training, LIMITS, seed=seed)
        low += check.p_value is not None and check.p_value <= 0.05
    # 10 are expected; 20 is the 99.9th percentile of that binomial.
    assert low <= 20


def test_a_training_value_of_nothing_gives_a_number() -> None:
    """A model without any error in training: a loss is large, and still a plain number."""
    training = read_training({"mae": 0.0, "rmse": 5e-324}, 500)
    for check in compare_numbers(np.arange(300.0), np.zeros(300), training, LIMITS, seed=1):
        assert check.effect == 1e6
