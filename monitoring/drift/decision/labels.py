"""Labelled rows of a window: which outcomes count, and what performance they show.

An outcome comes from a client. One that the model cannot have, or that cannot be right, is
counted and left out; it never keeps features and scores from being compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from monitoring.drift.decision import performance
from monitoring.drift.decision.decide import StatisticError, decide
from monitoring.drift.decision.findings import CheckName, Performance
from monitoring.drift.decision.limits import SHARES, Limits
from monitoring.drift.decision.sample import Sample

if TYPE_CHECKING:
    from bentos.model.contract import Contract

# While a model errs as in training, at most one row in a million errs by more than a thousand
# times the root mean squared error (Chebyshev), or a million times the mean absolute one (Markov).
_FAR: dict[CheckName, float] = {"rmse": 1e3, "mae": 1e6}

# The square of a number up to this one, and the sum of any number of squares, is a float64.
_LARGEST = 1e100


def compare(
    window: Sample,
    contract: Contract,
    outcomes: Mapping[str, str],
    training: Mapping[str, float],
    limits: Limits,
    seed: int,
    training_rows: int,
) -> Performance | None:
    """Compare performance on the rows that have an outcome; None where none has.

    `outcomes`: by the id of the prediction. `training`: metrics of training by name, measured
    on `training_rows` rows where training logged no number of its own.
    """
    places = np.array(
        [place for place, name in enumerate(window.ids) if name in outcomes], dtype=np.intp
    )
    if not len(places):
        return None
    texts = [outcomes[window.ids[place]] for place in places]
    scored = window.scores.to_numpy()[places]
    try:
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            return _compare(texts, scored, contract, training, limits, seed, training_rows)
    except (ArithmeticError, StatisticError, ValueError):
        # Features and scores were compared all the same: only this part has no verdict.
        note = "performance not compared: a metric of the labelled rows is no number"
        return Performance(False, len(texts), [], {}, note, is_failed=True)


def _compare(
    texts: Sequence[str],
    scored: NDArray[np.float64],
    contract: Contract,
    training: Mapping[str, float],
    limits: Limits,
    seed: int,
    training_rows: int,
) -> Performance:
    classes = [str(name) for name in contract.classes or ()]
    notes, kept = [], np.ones(len(texts), dtype=bool)
    for what, is_left_out in _find_unusable(texts, scored, classes, training):
        count = int((kept & is_left_out).sum())
        if count:
            notes.append(f"{count:,} of {len(texts):,} outcomes {what}")
        kept &= ~is_left_out
    labels = int(kept.sum())
    if 2 * labels < len(texts):
        note = f"performance not compared: {'; '.join(notes)}"
        return Performance(False, labels, [], {}, note, is_failed=True)
    if labels < limits.min_labels:
        notes.append(f"{labels} labels, {limits.min_labels} are needed")
        return Performance(False, labels, [], {}, "; ".join(notes))
    used, scored = (
        [text for text, is_kept in zip(texts, kept, strict=True) if is_kept],
        scored[kept],
    )
    evidence = performance.read_training(training, training_rows)
    if contract.task == "binary":
        truth = np.array([text == classes[1] for text in used])
        checks = performance.compare_binary(truth, scored[:, 0], evidence, limits, seed)
    elif contract.task == "multiclass":
        checks = performance.compare_classes(used, scored, classes, evidence, limits, seed)
    else:
        numbers = np.array([float(text) for text in used])
        checks = performance.compare_numbers(numbers, scored[:, 0], evidence, limits, seed)
    checks = decide(checks, limits.alpha, SHARES["performance"])
    if not checks:
        notes.append("training logged none of the metrics that are compared")
    return Performance(
        any(check.drifted for check in checks),
        labels,
        checks,
        {check.name: evidence.values[check.name] for check in checks},
        "; ".join(notes),
    )


def _find_unusable(
    texts: Sequence[str],
    scored: NDArray[np.float64],
    classes: Sequence[str],
    training: Mapping[str, float],
) -> list[tuple[str, NDArray[np.bool_]]]:
    """Why outcomes are left out, and which: bool, shape (labels,)."""
    if classes:
        foreign = np.array([text not in classes for text in texts])
        return [("are none of the model's classes", foreign)]
    numbers = np.array([_read_number(text) for text in texts])
    is_number = np.isfinite(numbers)
    usable = is_number & (np.abs(np.where(is_number, numbers, 0.0)) <= _LARGEST)
    found = [("are no finite number", ~is_number), (f"are beyond {_LARGEST:g}", ~usable)]
    distances = np.abs(np.where(usable, numbers, 0.0) - np.clip(scored[:, 0], -_LARGEST, _LARGEST))
    evidence = performance.read_training(training, 1)
    for name, factor in _FAR.items():
        error = evidence.values.get(name, 0.0)
        if error > 0.0:
            what = f"are farther from their score than {factor:,.0f} times training's {name}"
            found.append((what, usable & (distances > factor * error)))
    return found


def _read_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
