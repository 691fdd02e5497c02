"""Several classes: a probability of each; the label is the most probable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.metrics import confusion_matrix, f1_score

from bentos.audit.quality.measures import (
    calibration_error,
    group_calibration,
    measure_multiclass,
)
from bentos.training.tasks.figures import CONTEXT, MAIN, SECOND, canvas, label
from bentos.training.tasks.task import Deciding, Evaluated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bentos.training import Classes, TaskName

# More cells than this are a picture without numbers.
_NUMBERED_CLASSES = 12


class Multiclass:
    """Implements Task."""

    name: TaskName = "multiclass"
    noun = "classifier of several classes"
    baseline = "logistic_regression"
    # Of the probabilities themselves, and defined whatever classes the rows have.
    deciding = Deciding("log_loss", "log loss", is_more_better=False)
    titles: ClassVar[dict[str, str]] = {
        "log_loss": "Log loss",
        "accuracy": "Accuracy of the most probable class",
        "roc_auc": "ROC-AUC (one class against the rest, mean over classes)",
        "macro_f1": "F1, mean over classes",
        "macro_recall": "Recall, mean over classes",
        "calibration_error": "Calibration error of the most probable class",
        "calibration_gap": "Calibration gap of the most probable class",
    }
    shown = ("log_loss", "accuracy", "roc_auc", "macro_f1", "macro_recall")
    contribution_unit = "log-odds, mean over classes"

    def measure(
        self, outcomes: NDArray[Any], scores: NDArray[np.float64], threshold: float | None
    ) -> dict[str, float]:
        """As `Task.measure`; F1 and recall are plain means over the classes that occur."""
        decided = scores.argmax(axis=1)
        top, is_right = scores.max(axis=1), (decided == outcomes).astype(np.float64)
        present = np.unique(outcomes)
        found = {
            **measure_multiclass(scores, outcomes, decided),
            "macro_f1": float(
                f1_score(outcomes, decided, average="macro", labels=present, zero_division=0.0)
            ),
            "macro_recall": float(
                np.mean([np.mean(decided[outcomes == number] == number) for number in present])
            ),
            "calibration_error": calibration_error(top, is_right),
            "calibration_gap": float(top.mean() - is_right.mean()),
        }
        return {name: found[name] for name in self.titles if np.isfinite(found[name])}

    def measure_group(
        self, outcomes: NDArray[Any], scores: NDArray[np.float64], threshold: float | None
    ) -> dict[str, float | None]:
        """Accuracy, mean over classes of recall, log loss."""
        found = self.measure(outcomes, scores, threshold)
        return {name: found[name] for name in ("accuracy", "macro_recall", "log_loss")}

    def draw(self, evaluated: Evaluated) -> dict[str, Figure]:
        outcomes, scores = evaluated.outcomes, evaluated.scores
        return {
            "confusion": draw_confusion(evaluated),
            "classes": draw_classes(evaluated),
            "calibration": draw_calibration(outcomes, scores, evaluated.metrics),
        }

    def say_score(self, target: str, classes: Classes) -> str:
        return f"probability of each of the {len(classes)} values of {target}"


def draw_confusion(evaluated: Evaluated) -> Figure:
    """Share of each outcome (down) that gets each label (across)."""
    names = [str(name) for name in evaluated.classes]
    size = max(4.2, 1.6 + 0.42 * len(names))
    figure, axes = canvas("Outcome and label", (size + 1.0, size))
    counts = confusion_matrix(
        evaluated.outcomes, evaluated.scores.argmax(axis=1), labels=range(len(names))
    )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    if len(names) <= _NUMBERED_CLASSES:
        for down, across in np.ndindex(counts.shape):
            # White on dark cells, black on light ones.
            ink = "white" if shares[down, across] > 0.5 else "black"
            axes.text(
                across, down, f"{counts[down, across]:,}", ha="center", va="center", color=ink,
                fontsize=8,
            )  # fmt: skip
    axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > 6 else 0)
    axes.set_yticks(range(len(names)), names)
    label(axes, "label that the model gives", "outcome")
    return figure


def draw_classes(evaluated: Evaluated) -> Figure:
    """Recall and precision of each class."""
    names = [str(name) for name in evaluated.classes]
    figure, axes = canvas("Recall and precision by class", (5.2, max(4.2, 1.2 + 0.3 * len(names))))
    counts = confusion_matrix(
        evaluated.outcomes, evaluated.scores.argmax(axis=1), labels=range(len(names))
    )
    right = np.diag(counts)
    places = np.arange(len(names))
    for offset, totals, colour, called in (
        (-0.2, counts.sum(axis=1), MAIN, "recall"),
        (0.2, counts.sum(axis=0), SECOND, "precision"),
    ):
        axes.barh(places + offset, right / np.maximum(totals, 1), 0.38, color=colour, label=called)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    label(axes, "share of rows", "class")
    axes.legend(fontsize=8, frameon=False)
    return figure


def draw_calibration(
    outcomes: NDArray[np.int64], scores: NDArray[np.float64], metrics: Mapping[str, float]
) -> Figure:
    """Share of right labels over the score of the label, in ten groups of equal size."""
    figure, axes = canvas(f"Calibration of the label: error {metrics['calibration_error']:.4f}")
    is_right = (scores.argmax(axis=1) == outcomes).astype(np.float64)
    expected, observed, _ = group_calibration(scores.max(axis=1), is_right)
    axes.plot([0, 1], [0, 1], color=CONTEXT, linestyle="--", linewidth=1, label="perfect")
    axes.plot(expected, observed, "o-", color=MAIN, markersize=4, label="model, ten groups")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    label(axes, "mean score of the label", "share of right labels")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    return figure
