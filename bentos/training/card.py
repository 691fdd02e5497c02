"""The model card: what the model is for, how good it is, whom it treats how, where it ends.

After "Model Cards for Model Reporting" (Mitchell and others 2019). Numbers come from the
hold-out rows of this very run; nothing is filled in by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bentos.model.bundle import Decision
    from bentos.training.bars import Bar
    from bentos.training.data import Dataset
    from bentos.training.fairness import Slice

NOT_STATED = "Not stated. State it before the model is used."

# Under so many rows a rate can be ten percentage points off by chance alone (1.96 standard
# errors of a share of one half).
FEW_ROWS = 100

METRIC_NAMES = {
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
}


@dataclass(frozen=True)
class Facts:
    """What a card is written from.

    `metrics`: test metrics of every candidate by its name. `time`: the column that the parts
    follow. `bars`: what was required of the served candidate.
    """

    name: str
    dataset: Dataset
    rows: Mapping[str, int]
    metrics: Mapping[str, Mapping[str, float]]
    served: str
    decision: Decision
    slices: Sequence[Slice]
    parameters: Mapping[str, float | int | str]
    versions: Mapping[str, str]
    settings_digest: str
    time: str | None = None
    bars: Sequence[Bar] = ()


def card_line(name: str, version: str, metrics: Mapping[str, float], threshold: float) -> str:
    """The card in one line."""
    return (
        f"{name} version {version}: ROC-AUC {metrics['roc_auc']:.4f}, KS {metrics['ks']:.4f}, "
        f"Brier {metrics['brier']:.4f}, calibration error {metrics['calibration_error']:.4f} "
        f"on hold-out rows; threshold {threshold:.4f}"
    )


def write(facts: Facts) -> str:
    """Write the card as Markdown."""
    description = facts.dataset.description
    sections = {
        "Intended use": _list(description.intended_use),
        "Not intended": _list(description.not_intended_use),
        "Data": _data(facts),
        "Hold-out metrics": _metrics(facts),
        "Calibration": _calibration(facts.metrics[facts.served]),
        "Decision threshold": f"{facts.decision.threshold!r}. {facts.decision.method} "
        "A score equal to it or above gets the second class.",
        "Groups": _groups(facts),
        "Limits": _list(description.limits),
        "How to reproduce": _reproduction(facts),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    positive = facts.dataset.classes[1]
    return (
        f"# Model card: {facts.name}\n\n"
        f"LightGBM binary classifier on {facts.dataset.features.shape[1]} features. Its score is "
        f"the probability that `{description.target.name}` is `{positive}`.\n\n{body}\n"
    )


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or NOT_STATED


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _data(facts: Facts) -> str:
    dataset, description = facts.dataset, facts.dataset.description
    parts = ", ".join(f"{count:,} {part}" for part, count in facts.rows.items())
    stated = [description.provenance, description.citation]
    licence = f"Licence: {description.licence}." if description.licence else ""
    lines = [
        description.title + ".",
        *(line for line in [*stated, licence] if line),
        f"{len(dataset.outcomes):,} rows ({parts}), {dataset.outcomes.mean():.2%} positive. "
        f"Digest `{dataset.digest}`.",
        f"{_split(facts.time)} Tuning, early stopping and the threshold used the validation rows, "
        "the numbers below come from the test rows.",
    ]
    if not description.provenance:
        lines.insert(1, f"Origin and licence: {NOT_STATED}")
    return "\n\n".join(lines)


def _split(time: str | None) -> str:
    if time is None:
        return "The parts are drawn at random within each class."
    return (
        f"The parts follow `{time}`: no training row is later than a validation row, and no "
        "validation row later than a test row."
    )


def _required(facts: Facts) -> str:
    metrics = facts.metrics[facts.served]
    listed = ", ".join(
        f"`{bar}` ({'met' if bar.is_met(metrics) else 'not met'})" for bar in facts.bars
    )
    return f"\n\nRequired of `{facts.served}`: {listed}." if listed else ""


def _metrics(facts: Facts) -> str:
    names = list(facts.metrics)
    rows = [
        [title, *(f"{facts.metrics[name][key]:.4f}" for name in names)]
        for key, title in METRIC_NAMES.items()
    ]
    table = _table(["", *(name.replace("_", " ") for name in names)], rows)
    best = max(names, key=lambda name: facts.metrics[name]["roc_auc"])
    if best == facts.served:
        remark = f"`{facts.served}` has the best ROC-AUC of the candidates."
    else:
        lead = facts.metrics[best]["roc_auc"] - facts.metrics[facts.served]["roc_auc"]
        remark = (
            f"`{best}` has a ROC-AUC higher by {lead:.4f}. `{facts.served}` is the one that is "
            "served: it takes categories and missing values as they are, and its trees are plain "
            "text that no server has to unpickle."
        )
    return (
        f"{table}\n\nEvery candidate has its own threshold, chosen the same way. {remark}"
        f"{_required(facts)}"
    )


def _calibration(metrics: Mapping[str, float]) -> str:
    return (
        f"Over ten groups of equal size the score is {metrics['calibration_error']:.4f} away from "
        f"the observed rate on average. Mean score minus observed rate is "
        f"{metrics['calibration_gap']:+.4f}. The scores are not calibrated afterwards."
    )


def _share(value: float | None, digits: str = ".1%") -> str:
    return "none" if value is None else format(value, digits)


def _groups(facts: Facts) -> str:
    if not facts.slices:
        return "No slices are configured (`fairness.slices`), so nothing is known of groups."
    rows = [
        [
            f"{item.column}: {item.group}",
            f"{item.rows:,}",
            _share(item.base_rate),
            _share(item.roc_auc, ".3f"),
            _share(item.approval_rate),
            _share(item.false_negative_rate),
            _share(item.false_positive_rate),
        ]
        for item in facts.slices
    ]
    header = [
        "group",
        "rows",
        "positives",
        "ROC-AUC",
        "approved",
        "missed positives",
        "refused negatives",
    ]
    lines = [
        _table(header, rows),
        "Approved: a score under the threshold. Missed: positives that were approved. Refused: "
        "negatives that were not.",
        *(
            _spread(facts.slices, column)
            for column in dict.fromkeys(s.column for s in facts.slices)
        ),
        "One threshold serves all groups and nothing was done to even the rates out. Groups "
        "whose share of positives differs cannot have equal rates of approval and of both kinds of "
        "error at once, unless the score were perfect.",
    ]
    small = [f"{s.column}: {s.group} ({s.rows})" for s in facts.slices if s.rows < FEW_ROWS]
    if small:
        lines.append(f"Too few rows to say much (under {FEW_ROWS}): {', '.join(small)}.")
    return "\n\n".join(lines)


def _spread(slices: Sequence[Slice], column: str) -> str:
    """Name the largest difference in approval between groups of a column that have enough rows."""
    groups = [item for item in slices if item.column == column and item.rows >= FEW_ROWS]
    if len(groups) < 2:
        return f"`{column}`: too few rows to compare groups."
    low = min(groups, key=lambda item: item.approval_rate)
    high = max(groups, key=lambda item: item.approval_rate)
    return (
        f"`{column}`: {high.group} is approved most ({high.approval_rate:.1%}), {low.group} least "
        f"({low.approval_rate:.1%}), {100 * (high.approval_rate - low.approval_rate):.1f} "
        f"percentage points apart; their shares of positives are {high.base_rate:.1%} and "
        f"{low.base_rate:.1%}."
    )


def _reproduction(facts: Facts) -> str:
    parameters = ", ".join(f"`{key}={value}`" for key, value in facts.parameters.items())
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    return (
        "`tabserve train` with the same data, the parent run's `settings.yaml` and the versions "
        "below gives the same numbers to the last digit.\n\n"
        f"- Settings digest: `{facts.settings_digest}`\n"
        f"- Parameters: {parameters}\n- Versions: {versions}"
    )
