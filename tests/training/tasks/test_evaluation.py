from __future__ import annotations

import numpy as np
import pytest

from bentos.training.settings import ThresholdMethod, ThresholdSettings
from bentos.training.tasks.evaluation import (
    choose_threshold,
    count_confusion,
    explain_threshold,
    measure,
)

OUTCOMES = np.array([0, 0, 0, 1, 0, 1, 1, 1], dtype=np.int64)
SCORES = np.array([0.1, 0.2, 0.3, 0.35, 0.6, 0.7, 0.8, 0.9])


def choose(method: ThresholdMethod, missed: float = 1.0, alarm: float = 1.0) -> float:
    """The threshold that a method chooses on the eight rows."""
    return choose_threshold(OUTCOMES, SCORES, ThresholdSettings(method, missed, alarm))


def test_metrics_agree_with_hand_counts() -> None:
    """One of sixteen pairs is in the wrong order; at 0.7 three of four positives are found."""
    metrics = measure(OUTCOMES, SCORES, threshold=0.7)
    assert metrics["roc_auc"] == 15 / 16
    assert metrics["gini"] == 14 / 16
    assert metrics["ks"] == 0.75
    assert metrics["precision"] == 1.0
    assert metrics["recall"] == 0.75
    assert metrics["f1"] == pytest.approx(6 / 7)
    assert metrics["accuracy"] == 7 / 8
    assert metrics["flagged_rate"] == 3 / 8
    assert metrics["brier"] == pytest.approx(float(np.mean((SCORES - OUTCOMES) ** 2)))
    assert metrics["calibration_gap"] == pytest.approx(SCORES.mean() - 0.5)


def test_every_metric_is_a_finite_float() -> None:
    """What is logged in MLflow is a number, even when no row is flagged."""
    metrics = measure(OUTCOMES, SCORES, threshold=1.0)
    assert all(type(value) is float and np.isfinite(value) for value in metrics.values())
    assert metrics["precision"] == 0.0


def test_a_score_equal_to_the_threshold_is_flagged() -> None:
    """The threshold belongs to the second class, as the served decision says."""
    assert count_confusion(OUTCOMES, SCORES, 0.7).tolist() == [[4, 0], [1, 3]]
    assert count_confusion(OUTCOMES, SCORES, 0.70001).tolist() == [[4, 0], [2, 2]]


def test_youden_takes_the_point_of_ks() -> None:
    """Both 0.7 and 0.35 are 0.75 apart; the higher one is taken."""
    assert choose(ThresholdMethod.youden) == 0.7


def test_f1_and_cost_choose_otherwise() -> None:
    """Dear misses lower the threshold, dear alarms raise it."""
    assert choose(ThresholdMethod.f1) == 0.35
    assert choose(ThresholdMethod.cost, missed=10.0) == 0.35
    assert choose(ThresholdMethod.cost, alarm=10.0) == 0.7


def test_threshold_is_a_probability() -> None:
    """Where every row looks alike the threshold still is a score that occurs, not infinity."""
    flat = np.full(8, 0.25)
    settings = ThresholdSettings(ThresholdMethod.cost, 1.0, 100.0)
    assert choose_threshold(OUTCOMES, flat, settings) == 0.25


@pytest.mark.parametrize("method", list(ThresholdMethod))
def test_threshold_is_explained(method: ThresholdMethod) -> None:
    """The sentence names the rows, and the costs where they were used."""
    said = explain_threshold(ThresholdSettings(method, 5.0, 2.0), 6000)
    assert "6,000 validation rows" in said
    assert "{" not in said
    assert ("costs 5" in said) == (method is ThresholdMethod.cost)


def test_calibration_error_sees_a_shift() -> None:
    """Scores that are all 0.2 too high have a calibration error of 0.2."""
    generator = np.random.default_rng(1)
    true_rate = generator.uniform(0.1, 0.7, 50_000)
    outcomes = (generator.random(50_000) < true_rate).astype(np.int64)
    assert measure(outcomes, true_rate, 0.5)["calibration_error"] < 0.02
    assert measure(outcomes, true_rate + 0.2, 0.5)["calibration_error"] == pytest.approx(
        0.2, abs=0.02
    )
