"""The model card: what the model is for, how good it is, whom it treats how, where it ends.

After "Model Cards for Model Reporting" (Mitchell and others 2019). Numbers come from the
hold-out rows of this very run; nothing is filled in by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bentos.training.tasks import groups
from bentos.training.tasks import registry as tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bentos.model.bundle import Decision
    from bentos.training.bars import Bar
    from bentos.training.data import Dataset
    from bentos.training.tasks.fairness import Slice
    from bentos.training.tasks.task import Task

NOT_STATED = "Not stated. State it before the model is used."


@dataclass(frozen=True)
class Facts:
    """What a card is written from.

    `metrics`: test metrics of every candidate by its name. `decision`: of a binary target, else
    None. `time`: the column that the parts follow. `bars`: what was required of the served
    candidate.
    """

    name: str
    dataset: Dataset
    rows: Mapping[str, int]
    metrics: Mapping[str, Mapping[str, float]]
    served: str
    decision: Decision | None
    slices: Sequence[Slice]
    parameters: Mapping[str, float | int | str]
    versions: Mapping[str, str]
    settings_digest: str
    time: str | None = None
    bars: Sequence[Bar] = ()


def card_line(
    name: str, version: str, task: Task, metrics: Mapping[str, float], threshold: float | None
) -> str:
    """The card in one line."""
    listed = ", ".join(f"{key} {metrics[key]:.4f}" for key in task.shown if key in metrics)
    decided = "" if threshold is None else f"; threshold {threshold:.4f}"
    return f"{name} version {version}: {listed} on hold-out rows{decided}"


def write(facts: Facts) -> str:
    """Write the card as Markdown."""
    dataset, description = facts.dataset, facts.dataset.description
    task = tasks.pick(dataset.task)
    sections = {
        "Intended use": _list(description.intended_use),
        "Not intended": _list(description.not_intended_use),
        "Data": _data(facts),
        "Hold-out metrics": _metrics(facts, task),
        "Calibration": _calibration(facts.metrics[facts.served]),
        "Decision threshold": _decision(facts.decision),
        "Groups": groups.write(facts.slices, task),
        "Limits": _list(description.limits),
        "How to reproduce": _reproduction(facts),
    }
    if not sections["Calibration"]:
        del sections["Calibration"]
    quoted = tuple(f"`{label}`" for label in dataset.classes)
    said = task.say_score(f"`{description.target.name}`", quoted)
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return (
        f"# Model card: {facts.name}\n\n"
        f"LightGBM {task.noun} on {dataset.features.shape[1]} features. Its score is the "
        f"{said}.\n\n{body}\n"
    )


def _decision(decision: Decision | None) -> str:
    if decision is None:
        return "None: a threshold is of binary targets only."
    return (
        f"{decision.threshold!r}. {decision.method} A score equal to it or above gets the second "
        "class."
    )


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or NOT_STATED


def _data(facts: Facts) -> str:
    dataset, description = facts.dataset, facts.dataset.description
    parts = ", ".join(f"{count:,} {part}" for part, count in facts.rows.items())
    stated = [description.provenance, description.citation]
    licence = f"Licence: {description.licence}." if description.licence else ""
    lines = [
        description.title + ".",
        *(line for line in [*stated, licence] if line),
        f"{len(dataset.outcomes):,} rows ({parts}), {_target(dataset)}. Digest `{dataset.digest}`.",
        f"{_split(facts.time, dataset)} Tuning, early stopping"
        f"{' and the threshold' if facts.decision else ''} used the validation rows, the numbers "
        "below come from the test rows.",
    ]
    if not description.provenance:
        lines.insert(1, f"Origin and licence: {NOT_STATED}")
    return "\n\n".join(lines)


def _target(dataset: Dataset) -> str:
    """How the target's values are spread."""
    if dataset.task == "binary":
        return f"{dataset.outcomes.mean():.2%} positive"
    if dataset.task == "regression":
        low, middle, high = (float(value) for value in np.quantile(dataset.outcomes, [0, 0.5, 1]))
        return f"target from {low:g} to {high:g}, median {middle:g}"
    shares = np.bincount(dataset.outcomes) / len(dataset.outcomes)
    return (
        f"{len(dataset.classes)} classes, from {shares.min():.2%} to {shares.max():.2%} of the rows"
    )


def _split(time: str | None, dataset: Dataset) -> str:
    if time is None:
        return f"The parts are drawn at random{' within each class' if dataset.classes else ''}."
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


def _metrics(facts: Facts, task: Task) -> str:
    names = list(facts.metrics)
    rows = [
        [title, *(_number(facts.metrics[name].get(key)) for name in names)]
        for key, title in task.titles.items()
    ]
    table = groups.table(["", *(name.replace("_", " ") for name in names)], rows)
    key, title = task.deciding.metric, task.deciding.title
    order = max if task.deciding.is_more_better else min
    best = order(names, key=lambda name: facts.metrics[name][key])
    if best == facts.served:
        remark = f"`{facts.served}` has the best {title} of the candidates."
    else:
        lead = abs(facts.metrics[best][key] - facts.metrics[facts.served][key])
        higher = "higher" if task.deciding.is_more_better else "lower"
        remark = (
            f"`{best}` has a {title} {higher} by {lead:.4f}. `{facts.served}` is the one that is "
            "served: it takes categories and missing values as they are, and its trees are plain "
            "text that no server has to unpickle."
        )
    own = "Every candidate has its own threshold, chosen the same way. " if facts.decision else ""
    return f"{table}\n\n{own}{remark}{_required(facts)}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _calibration(metrics: Mapping[str, float]) -> str:
    if "calibration_error" not in metrics:
        return ""
    return (
        f"Over ten groups of equal size the score is {metrics['calibration_error']:.4f} away from "
        f"the observed rate on average. Mean score minus observed rate is "
        f"{metrics['calibration_gap']:+.4f}. The scores are not calibrated afterwards."
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
