"""One model version judged: measured where outcomes are known, estimated where not. Pure."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from bentos.audit.quality import bootstrap, estimate, measures
from bentos.audit.quality.collecting import Collected
from bentos.audit.quality.measures import Floats, Ints

# Below these an interval is too wide to act on, and the bootstrap no longer covers.
LEAST_ROWS = 50
LEAST_PER_CLASS = 10

# Calibration is called broken below this: one false alarm in a hundred honest models.
_BROKEN = 0.01


class Figure(msgspec.Struct, frozen=True):
    """A number and its 95 % interval; None is what cannot be computed."""

    value: float | None
    low: float | None = None
    high: float | None = None


class Group(msgspec.Struct, frozen=True):
    """One group of rows with like scores."""

    rows: int
    mean_score: float
    observed_rate: float


class Judgement(msgspec.Struct):
    """What is known of one model version in a window.

    `measured`: on rows with outcomes; empty where they are too few, and `too_few` says so.
    `estimated`: expected without outcomes, on all rows; `estimated_on_labelled`: the same
    on the rows that were measured, to compare with what was measured.
    """

    model: str
    version: str
    task: str
    rows: int
    labelled: int
    share_labelled: float
    score_class: str | None = None
    thresholds: list[float] = []
    too_few: str = ""
    measured: dict[str, Figure] = {}
    calibration: list[Group] = []
    estimated: dict[str, float | None] = {}
    estimated_on_labelled: dict[str, float | None] = {}
    calibration_p_values: dict[str, float] = {}
    notes: list[str] = []


def judge(model: str, version: str, collected: Collected, resamples: int) -> Judgement:
    """Judge what was collected of one model version."""
    outcomes = collected.outcomes
    known = np.flatnonzero(~np.isnan(outcomes))
    rows, labelled = len(outcomes), len(known)
    found = Judgement(
        model,
        version,
        collected.contract.task,
        rows,
        labelled,
        labelled / rows if rows else 0.0,
        thresholds=sorted(collected.thresholds),
        notes=_notes(collected),
    )
    scores, decided = collected.scores, collected.decided
    if found.task != "multiclass":
        # In the order of the scores, so that no resample needs sorting.
        known = known[np.argsort(scores[known], kind="stable")]
    found.too_few = _too_few(outcomes[known], collected.names)
    if found.task == "binary":
        found.score_class = collected.names[1]
        _judge_binary(found, scores, outcomes, decided, known, resamples)
    elif found.task == "multiclass":
        _judge_multiclass(found, scores, outcomes, decided, known, resamples)
    else:
        if not found.too_few:
            values, truth = scores[known], outcomes[known]
            found.measured = _measure(
                lambda part: measures.measure_regression(values[part], truth[part]),
                labelled,
                resamples,
            )
        found.notes.append("a regression has no estimate without outcomes: a value is no chance")
    return found


def _judge_binary(
    found: Judgement, scores: Floats, outcomes: Floats, decided: Ints, known: Ints, resamples: int
) -> None:
    chosen = decided.astype(np.float64)
    if len(scores):
        found.estimated = _numbers(estimate.estimate_binary(scores, chosen))
    if found.too_few:
        return
    # Copies once, not for each resample.
    score, outcome, choice = scores[known], outcomes[known], chosen[known]
    found.measured = _measure(
        lambda part: measures.measure_binary(score[part], outcome[part], choice[part]),
        len(known),
        resamples,
    )
    low, high = measures.kolmogorov_smirnov_interval(score, outcome)
    found.measured["ks"] = Figure(found.measured["ks"].value, low, high)
    # No interval: the mean of absolute distances grows with every resample's noise, so
    # that the percentiles lie above the number itself.
    found.measured["calibration_error"] = Figure(measures.calibration_error(score, outcome))
    found.calibration = [
        Group(count, expected, observed)
        for expected, observed, count in zip(
            *(part.tolist() for part in measures.group_calibration(score, outcome)), strict=True
        )
    ]
    found.estimated_on_labelled = _numbers(estimate.estimate_binary(score, choice))
    _check_calibration(found, score, outcome)
    rest = np.delete(scores, known)
    if len(rest):
        found.notes.append(
            f"mean score {score.mean():.4f} with outcomes, {rest.mean():.4f} without; "
            "were they far apart, outcomes would not be missing at random"
        )


def _judge_multiclass(
    found: Judgement, scores: Floats, outcomes: Floats, decided: Ints, known: Ints, resamples: int
) -> None:
    if len(scores):
        found.estimated = _numbers(estimate.estimate_multiclass(scores, decided))
    if found.too_few:
        return
    score, choice = scores[known], decided[known]
    outcome = outcomes[known].astype(np.int64)
    found.measured = _measure(
        lambda part: measures.measure_multiclass(score[part], outcome[part], choice[part]),
        len(known),
        resamples,
    )
    found.estimated_on_labelled = _numbers(estimate.estimate_multiclass(score, choice))
    # Of the class decided for: its score is the chance that the decision was right.
    _check_calibration(
        found, score[np.arange(len(choice)), choice], (choice == outcome).astype(np.float64)
    )


def _check_calibration(found: Judgement, chances: Floats, happened: Floats) -> None:
    found.calibration_p_values = estimate.check_calibration(chances, happened)
    if min(found.calibration_p_values.values()) < _BROKEN:
        found.notes.append(
            "the scores are not calibrated on the rows with outcomes: do not trust the estimate"
        )


def _measure(measure: bootstrap.Measure, rows: int, resamples: int) -> dict[str, Figure]:
    values = measure(np.arange(rows))
    intervals = bootstrap.find_intervals(measure, rows, resamples)
    figures = {}
    for name, value in values.items():
        interval = intervals.get(name)
        if math.isnan(value):
            figures[name] = Figure(None)
        elif interval is None:
            figures[name] = Figure(value)
        else:
            figures[name] = Figure(value, *interval)
    return figures


def _too_few(outcomes: Floats, names: list[str]) -> str:
    if len(outcomes) < LEAST_ROWS:
        return f"{len(outcomes)} rows with an outcome, at least {LEAST_ROWS} are needed"
    for number, name in enumerate(names):
        count = int(np.sum(outcomes == number))
        if count < LEAST_PER_CLASS:
            return (
                f"{count} rows turned out to be {name}, at least {LEAST_PER_CLASS} of each "
                "class are needed"
            )
    return ""


def _notes(collected: Collected) -> list[str]:
    notes = []
    if collected.unusable:
        notes.append(f"{collected.unusable} rows have no score or label of this contract")
    if collected.foreign:
        what = "class of the contract" if collected.names else "finite number"
        notes.append(f"{collected.foreign} outcomes are no {what}, and count as unknown")
    if len(collected.thresholds) > 1:
        notes.append("more than one threshold was in use: decisions are those that were answered")
    return notes


def _numbers(values: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in values.items()}
