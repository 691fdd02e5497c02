"""The rule for retraining."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from monitoring.drift.findings import FeatureFinding, Findings, Outcome, Retraining, ScoreFinding
from monitoring.drift.retraining import judge


@dataclass(frozen=True)
class Past:
    outcome: str
    signal: bool


ASKED, QUIET, SILENT = Past("drift", True), Past("no_drift", False), Past("failed", False)


def findings(outcome: Outcome = "drift", scores: bool = False, importance: float = 0.0) -> Findings:
    feature = FeatureFinding(
        name="income", kind="numeric", importance=importance, test="ks", statistic=0.1,
        p_value=0.0, effect=0.1, drifted=importance > 0, reasons=["ks"], missing_rate=0.0,
        reference_missing_rate=0.0, outside_share=0.0, note="", checks=[],
    )  # fmt: skip
    score = ScoreFinding(scores, [], {}, {})
    return Findings(outcome=outcome, reason="", features=[feature], score=score)


def rule(found: Findings, *past: Past) -> Retraining:
    return judge(found, past, importance=0.3, runs=3)


def test_enough_runs_in_a_row_are_the_signal() -> None:
    """Drift in the scores in this run and the two before it."""
    said = rule(findings(scores=True), ASKED, ASKED)
    assert said.needed
    assert said.reason == "the scores drifted, 3 of 3 runs in a row"


def test_a_quiet_run_begins_anew() -> None:
    """A run that could tell and had no reason to ask breaks the row."""
    said = rule(findings(scores=True), ASKED, QUIET, ASKED)
    assert (said.needed, said.signal, said.runs) == (False, True, 2)
    assert rule(findings(importance=0.1), ASKED, ASKED).runs == 0


def test_a_run_that_could_not_tell_is_passed_over() -> None:
    """It neither counts nor breaks the row; and by itself it asks for nothing."""
    assert rule(findings(scores=True), SILENT, ASKED, SILENT, ASKED).needed
    assert not rule(findings("failed"), ASKED, ASKED).needed


@pytest.mark.parametrize(("carried", "signal"), [(0.29, False), (0.3, True)])
def test_important_features_ask_as_the_scores_do(carried: float, signal: bool) -> None:
    """Features that carry the configured share of the importance, and no less."""
    assert rule(findings(importance=carried)).signal is signal
