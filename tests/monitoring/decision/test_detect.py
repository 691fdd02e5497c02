"""Whole comparisons: what drifted is found, what did not is not, and each case has its outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bentos.model.contract import Contract
from monitoring.drift.decision import detect
from monitoring.drift.decision.decide import StatisticError
from monitoring.drift.decision.findings import FeatureFinding, Findings
from monitoring.drift.decision.limits import Limits
from monitoring.drift.decision.sample import Sample
from monitoring.drift.reading import read_reference
from tests.monitoring.conftest import IMPORTANCE, QUICK, ROWS, change, make_frame, to_parquet

Compare = Callable[..., Findings]

# Many comparisons: the multivariate test, which takes most of the time, on few rows.
SMALL = Limits(joint_rows=200, permutations=199)


@pytest.fixture
def compare(reference: Sample, contract: Contract) -> Compare:
    """Compare a window with the reference."""

    def run(window: Sample, **options: object) -> Findings:
        settings: dict[str, object] = {"limits": QUICK, "seed": 1, "importance": IMPORTANCE}
        return detect.compare(reference, window, contract, **(settings | options))  # type: ignore[arg-type]  # of compare

    return run


def feature(findings: Findings, name: str) -> FeatureFinding:
    return next(item for item in findings.features if item.name == name)


def drifted(findings: Findings) -> dict[str, list[str]]:
    return {item.name: list(item.reasons) for item in findings.features if item.drifted}


def test_other_rows_of_the_same_population_are_no_drift(compare: Compare, window: Sample) -> None:
    """Nothing drifted, nothing is reported, and every test was made."""
    findings = compare(window)
    assert (findings.outcome, findings.reason) == ("no_drift", "")
    checks = [check for item in findings.features for check in item.checks]
    # Region has three levels, and so a test of single ones too.
    assert len(checks) == 4 * 3 + 1
    assert not [check for check in checks if check.note]
    assert findings.joint is not None
    assert findings.score is not None
    assert {check.name for check in findings.score.checks} == {
        "score_ks", "score_psi", "decision_rate",
    }  # fmt: skip


def test_the_same_rows_and_seed_give_the_same_findings(compare: Compare, window: Sample) -> None:
    """Nothing but the rows and the seed decides."""
    assert compare(window) == compare(window)


def test_a_shift_of_one_feature_is_found_there(compare: Compare, window: Sample) -> None:
    """0.2 standard deviations at 2,000 rows, and the other features stay as they are."""
    age = window.features["age"]
    findings = compare(change(window, age=age + 0.2 * age.std()))
    assert findings.outcome == "drift"
    assert drifted(findings) == {"age": ["ks"]}
    assert "age (ks)" in findings.reason


def test_missing_values_are_reported_as_such(compare: Compare, window: Sample) -> None:
    """From none to 10 % in one feature: its missing rate drifted, its values did not."""
    income = window.features["income"].where(np.arange(len(window)) % 10 > 0)
    findings = compare(change(window, income=income))
    assert drifted(findings) == {"income": ["missing_rate"]}
    assert feature(findings, "income").missing_rate == pytest.approx(0.1)
    assert feature(findings, "income").reference_missing_rate == 0.0


def test_an_all_missing_feature_is_reported_as_missing(compare: Compare, window: Sample) -> None:
    """No value is left to compare: the distribution's test says so, the missing rate tells."""
    for name, missing in (("income", np.nan), ("region", None)):
        findings = compare(change(window, **{name: [missing] * len(window)}))
        assert drifted(findings) == {name: ["missing_rate"]}
        assert feature(findings, name).statistic is None
        assert "fewer than" in feature(findings, name).note


def test_a_constant_feature_is_no_obstacle(
    reference: Sample, window: Sample, contract: Contract
) -> None:
    """Constant on both sides is no drift; constant in the window alone is."""
    constants = {"age": 40.0, "region": "north"}
    same = detect.compare(
        change(reference, **constants), change(window, **constants), contract, limits=QUICK, seed=1
    )
    assert same.outcome == "no_drift"
    other = detect.compare(reference, change(window, **constants), contract, limits=QUICK, seed=1)
    assert drifted(other) == {"age": ["ks"], "region": ["chi_square", "level_share"]}


def test_a_category_never_seen_is_reported(compare: Compare, window: Sample) -> None:
    """Its share is told, and it is drift from the least share on."""
    region = window.features["region"].where(np.arange(len(window)) % 20 > 0, "east")
    findings = compare(change(window, region=region))
    assert "unseen_categories" in drifted(findings)["region"]
    assert feature(findings, "region").outside_share == pytest.approx(0.05)


def test_a_broken_correlation_is_seen_by_mmd_alone(compare: Compare, window: Sample) -> None:
    """Income shuffled among the rows: every marginal is untouched, and KS sees nothing."""
    shuffled = np.random.default_rng(3).permutation(window.features["income"].to_numpy())
    findings = compare(change(window, income=shuffled))
    assert drifted(findings) == {}
    assert findings.joint is not None
    assert findings.joint.drifted
    assert findings.reason.startswith("features together (mmd, most in ")
    assert {part.feature for part in findings.parts[:2]} == {"income", "age"}


def test_drift_of_the_scores_is_told(compare: Compare, window: Sample) -> None:
    """Scores that moved are found by KS, PSI and the decision rate, and no feature is blamed."""
    findings = compare(replace(window, scores=window.scores * 0.7))
    assert drifted(findings) == {}
    assert findings.score is not None
    assert {check.name for check in findings.score.checks if check.drifted} == {
        "score_ks", "score_psi", "decision_rate",
    }  # fmt: skip
    assert findings.reason == "scores"


def test_a_feature_that_is_not_recorded_is_not_compared(compare: Compare, window: Sample) -> None:
    """It is no drift and not missing: the findings say that the log does not keep it."""
    findings = compare(replace(window, features=window.features.drop(columns=["age"])))
    assert findings.outcome == "no_drift"
    assert feature(findings, "age").missing_rate is None
    assert "not recorded" in feature(findings, "age").note


def test_nothing_recorded_but_scores_still_compares_them(compare: Compare, window: Sample) -> None:
    """A log without features has its scores: they may drift, and alone are no "no drift"."""
    bare = replace(window, features=window.features[[]])
    findings = compare(bare)
    assert findings.outcome == "insufficient_data"
    assert findings.reason == "4 of 4 features not compared"
    assert findings.joint is None
    moved = compare(replace(bare, scores=window.scores * 0.7))
    assert moved.outcome == "drift"
    assert moved.reason == "scores; 4 of 4 features not compared"


def test_a_feature_with_few_values_is_told(
    reference: Sample, window: Sample, contract: Contract
) -> None:
    """Too few values present for its test, on both sides alike: the reason says so."""
    sides = [
        change(side, income=side.features["income"].where(np.arange(len(side)) < 49))
        for side in (reference.take(np.arange(2_000)), window)
    ]
    findings = detect.compare(*sides, contract, limits=QUICK, seed=1)
    assert findings.outcome == "no_drift"
    assert findings.reason == "1 of 4 features not compared"


def test_rows_without_a_feature_are_not_missing_values(compare: Compare, window: Sample) -> None:
    """Recorded in the second half of the window: that half is compared, and the note says so."""
    has_it = np.arange(len(window)) >= 1_000
    income = window.features["income"].where(has_it)
    holed = replace(change(window, income=income), recorded={"income": has_it})
    findings = compare(holed)
    assert (findings.outcome, findings.reason) == ("no_drift", "")
    assert feature(findings, "income").missing_rate == 0.0
    assert feature(findings, "income").note == "recorded in 1,000 of 2,000 rows"
    assert findings.joint is not None
    assert findings.joint.p_value is not None
    few = np.arange(len(window)) >= 1_900
    joint = compare(replace(holed, recorded={"income": few})).joint
    assert joint is not None
    assert joint.note == "100 rows have every recorded feature, 500 are needed"


@pytest.mark.parametrize("rows", [0, 499])
def test_few_rows_are_no_verdict(compare: Compare, window: Sample, rows: int) -> None:
    """Below the least number of rows nothing is tested, and it is not "no drift"."""
    findings = compare(window.take(np.arange(rows)))
    assert findings.outcome == "insufficient_data"
    assert findings.reason == f"{rows} rows in the window, 500 are needed"
    assert findings.features == []


def test_a_small_reference_is_no_verdict(
    reference: Sample, window: Sample, contract: Contract
) -> None:
    """The same for the reference."""
    findings = detect.compare(
        reference.take(np.arange(100)), window, contract, limits=QUICK, seed=1
    )
    assert findings.outcome == "insufficient_data"
    assert "in the reference" in findings.reason


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_no_number_is_an_error(
    compare: Compare, window: Sample, value: float
) -> None:
    """KS would sort it to the end and give a number: the comparison fails instead."""
    scores = window.scores.copy()
    scores.iloc[0] = value
    with pytest.raises(StatisticError, match="not finite"):
        compare(replace(window, scores=scores))


def test_performance_is_compared_where_labels_exist(compare: Compare, window: Sample) -> None:
    """Labels that fit the scores are as good as training; labels at random are a loss."""
    random = np.random.default_rng(5)
    ids = tuple(str(place) for place in range(len(window)))
    labelled = replace(window, ids=ids)
    chance = window.scores[""].to_numpy()
    fitting = dict(
        zip(ids, (random.random(len(ids)) < chance).astype(int).astype(str), strict=True)
    )
    training = {"test_roc_auc": 0.68, "test_brier": 0.215}
    good = compare(labelled, outcomes=fitting, training=training)
    assert good.outcome == "no_drift"
    assert good.performance is not None
    assert good.performance.labels == 2_000
    assert good.performance.training == {"roc_auc": 0.68, "brier": 0.215}
    noise = dict(zip(ids, random.integers(0, 2, len(ids)).astype(str), strict=True))
    bad = compare(labelled, outcomes=noise, training=training)
    assert bad.reason == "performance"
    few = compare(labelled, outcomes=dict(list(fitting.items())[:50]), training=training)
    assert few.performance is not None
    assert few.performance.note == "50 labels, 200 are needed"
    unmeasured = compare(labelled, outcomes=fitting)
    assert unmeasured.performance is not None
    assert "training logged none" in unmeasured.performance.note


def test_large_windows_do_not_make_small_shifts_drift(compare: Compare, contract: Contract) -> None:
    """0.03 standard deviations at 50,000 rows is certain, and too little to matter."""
    window = read_reference(to_parquet(make_frame(50_000, seed=7)), contract)
    age = window.features["age"]
    findings = compare(change(window, age=age + 0.03 * age.std()))
    assert "age" not in drifted(findings)


def test_runs_hold_their_level(reference: Sample, contract: Contract) -> None:
    """Of 50 windows of the same population at most 5 % and the sampling error report drift.

    All tests together; at full size, and on real rows, the calibration does the same.
    """
    random = np.random.default_rng(11)
    pool = read_reference(to_parquet(make_frame(30_000, seed=9)), contract)
    alarms = 0
    for seed in range(50):
        window = pool.take(random.choice(len(pool), 1_000, replace=False))
        found = detect.compare(reference, window, contract, limits=SMALL, seed=seed)
        alarms += found.outcome == "drift"
    assert len(reference) == ROWS
    # 2.5 are expected at most; 7 is the 99.5th percentile of that binomial.
    assert alarms <= 7


def test_power_of_a_small_shift(compare: Compare, contract: Contract) -> None:
    """0.2 standard deviations at 2,000 rows are found in at least 18 of 20 windows."""
    found = 0
    for seed in range(20):
        window = read_reference(to_parquet(make_frame(2_000, seed=100 + seed)), contract)
        income = window.features["income"]
        shifted = change(window, income=income + 0.2 * income.std())
        findings = compare(shifted, seed=seed, limits=SMALL)
        found += feature(findings, "income").drifted
    assert found >= 18
