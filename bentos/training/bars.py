"""Bars that a model has to clear on the test rows before it is registered: `roc_auc>=0.77`."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bentos.training import TrainingError

_FORM = re.compile(r"\s*(\w+)\s*(>=|<=)\s*(-?\d+(?:\.\d*)?(?:[eE]-?\d+)?)\s*")


@dataclass(frozen=True)
class Bar:
    """One condition: a metric on the test rows, at least or at most a value."""

    metric: str
    is_least: bool
    value: float

    def is_met(self, metrics: Mapping[str, float]) -> bool:
        """Whether metrics clear the bar; a NaN never does."""
        found = metrics.get(self.metric, math.nan)
        return found >= self.value if self.is_least else found <= self.value

    def __str__(self) -> str:
        return f"{self.metric}{'>=' if self.is_least else '<='}{self.value:g}"


def parse(texts: Iterable[str]) -> list[Bar]:
    """Read bars. Raises TrainingError for another form."""
    bars = []
    for text in texts:
        found = _FORM.fullmatch(text)
        if found is None:
            raise TrainingError(f"{text!r} is no bar: write METRIC>=VALUE or METRIC<=VALUE")
        metric, sign, value = found.groups()
        bars.append(Bar(metric, sign == ">=", float(value)))
    return bars


def require_known(bars: Iterable[Bar], metrics: Collection[str], task: str) -> None:
    """Raise TrainingError for a bar on a metric that a task does not have."""
    for bar in bars:
        if bar.metric not in metrics:
            raise TrainingError(
                f"there is no metric {bar.metric!r} of a {task} target; there are "
                f"{', '.join(metrics)}"
            )


def find_missed(bars: Iterable[Bar], metrics: Mapping[str, float]) -> list[str]:
    """A line for each bar that is not cleared."""
    return [
        f"{bar.metric} is {metrics.get(bar.metric, math.nan):.4f}, {bar} is required"
        for bar in bars
        if not bar.is_met(metrics)
    ]
