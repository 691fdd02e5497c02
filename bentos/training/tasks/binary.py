"""Two classes: the score is the probability of the second, a threshold makes it a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from bentos.training.tasks import evaluation, fairness, figures
from bentos.training.tasks.task import Deciding, Evaluated

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bentos.training import Classes, TaskName


class Binary:
    """Implements Task."""

    name: TaskName = "binary"
    noun = "binary classifier"
    baseline = "logistic_regression"
    deciding = Deciding("roc_auc", "ROC-AUC", is_more_better=True)
    titles: ClassVar[dict[str, str]] = {
        "roc_auc": "ROC-AUC",
        "pr_auc": "PR-AUC (average precision)",
        "ks": "KS",
        "gini": "Gini",
        "brier": "Brier score",
        "log_loss": "Log loss",
        "precision": "Precision at the threshold",
        "recall": "Recall at the threshold",
        "f1": "F1 at the threshold",
        "accuracy": "Accuracy at the threshold",
        "flagged_rate": "Share at or above the threshold",
        "calibration_error": "Calibration error",
        "calibration_gap": "Calibration gap",
    }
    shown = ("roc_auc", "pr_auc", "ks", "gini", "brier", "log_loss", "f1", "accuracy")
    contribution_unit = "log-odds"

    def measure(
        self, outcomes: NDArray[Any], scores: NDArray[np.float64], threshold: float | None
    ) -> dict[str, float]:
        return evaluation.measure(outcomes, scores, _require(threshold))

    def measure_group(
        self, outcomes: NDArray[Any], scores: NDArray[np.float64], threshold: float | None
    ) -> dict[str, float | None]:
        return fairness.measure_rates(outcomes, scores, _require(threshold))

    def draw(self, evaluated: Evaluated) -> dict[str, Figure]:
        outcomes, scores, classes = evaluated.outcomes, evaluated.scores, evaluated.classes
        threshold, metrics = _require(evaluated.threshold), evaluated.metrics
        return {
            "roc": figures.draw_roc(outcomes, scores, threshold, metrics),
            "precision_recall": figures.draw_precision_recall(outcomes, scores, threshold, metrics),
            "calibration": figures.draw_calibration(outcomes, scores, metrics),
            "confusion": figures.draw_confusion(outcomes, scores, threshold, classes),
            "scores": figures.draw_scores(outcomes, scores, threshold, classes),
        }

    def say_score(self, target: str, classes: Classes) -> str:
        return f"probability that {target} is {classes[1]}"


def _require(threshold: float | None) -> float:
    if threshold is None:
        raise TypeError("a binary score has a threshold")
    return threshold
