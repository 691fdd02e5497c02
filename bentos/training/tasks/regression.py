"""A number: the score is the expected value of the target, in its own unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bentos.audit.quality.measures import group_calibration, measure_regression
from bentos.training.tasks.figures import CONTEXT, MAIN, SECOND, canvas, label
from bentos.training.tasks.task import Deciding, Evaluated

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bentos.training import Classes, TaskName

_ERROR_BINS = 50


class Regression:
    """Implements Task."""

    name: TaskName = "regression"
    noun = "regressor"
    baseline = "linear_regression"
    # All candidates learn the mean, so the squared error is what they are after.
    deciding = Deciding("rmse", "RMSE", is_more_better=False, is_relative=True)
    titles: ClassVar[dict[str, str]] = {
        "rmse": "RMSE",
        "mae": "Mean absolute error",
        "median_error": "Median absolute error",
        "mean_error": "Mean error (score minus outcome)",
        "r2": "R²",
    }
    shown = ("rmse", "mae", "median_error", "mean_error", "r2")
    contribution_unit = "the target's unit"

    def measure(
        self, outcomes: NDArray[Any], scores: NDArray[np.float64], threshold: float | None
    ) -> dict[str, float]:
        """As `Task.measure`; R² is left out where all outcomes are equal."""
        errors = scores - outcomes
        found = {
            **measure_regression(scores, outcomes),
            "median_error": float(np.median(np.abs(errors))),
            "mean_error": float(errors.mean()),
        }
        return {name: found[name] for name in self.titles if np.isfinite(found[name])}

    def measure_group(
        self, outcomes: NDArray[Any], scores: NDArray[np.float64], threshold: float | None
    ) -> dict[str, float | None]:
        """Mean outcome, mean error, mean absolute error."""
        errors = scores - outcomes
        return {
            "mean_outcome": float(outcomes.mean()),
            "mean_error": float(errors.mean()),
            "mae": float(np.abs(errors).mean()),
        }

    def draw(self, evaluated: Evaluated) -> dict[str, Figure]:
        return {
            "predicted": draw_predicted(evaluated),
            "errors": draw_errors(evaluated),
            "calibration": draw_calibration(evaluated.outcomes, evaluated.scores),
        }

    def say_score(self, target: str, classes: Classes) -> str:
        return f"value of {target}, in its own unit"


def draw_predicted(evaluated: Evaluated) -> Figure:
    """Outcome over score, rows counted in hexagons."""
    r2 = evaluated.metrics.get("r2")
    figure, axes = canvas("Outcome and score" + ("" if r2 is None else f": R² {r2:.4f}"))
    scores, outcomes = evaluated.scores, evaluated.outcomes
    axes.hexbin(scores, outcomes, gridsize=40, mincnt=1, bins="log", cmap="Blues")
    ends = [float(min(scores.min(), outcomes.min())), float(max(scores.max(), outcomes.max()))]
    axes.plot(ends, ends, color=CONTEXT, linestyle="--", linewidth=1, label="score = outcome")
    label(axes, "score", "outcome")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    return figure


def draw_errors(evaluated: Evaluated) -> Figure:
    """Distribution of score minus outcome, but for its outermost percent."""
    figure, axes = canvas(f"Errors: mean absolute error {evaluated.metrics['mae']:.4g}")
    errors = evaluated.scores - evaluated.outcomes
    low, high = np.quantile(errors, [0.005, 0.995])
    shown = errors[(errors >= low) & (errors <= high)]
    axes.hist(shown, bins=_ERROR_BINS, color=MAIN, alpha=0.7)
    axes.axvline(0.0, color="black", linestyle=":", linewidth=1.2)
    axes.axvline(float(errors.mean()), color=SECOND, linewidth=1.4, label="mean error")
    label(axes, "score minus outcome", "rows")
    axes.legend(fontsize=8, frameon=False)
    return figure


def draw_calibration(outcomes: NDArray[np.float64], scores: NDArray[np.float64]) -> Figure:
    """Mean outcome over mean score in ten groups of equal size, by ascending score."""
    figure, axes = canvas("Calibration")
    expected, observed, _ = group_calibration(scores, outcomes)
    ends = [float(min(expected.min(), observed.min())), float(max(expected.max(), observed.max()))]
    axes.plot(ends, ends, color=CONTEXT, linestyle="--", linewidth=1, label="perfect")
    axes.plot(expected, observed, "o-", color=MAIN, markersize=4, label="model, ten groups")
    label(axes, "mean score of the group", "mean outcome")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    return figure
