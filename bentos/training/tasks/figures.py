"""The pictures of a binary score, and what all pictures share.

Each function returns a figure and keeps no state. Figures are made without pyplot: no window
system, no global list of open figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from bentos.audit.quality.measures import group_calibration
from bentos.training.tasks.evaluation import count_confusion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

# Blue and orange stay apart for colour-blind readers (Okabe and Ito 2008); grey is for context.
MAIN, SECOND, CONTEXT = "#0072B2", "#D55E00", "#999999"
INCHES = (5.2, 4.2)
DOTS_PER_INCH = 110
SCORE_BINS = 50
MOST_FEATURES = 20


def canvas(title: str, inches: tuple[float, float] = INCHES) -> tuple[Figure, Axes]:
    """An empty figure in the project's style, with its axes."""
    figure = Figure(figsize=inches, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    _dress(axes, title)
    return figure, axes


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def label(axes: Axes, across: str, up: str) -> None:
    """Name both axes."""
    axes.set_xlabel(across, fontsize=9)
    axes.set_ylabel(up, fontsize=9)


def draw_roc(
    outcomes: NDArray[np.int64],
    scores: NDArray[np.float64],
    threshold: float,
    metrics: Mapping[str, float],
) -> Figure:
    """Receiver operating characteristic, with the decision threshold's point."""
    figure, axes = canvas(f"ROC: AUC {metrics['roc_auc']:.4f}, KS {metrics['ks']:.4f}")
    false_rate, true_rate, _ = roc_curve(outcomes, scores)
    axes.plot([0, 1], [0, 1], color=CONTEXT, linestyle="--", linewidth=1, label="chance")
    axes.plot(false_rate, true_rate, color=MAIN, linewidth=1.8, label="model")
    confusion = count_confusion(outcomes, scores, threshold)
    rates = confusion[:, 1] / confusion.sum(axis=1)
    axes.plot(*rates, "o", color=SECOND, label=f"threshold {threshold:.3f}")
    label(axes, "false positive rate", "true positive rate")
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    return figure


def draw_precision_recall(
    outcomes: NDArray[np.int64],
    scores: NDArray[np.float64],
    threshold: float,
    metrics: Mapping[str, float],
) -> Figure:
    """Precision over recall, with the decision threshold's point."""
    figure, axes = canvas(f"Precision and recall: average precision {metrics['pr_auc']:.4f}")
    precision, recall, _ = precision_recall_curve(outcomes, scores)
    axes.axhline(
        outcomes.mean(),
        color=CONTEXT,
        linestyle="--",
        linewidth=1,
        label=f"share of positives {outcomes.mean():.3f}",
    )
    axes.step(recall, precision, where="post", color=MAIN, linewidth=1.8, label="model")
    axes.plot(
        metrics["recall"],
        metrics["precision"],
        "o",
        color=SECOND,
        label=f"threshold {threshold:.3f}",
    )
    axes.set_ylim(0, 1.02)
    label(axes, "recall", "precision")
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    return figure


def draw_calibration(
    outcomes: NDArray[np.int64], scores: NDArray[np.float64], metrics: Mapping[str, float]
) -> Figure:
    """Observed rate over mean score in ten groups of equal size, with 95 % intervals."""
    figure, axes = canvas(f"Calibration: error {metrics['calibration_error']:.4f}")
    expected, observed, rows = group_calibration(scores, outcomes.astype(np.float64))
    # 1.96 standard errors of a share: the normal approximation, enough for a picture.
    spread = 1.96 * np.sqrt(observed * (1 - observed) / rows)
    top = float(max(expected.max(), (observed + spread).max())) * 1.05
    axes.plot([0, top], [0, top], color=CONTEXT, linestyle="--", linewidth=1, label="perfect")
    axes.errorbar(
        expected, observed, yerr=spread, fmt="o-", color=MAIN, capsize=2, linewidth=1.4,
        markersize=4, label="model, ten groups",
    )  # fmt: skip
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    label(axes, "mean score of the group", "observed rate of positives")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    return figure


def draw_confusion(
    outcomes: NDArray[np.int64],
    scores: NDArray[np.float64],
    threshold: float,
    classes: Sequence[object],
) -> Figure:
    """Rows by outcome and label at the threshold, and their share of the outcome."""
    figure, axes = canvas(f"Outcome and label at threshold {threshold:.3f}")
    counts = count_confusion(outcomes, scores, threshold)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    for down in range(2):
        for across in range(2):
            # White on dark cells, black on light ones.
            ink = "white" if shares[down, across] > 0.5 else "black"
            text = f"{counts[down, across]:,}\n{shares[down, across]:.1%} of the row"
            axes.text(across, down, text, ha="center", va="center", color=ink, fontsize=10)
    names = [str(name) for name in classes]
    axes.set_xticks([0, 1], names)
    axes.set_yticks([0, 1], names)
    label(axes, "label that the model gives", "outcome")
    return figure


def draw_scores(
    outcomes: NDArray[np.int64],
    scores: NDArray[np.float64],
    threshold: float,
    classes: Sequence[object],
) -> Figure:
    """The distribution of scores in each class, each of area 1."""
    figure, axes = canvas("Scores by outcome")
    edges = np.linspace(0.0, 1.0, SCORE_BINS + 1)
    for value, colour in ((0, MAIN), (1, SECOND)):
        axes.hist(
            scores[outcomes == value], bins=edges.tolist(), density=True, color=colour, alpha=0.5,
            label=f"outcome {classes[value]}",
        )  # fmt: skip
    axes.axvline(
        threshold, color="black", linestyle=":", linewidth=1.2, label=f"threshold {threshold:.3f}"
    )
    axes.set_xlim(0, 1)
    label(axes, "score", "density")
    axes.legend(fontsize=8, frameon=False)
    return figure


def draw_importance(ranked: pd.DataFrame, unit: str = "log-odds") -> Figure:
    """Mean |TreeSHAP| and gain, side by side, the strongest twenty features on top.

    `unit`: what contributions are counted in.
    """
    shown = ranked.head(MOST_FEATURES).iloc[::-1]
    figure = Figure(figsize=(8.0, 1.2 + 0.24 * len(shown)), dpi=DOTS_PER_INCH, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, column, title, colour, across in (
        (left, "mean_contribution", "Mean |TreeSHAP|", MAIN, unit),
        (right, "gain_share", "Gain", SECOND, "share of the total"),
    ):
        _dress(axes, title)
        axes.barh(shown["feature"], shown[column], color=colour)
        axes.grid(axis="y", visible=False)
        axes.margins(y=0.01)  # no empty row above and below the bars
        axes.set_xlabel(across, fontsize=9)
    return figure
