"""Bars that a model has to clear on the test rows before it is registered: `roc_auc>=0.77`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bentos.training import TrainingError

# The metrics that `evaluation.measure` gives.
METRICS = (
    "roc_auc",
    "pr_auc",
    "ks",
    "gini",
    "brier",
    "log_loss",
    "precision",
    "recall",
    "f1",
    "accuracy",
    "flagged_rate",
    "calibration_error",
    "calibration_gap",
)
_FORM = re.compile(r"\s*(\w+)\s*(>=|<=)\s*(-?\d+(?:\.\d*)?(?:[eE]-?\d+)?)\s*")


@dataclass(frozen=True)
class Bar:
    """One condition: a metric on the test rows, at least or at most a value."""

    metric: str
    is_least: bool
    value: float

    def is_met(self, metrics: Mapping[str, float]) -> bool:
        """Whether metrics clear the bar; a NaN never does."""
        found = metrics[self.metric]
        return found >= self.value if self.is_least else found <= self.value

    def __str__(self) -> str:
        return f"{self.metric}{'>=' if self.is_least else '<='}{self.value:g}"


def parse(texts: Iterable[str]) -> list[Bar]:
    """Read bars. Raises TrainingError for another form or an unknown metric."""
    bars = []
    for text in texts:
        found = _FORM.fullmatch(text)
        if found is None:
            raise TrainingError(f"{text!r} is no bar: write METRIC>=VALUE or METRIC<=VALUE")
        metric, sign, value = found.groups()
        if metric not in METRICS:
            raise TrainingError(f"there is no metric {metric!r}; there are {', '.join(METRICS)}")
        bars.append(Bar(metric, sign == ">=", float(value)))
    return bars


def find_missed(bars: Iterable[Bar], metrics: Mapping[str, float]) -> list[str]:
    """A line for each bar that is not cleared."""
    return [
        f"{bar.metric} is {metrics[bar.metric]:.4f}, {bar} is required"
        for bar in bars
        if not bar.is_met(metrics)
    ]
