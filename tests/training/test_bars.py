"""Bars that a model has to clear."""

from __future__ import annotations

import numpy as np
import pytest

from bentos.training import TrainingError, bars, evaluation


def test_metrics_are_those_of_the_evaluation() -> None:
    """Every metric that is measured can be required, and no other."""
    measured = evaluation.measure(np.array([0, 1] * 20), np.linspace(0.1, 0.9, 40), 0.5)
    assert tuple(measured) == bars.METRICS


def test_a_bar_is_met_or_missed() -> None:
    """At least and at most; an undefined metric meets nothing."""
    parsed = bars.parse(["roc_auc>=0.77", " brier <= 1.5e-1 "])
    assert [str(bar) for bar in parsed] == ["roc_auc>=0.77", "brier<=0.15"]
    assert bars.find_missed(parsed, {"roc_auc": 0.77, "brier": 0.15}) == []
    assert bars.find_missed(parsed, {"roc_auc": float("nan"), "brier": 0.2}) == [
        "roc_auc is nan, roc_auc>=0.77 is required",
        "brier is 0.2000, brier<=0.15 is required",
    ]


@pytest.mark.parametrize("text", ["roc_auc", "roc_auc>0.7", "roc_auc>=high", ">=1", "auc>=0.7"])
def test_other_texts_are_refused(text: str) -> None:
    """What is no bar is refused in one line."""
    with pytest.raises(TrainingError):
        bars.parse([text])
