"""The rule for retraining."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from monitoring.drift.decision.findings import (
    FeatureFinding,
    Findings,
    Outcome,
    Retraining,
    ScoreFinding,
    Span,
)
from monitoring.drift.decision.retraining import judge

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Past:
    """A run over the 24 hours before it, so many hours ago."""

    signal: bool
    hours: float = 0.0

    @property
    def until(self) -> datetime:
        return NOON - timedelta(hours=self.hours)

    @property
    def since(self) -> datetime:
        return self.until - timedelta(hours=24)


def findings(outcome: Outcome = "drift", scores: bool = False, importance: float = 0.0) -> Findings:
    feature = FeatureFinding(
        name="income", kind="numeric", importance=importance, test="ks", statistic=0.1,
        p_value=0.0, effect=0.1, drifted=importance > 0, reasons=["ks"], missing_rate=0.0,
        reference_missing_rate=0.0, outside_share=0.0, note="", checks=[],
    )  # fmt: skip
    score = ScoreFinding(scores, [], {}, {})
    return Findings(outcome=outcome, reason="", features=[feature], score=score)


def rule(found: Findings, *past: Past) -> Retraining:
    window = Span(NOON - timedelta(hours=24), NOON)
    return judge(found, window, past, importance=0.3, runs=3)


def test_enough_windows_in_a_row_are_the_signal() -> None:
    """Drift in the scores in this run and in those of the two days before it."""
    said = rule(findings(scores=True), Past(True, 24), Past(True, 48))
    assert said.needed
    assert said.reason == "the scores drifted, 3 of 3 windows in a row"


def test_windows_that_share_rows_count_once() -> None:
    """Hourly runs over a day: 46 earlier ones that ask are three windows, 45 are two."""
    hourly = [Past(True, hours) for hours in range(1, 47)]
    assert rule(findings(scores=True), *hourly).needed
    assert rule(findings(scores=True), *hourly[:-1]).runs == 2


def test_a_daily_run_may_come_early() -> None:
    """A few minutes of a day are not the same day: a scheduler is never to the second."""
    assert rule(findings(scores=True), Past(True, 23.9), Past(True, 47.7)).needed
    assert not rule(findings(scores=True), Past(True, 22.5), Past(True, 45.0)).needed


def test_the_same_window_again_counts_once() -> None:
    """However often a run is repeated."""
    assert rule(findings(scores=True), *[Past(True)] * 9).runs == 1


def test_a_quiet_run_begins_anew() -> None:
    """A run that had no reason to ask breaks the row, even where its window is not counted."""
    said = rule(findings(scores=True), Past(True, 24), Past(False, 36), Past(True, 48))
    assert (said.needed, said.signal, said.runs) == (False, True, 2)
    assert rule(findings(importance=0.1), Past(True, 24), Past(True, 48)).runs == 0


def test_a_run_that_could_not_tell_asks_for_nothing() -> None:
    """Whatever the runs before it said."""
    assert not rule(findings("failed"), Past(True, 24), Past(True, 48)).needed


def test_no_more_runs_are_read_than_the_answer_needs() -> None:
    """The past may be years long."""

    def endless() -> Iterator[Past]:
        for day in range(1, 4):
            yield Past(True, 24 * day)
        pytest.fail("three windows were enough")

    window = Span(NOON - timedelta(hours=24), NOON)
    assert judge(findings(scores=True), window, endless(), importance=0.3, runs=3).needed


@pytest.mark.parametrize(("carried", "signal"), [(0.29, False), (0.3, True)])
def test_important_features_ask_as_the_scores_do(carried: float, signal: bool) -> None:
    """Features that carry the configured share of the importance, and no less."""
    assert rule(findings(importance=carried)).signal is signal
