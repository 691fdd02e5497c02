"""Outcomes from clients: which count, which are left out, and that none silences the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bentos.model.contract import Contract, Feature
from monitoring.drift.decision import detect, labels
from monitoring.drift.decision.findings import Findings, Performance
from monitoring.drift.decision.sample import Sample
from tests.monitoring.conftest import QUICK, change

REGRESSION = Contract((Feature("income", "float", "double"),), "regression", "booster")


def name_rows(window: Sample) -> Sample:
    """The same rows with ids, which outcomes are matched by."""
    return replace(window, ids=tuple(str(place) for place in range(len(window))))


def compare_binary(
    window: Sample, contract: Contract, outcomes: dict[str, str], training: dict[str, float]
) -> Performance:
    found = labels.compare(window, contract, outcomes, training, QUICK, 1, 4_000)
    assert found is not None
    return found


def compare_regression(
    window: Sample, outcomes: dict[str, str], training: dict[str, float]
) -> Findings:
    sample = replace(window, features=window.features[["income"]])
    return detect.compare(
        sample, sample, REGRESSION, limits=QUICK, seed=1, outcomes=outcomes, training=training
    )


def test_outcomes_of_no_class_are_counted_and_left_out(window: Sample, contract: Contract) -> None:
    """A few keep nothing from being compared; where they are most, performance is not."""
    labelled, training = name_rows(window), {"test_brier": 0.4}
    outcomes = {name: str(place % 2) for place, name in enumerate(labelled.ids)}
    some = compare_binary(labelled, contract, outcomes | {"0": "true"}, training)
    assert (some.labels, len(some.checks), some.drifted) == (1_999, 1, False)
    assert some.note == "1 of 2,000 outcomes are none of the model's classes"
    most = compare_binary(labelled, contract, dict.fromkeys(labelled.ids, "2"), training)
    assert most.is_failed
    assert most.note == (
        "performance not compared: 2,000 of 2,000 outcomes are none of the model's classes"
    )


def test_outcomes_that_are_no_finite_number_are_left_out(window: Sample) -> None:
    """Of a regression: text, NaN and infinity have no error to measure."""
    labelled = name_rows(window)
    outcomes = dict.fromkeys(labelled.ids, "0.5") | {"0": "nan", "1": "inf", "2": "text"}
    findings = compare_regression(labelled, outcomes, {"mae": 0.5})
    assert findings.performance is not None
    assert findings.performance.labels == 1_997
    assert findings.performance.note == "3 of 2,000 outcomes are no finite number"


@pytest.mark.parametrize("value", ["1e200", "-1.7e308", "1e154", "1e101", "1e90", "-4000"])
def test_one_outcome_silences_no_version(window: Sample, value: str) -> None:
    """One that cannot be right is left out with a note, and a loss of the others is found."""
    labelled = name_rows(window)
    shifted = change(labelled, income=labelled.features["income"] * 2.0)
    scores = labelled.scores[""]
    random = np.random.default_rng(1)
    outcomes = {
        name: repr(float(score + random.normal(0.0, 3.0)))
        for name, score in zip(labelled.ids, scores, strict=True)
    }
    findings = detect.compare(
        replace(labelled, features=labelled.features[["income"]]),
        replace(shifted, features=shifted.features[["income"]]),
        REGRESSION,
        limits=QUICK,
        seed=1,
        outcomes=outcomes | {"7": value},
        training={"test_mae": 0.8, "test_rmse": 1.0},
    )
    assert findings.reason.startswith("income (ks")
    assert findings.reason.endswith("performance")
    assert findings.performance is not None
    assert findings.performance.labels == 1_999
    assert "1 of 2,000 outcomes are " in findings.performance.note
    for check in findings.performance.checks:
        assert check.statistic is not None
        assert check.statistic < 10.0


def test_outcomes_in_another_unit_are_said_to_be(window: Sample) -> None:
    """All of them far beyond training's error: performance has no verdict, and says why."""
    labelled = name_rows(window)
    outcomes = dict.fromkeys(labelled.ids, "5e7")
    findings = compare_regression(labelled, outcomes, {"rmse": 1.0})
    assert findings.outcome == "no_drift"
    assert findings.reason == (
        "performance not compared: 2,000 of 2,000 outcomes are farther from their score than "
        "1,000 times training's rmse"
    )


def test_scores_that_cannot_be_squared_leave_out_performance_alone(window: Sample) -> None:
    """A metric that is no number is a note of performance, and nothing else breaks."""
    labelled = replace(name_rows(window), scores=window.scores * 1e300)
    findings = compare_regression(
        labelled, dict.fromkeys(labelled.ids, "1"), {"mae": 1e300, "rmse": 1e300}
    )
    assert findings.outcome == "no_drift"
    assert "performance not compared" in findings.reason
