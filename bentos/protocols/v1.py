"""`/v1`: JSON objects of named features, answered with scores; errors are RFC 9457 documents."""

from __future__ import annotations

import msgspec

from bentos.errors import Problem
from bentos.model.contract import Category, Contract
from bentos.model.explanation.explainer import Explanation
from bentos.model.explanation.reasons import GivenReason
from bentos.model.frame import FeatureWarning
from bentos.model.json_rows import encode as to_json
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Scored
from bentos.protocols import explain, v1_openapi
from bentos.protocols.explain import ExplanationDocument
from bentos.protocols.formats.registry import FORMATS
from bentos.protocols.formats.score_columns import ScoreColumns
from bentos.protocols.protocol import (
    Call,
    DocumentRoute,
    Protocol,
    Reply,
    Results,
    Rows,
    ScoringRoute,
    StreamingRoute,
    rows_of,
)

PROBLEM_JSON = b"application/problem+json"
# Of what is worked out of a contract once.
_KEY = "v1"


class Answer(msgspec.Struct, omit_defaults=True, gc=False):
    """The answer to one row of `/v1/predict`."""

    id: str
    model: msgspec.Raw
    score: float | msgspec.UnsetType = msgspec.UNSET
    scores: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    label: Category | msgspec.UnsetType = msgspec.UNSET
    warnings: tuple[FeatureWarning, ...] = ()
    explanation: ExplanationDocument | msgspec.UnsetType = msgspec.UNSET
    reasons: tuple[GivenReason, ...] | msgspec.UnsetType = msgspec.UNSET


class Prediction(msgspec.Struct, omit_defaults=True, gc=False):
    """One place of the answer of `/v1/predict/batch`: scored, or an error."""

    id: str
    score: float | msgspec.UnsetType = msgspec.UNSET
    scores: dict[str, float] | msgspec.Struct | msgspec.UnsetType = msgspec.UNSET
    label: Category | msgspec.UnsetType = msgspec.UNSET
    warnings: tuple[FeatureWarning, ...] = ()
    error: dict[str, object] | msgspec.UnsetType = msgspec.UNSET
    explanation: ExplanationDocument | msgspec.UnsetType = msgspec.UNSET
    reasons: tuple[GivenReason, ...] | msgspec.UnsetType = msgspec.UNSET


class BatchAnswer(msgspec.Struct, gc=False):
    """The answer of `/v1/predict/batch`."""

    model: msgspec.Raw
    predictions: list[Prediction]


def decode_row(model: LoadedModel, call: Call, max_rows: int) -> Rows:
    """Read one object of named features. Raises Problem with every fault."""
    row, tolerated = model.reader.read_row(call.body)
    return Rows((row,), (tolerated,))


def decode_batch(model: LoadedModel, call: Call, max_rows: int) -> Rows:
    """Read `{"instances": [...]}`. Raises Problem where the envelope itself is wrong."""
    table = model.reader.read_instances(call.body, max_rows)
    is_all_or_nothing = call.query.get("on_error") == "reject"
    return rows_of(table, is_all_or_nothing=is_all_or_nothing, pointer="/instances")


def encode_row(model: LoadedModel, call: Call, results: Results) -> Reply:
    """Answer one row. Raises Problem where it has no score."""
    (outcome,) = results.outcomes
    if isinstance(outcome, Problem):
        raise outcome
    score, scores, label = _result(model.contract, outcome)
    answer = Answer(results.ids[0], model.reference, score, scores, label, outcome.warnings)
    if results.explanations:
        answer.explanation, answer.reasons = _explain(model.contract, results.explanations[0])
    return Reply(to_json(answer))


def encode_batch(model: LoadedModel, call: Call, results: Results) -> Reply:
    """Answer rows in their order; a row without a score has an error in its place."""
    predictions = _predictions(model, results)
    for prediction, explained in zip(predictions, results.explanations, strict=False):
        prediction.explanation, prediction.reasons = _explain(model.contract, explained)
    return Reply(to_json(BatchAnswer(model.reference, predictions)))


def encode_problem(problem: Problem, request_id: str) -> Reply:
    """Answer with an RFC 9457 problem document."""
    document = to_json(problem.document(request_id))
    return Reply(document, PROBLEM_JSON, int(problem.status), problem.headers)


def read_model(model: LoadedModel | None, unready: Problem | None, call: Call) -> Reply:
    """Describe what is served. Raises Problem while no model is loaded."""
    if model is None:
        raise unready or Problem("not-ready", "no model is loaded yet")
    return Reply(model.model_json)


def error_in_place(problem: Problem) -> dict[str, object]:
    """Describe the problem of one item of a list, for its place in the answer."""
    return problem.in_place()


def _predictions(model: LoadedModel, results: Results) -> list[Prediction]:
    table, contract = results.table, model.contract
    if table is None:
        return [
            _prediction(contract, prediction_id, outcome)
            for prediction_id, outcome in zip(results.ids, results.outcomes, strict=True)
        ]
    columns = model.derived.get(_KEY)
    if not isinstance(columns, ScoreColumns):
        columns = model.derived[_KEY] = ScoreColumns(contract)
    predictions = [
        Prediction(prediction_id, score, scores, label)
        for prediction_id, (score, scores, label) in zip(
            table.id_texts, columns.rows(table), strict=True
        )
    ]
    for row, warnings in table.warnings.items():
        predictions[row].warnings = warnings
    for row, problem in table.problems.items():
        predictions[row] = Prediction(table.id_texts[row], error=error_in_place(problem))
    return predictions


def _prediction(contract: Contract, prediction_id: str, outcome: Scored | Problem) -> Prediction:
    if isinstance(outcome, Problem):
        return Prediction(prediction_id, error=error_in_place(outcome))
    score, scores, label = _result(contract, outcome)
    return Prediction(prediction_id, score, scores, label, outcome.warnings)


def _explain(
    contract: Contract, explained: Explanation | None
) -> tuple[ExplanationDocument | msgspec.UnsetType, tuple[GivenReason, ...] | msgspec.UnsetType]:
    if explained is None:
        return msgspec.UNSET, msgspec.UNSET
    return explain.to_document(contract, explained), explain.reasons_of(explained)


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


PROTOCOL = Protocol(
    name="v1",
    prefixes=("/v1",),
    routes=(
        ScoringRoute("/v1/predict", decode_row, encode_row, explain.ASKED, explains="asked"),
        StreamingRoute(
            ScoringRoute(
                "/v1/predict/batch",
                decode_batch,
                encode_batch,
                {"on_error": ("row", "reject"), **explain.ASKED},
                explains="asked",
            ),
            FORMATS,
        ),
        ScoringRoute(
            "/v1/explain",
            decode_row,
            encode_row,
            explain.REASONS,
            explains="always",
            need="explain",
        ),
        DocumentRoute("/v1/model", read_model),
    ),
    encode_problem=encode_problem,
    describe=v1_openapi.describe,
)
