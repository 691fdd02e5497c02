"""Bars that a model has to clear."""

from __future__ import annotations

import numpy as np
import pytest

from bentos.training import TASKS, TaskName, TrainingError, bars
from bentos.training.tasks.registry import pick


@pytest.mark.parametrize("name", TASKS)
def test_metrics_are_those_of_the_task(name: TaskName) -> None:
    """Every metric that is measured can be required, and no other."""
    task = pick(name)
    numbers = np.linspace(0.1, 0.9, 60)
    outcomes = numbers + 0.1 if name == "regression" else np.arange(60) % (2 + (name != "binary"))
    scores = np.eye(3)[np.arange(60) % 3] * 0.7 + 0.1 if name == "multiclass" else numbers
    assert list(task.measure(outcomes, scores, 0.5)) == list(task.titles)
    bars.require_known(bars.parse([f"{metric}>=0" for metric in task.titles]), task.titles, name)
    with pytest.raises(TrainingError, match=f"there is no metric 'gain' of a {name} target"):
        bars.require_known(bars.parse(["gain>=1"]), task.titles, name)


def test_a_bar_is_met_or_missed() -> None:
    """At least and at most; an undefined metric meets nothing."""
    parsed = bars.parse(["roc_auc>=0.77", " brier <= 1.5e-1 "])
    assert [str(bar) for bar in parsed] == ["roc_auc>=0.77", "brier<=0.15"]
    assert bars.find_missed(parsed, {"roc_auc": 0.77, "brier": 0.15}) == []
    assert bars.find_missed(parsed, {"roc_auc": float("nan"), "brier": 0.2}) == [
        "roc_auc is nan, roc_auc>=0.77 is required",
        "brier is 0.2000, brier<=0.15 is required",
    ]


@pytest.mark.parametrize("text", ["roc_auc", "roc_auc>0.7", "roc_auc>=high", ">=1"])
def test_other_texts_are_refused(text: str) -> None:
    """What is no bar is refused in one line."""
    with pytest.raises(TrainingError):
        bars.parse([text])
