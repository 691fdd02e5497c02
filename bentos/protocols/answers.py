"""The shapes of an answer, and how a scored row becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Literal

import msgspec

from bentos.errors import Fault, Problem
from bentos.ids import new_id
from bentos.model import json_rows
from bentos.model.contract import Category, Contract
from bentos.model.frame import FeatureWarning
from bentos.model.scoring import Scored


class Answer(msgspec.Struct, omit_defaults=True, gc=False):
    """The answer to one row of `/v1/predict`."""

    id: str
    model: msgspec.Raw
    score: float | msgspec.UnsetType = msgspec.UNSET
    scores: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    label: Category | msgspec.UnsetType = msgspec.UNSET
    warnings: tuple[FeatureWarning, ...] = ()


class Prediction(msgspec.Struct, omit_defaults=True, gc=False):
    """One place of the answer of `/v1/predict/batch`: scored, or an error."""

    id: str
    score: float | msgspec.UnsetType = msgspec.UNSET
    scores: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    label: Category | msgspec.UnsetType = msgspec.UNSET
    warnings: tuple[FeatureWarning, ...] = ()
    error: dict[str, object] | msgspec.UnsetType = msgspec.UNSET


class BatchAnswer(msgspec.Struct, gc=False):
    """The answer of `/v1/predict/batch`."""

    model: msgspec.Raw
    predictions: list[Prediction]


def answer(contract: Contract, model: msgspec.Raw, scored: Scored) -> Answer:
    """Answer one row, with a new prediction id. Raises Problem for a score that is no number."""
    _check_finite(scored)
    score, scores, label = _result(contract, scored)
    return Answer(new_id(), model, score, scores, label, scored.warnings)


def predictions(contract: Contract, scored: Sequence[Scored]) -> list[Prediction]:
    """Answer the rows of a batch, each with a new prediction id."""
    if contract.task == "multiclass" or not all(isfinite(one.score or 0.0) for one in scored):
        return [prediction(contract, one) for one in scored]
    # The common case, without the cost of asking each row what it is.
    no_scores, no_label = msgspec.UNSET, contract.classes is None
    return [
        Prediction(
            new_id(),
            one.score,  # type: ignore[arg-type]  # a single score is always there
            no_scores,
            no_scores if no_label else one.label,  # type: ignore[arg-type]  # so is a label
            one.warnings,
        )
        for one in scored
    ]


def prediction(contract: Contract, scored: Scored) -> Prediction:
    """Answer one row of a batch; a score that is no number is an error in its place."""
    try:
        _check_finite(scored)
    except Problem as problem:
        return Prediction(new_id(), error={"code": problem.kind, "detail": problem.detail})
    score, scores, label = _result(contract, scored)
    return Prediction(new_id(), score, scores, label, scored.warnings)


def rejection(faults: list[Fault], listed: int) -> Prediction:
    """Answer a row of a batch that has faults, the first `listed` of them listed."""
    problem = json_rows.invalid(faults, listed)
    return Prediction(
        new_id(),
        error={"code": problem.kind, "detail": problem.detail, "errors": problem.faults},
    )


class Accepted(msgspec.Struct, omit_defaults=True):
    """What became of one outcome: `status` is `recorded` or `unchanged`, or an error."""

    id: str | msgspec.UnsetType = msgspec.UNSET
    status: str | msgspec.UnsetType = msgspec.UNSET
    error: dict[str, object] | msgspec.UnsetType = msgspec.UNSET


def accepted(prediction_id: str, status: Literal["recorded", "unchanged"]) -> Accepted:
    """Say that an outcome is in the log."""
    return Accepted(prediction_id, status)


def refused(problem: Problem) -> Accepted:
    """Say in an outcome's place what is wrong with it."""
    return Accepted(
        error={"code": problem.kind, "detail": problem.detail, "errors": problem.faults}
    )


def _result(
    contract: Contract, scored: Scored
) -> tuple[
    float | msgspec.UnsetType, dict[str, float] | msgspec.UnsetType, Category | msgspec.UnsetType
]:
    label = msgspec.UNSET if scored.label is None else scored.label
    if scored.scores is not None:
        names = map(str, contract.classes or ())
        return msgspec.UNSET, dict(zip(names, scored.scores, strict=True)), label
    return msgspec.UNSET if scored.score is None else scored.score, msgspec.UNSET, label


def has_finite_score(scored: Scored) -> bool:
    """Whether a row's scores are numbers that JSON can carry."""
    # The sum is finite exactly if every score is: probabilities cannot overflow it.
    value = scored.score if scored.scores is None else sum(scored.scores)
    return value is not None and isfinite(value)


def _check_finite(scored: Scored) -> None:
    if not has_finite_score(scored):
        raise Problem("internal", "the model gave a score that is not a finite number")
