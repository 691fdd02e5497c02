"""`/v1`'s part of the OpenAPI document. Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import json

from bentos.errors import Fault
from bentos.model.contract import Contract
from bentos.model.frame import FeatureWarning
from bentos.protocols import explain, schemas
from bentos.protocols.protocol import Description, Limits
from bentos.protocols.schemas import REFERENCE, Schema, reference

JSON = "application/json"
LINES = "application/x-ndjson"

# What any route with a body may answer.
BODY_PROBLEMS = (
    "unauthorized",
    "forbidden",
    "rate-limited",
    "malformed",
    "bad-query",
    "bad-header",
    "request-timeout",
    "too-large",
    "unsupported-media-type",
    "overloaded",
    "timeout",
)

SUBJECT: Schema = {
    "name": "X-Subject",
    "in": "header",
    "description": "The person the rows are about. The log keeps only an HMAC-SHA256 of it.",
    "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,254}[!-~])?$"},
}


class ProblemDocument(msgspec.Struct):
    """RFC 9457 problem document. `errors` says where in the request each fault is."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[Fault]


class ModelReference(msgspec.Struct):
    """The model that answered."""

    name: str
    version: str


class ErrorInPlace(msgspec.Struct):
    """The error of one item of a list."""

    code: str
    detail: str
    errors: list[Fault] | msgspec.UnsetType = msgspec.UNSET


def describe(contract: Contract, limits: Limits) -> Description:
    """Describe the routes of `/v1` with the model's own features, classes and an example."""
    example = schemas.example_row(contract)
    predict = operation(
        "predict",
        "Score one row",
        "Give every feature by name, in any order. Rows that arrive together are scored "
        "together; no row changes another's score.",
        ("Row", "Answer"),
        example,
        ("invalid-features", "not-ready", *explain.PROBLEMS),
    )
    explained = operation(
        "explain",
        "Score one row and explain the score",
        "What each feature adds to the raw score of the row; with the model's reasons where it is "
        "refused. The same as `/v1/predict?explain=true`, and the same score.",
        ("Row", "ExplainedAnswer"),
        example,
        ("invalid-features", "not-ready", *explain.PROBLEMS),
    )
    batch = operation(
        "predict_batch",
        f"Score up to {limits.max_rows} rows",
        "Predictions come in the order of the instances. A row with faults gets an `error` in "
        "its place; `on_error=reject` refuses the whole request instead. JSON lines and Arrow "
        "streams may have any number of rows and are answered while they arrive.",
        ("Batch", "BatchAnswer"),
        {"instances": [example]},
        ("invalid-features", "not-ready", "not-acceptable", *explain.PROBLEMS),
    )
    predict["parameters"] = [SUBJECT, *explain.PARAMETERS.values()]
    explained["parameters"] = [SUBJECT, explain.PARAMETERS["reasons"]]
    batch["parameters"] = [
        SUBJECT,
        {
            "name": "on_error",
            "in": "query",
            "description": "What to do with a row that has faults.",
            "schema": {"type": "string", "enum": ["row", "reject"], "default": "row"},
        },
        {
            **explain.PARAMETERS["explain"],
            "description": "Whether to explain the scores, of at most "
            f"{limits.explain_max_rows} rows; takes hundreds of times as long.",
        },
        explain.PARAMETERS["reasons"],
    ]
    _add_formats(batch, example)
    paths: dict[str, object] = {
        "/v1/predict": {"post": predict},
        "/v1/predict/batch": {"post": batch},
        "/v1/explain": {"post": explained},
        "/v1/model": {"get": _MODEL},
    }
    return Description(paths, _schemas(contract, limits))


def _add_formats(batch: dict[str, Any], example: Schema) -> None:
    """Add the other media types of bodies and answers; any goes with any."""
    line = json.encode(example).decode() + "\n"
    formats: dict[str, tuple[Schema, Schema]] = {
        LINES: (
            {"schema": {"type": "string", "description": "A `Row` a line."}, "example": line},
            {"schema": {"type": "string", "description": "A `Line` a row, as rows arrive."}},
        ),
        "text/csv": (
            {
                "schema": {
                    "type": "string",
                    "description": "RFC 4180: a header of feature names; an empty field is a "
                    "missing value.",
                },
            },
            {"schema": {"type": "string", "description": "`row`, `id`, scores, `label`, notes."}},
        ),
    }
    for name, meaning in (
        ("arrow.stream", "Arrow's streaming format: a column a feature, answered as it arrives."),
        ("parquet", "A Parquet file: a column a feature."),
    ):
        described: Schema = {"schema": {"description": f"{meaning} Needs pyarrow on the server."}}
        formats[f"application/vnd.apache.{name}"] = (described, described)
    for media_type, (body, answer) in formats.items():
        batch["requestBody"]["content"][media_type] = body
        batch["responses"]["200"]["content"][media_type] = answer


def operation(
    operation_id: str,
    summary: str,
    description: str,
    body_and_answer: tuple[str, str],
    example: object,
    problems: tuple[str, ...],
    success: tuple[str, str] = ("200", "Scored"),
) -> dict[str, object]:
    """Describe a route with a JSON body, by the names of its schemas."""
    body, answer = body_and_answer
    status, meaning = success
    return {
        "operationId": operation_id,
        "tags": ["Scoring"],
        "summary": summary,
        "description": description,
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": reference(body), "example": example}},
        },
        "responses": {
            status: {"description": meaning, "content": {JSON: {"schema": reference(answer)}}},
            **schemas.responses((*BODY_PROBLEMS, *problems), "Problem"),
        },
    }


_MODEL = {
    "operationId": "model",
    "tags": ["Scoring"],
    "summary": "What is served",
    "responses": {
        "200": {"description": "OK", "content": {JSON: {"schema": {"type": "object"}}}},
        **schemas.responses(("not-ready",), "Problem"),
    },
}


def _schemas(contract: Contract, limits: Limits) -> dict[str, object]:
    _, known = msgspec.json.schema_components(
        (ProblemDocument, ModelReference, ErrorInPlace, FeatureWarning), ref_template=REFERENCE
    )
    known["Problem"] = known.pop("ProblemDocument")
    result = schemas.result(contract)
    warnings: Schema = {
        "type": "array",
        "items": reference("FeatureWarning"),
        "description": "Only where there are any.",
    }
    scored: dict[str, object] = {
        "id": schemas.PREDICTION_ID,
        **result,
        "warnings": warnings,
        **explain.properties(),
    }
    answer: dict[str, object] = {
        "type": "object",
        "required": ["id", "model", *result],
        "properties": {**scored, "model": reference("ModelReference")},
    }
    prediction: dict[str, Any] = {
        "type": "object",
        "required": ["id"],
        "properties": {**scored, "error": reference("ErrorInPlace")},
    }
    return {
        **known,
        "Row": schemas.row(contract),
        "Batch": {
            "type": "object",
            "required": ["instances"],
            "additionalProperties": False,
            "properties": {
                "instances": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": limits.max_rows,
                    "items": reference("Row"),
                }
            },
        },
        **explain.describe(contract),
        "Answer": answer,
        "ExplainedAnswer": {**answer, "required": ["id", "model", *result, "explanation"]},
        "Prediction": prediction,
        "Line": {
            **prediction,
            "required": ["row"],
            "properties": {
                "row": {"type": "integer", "description": "The number of the row, from 0 on."},
                **prediction["properties"],
            },
        },
        "BatchAnswer": {
            "type": "object",
            "required": ["model", "predictions"],
            "properties": {
                "model": reference("ModelReference"),
                "predictions": {"type": "array", "items": reference("Prediction")},
            },
        },
    }
