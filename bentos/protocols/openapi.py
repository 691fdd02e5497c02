"""The OpenAPI 3.0 document of one contract. Pure."""

from __future__ import annotations

from bentos.errors import PROBLEMS
from bentos.model.contract import INTEGER_LIMITS, Category, Contract, Feature
from bentos.protocols import openapi_feedback

Schema = dict[str, object]

_JSON = "application/json"
_PROBLEM = "application/problem+json"
_JSON_TYPES = {
    "float": {"type": "number", "format": "double"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "text": {"type": "string"},
}


def document(
    contract: Contract, name: str, version: str, *, max_rows: int, max_body_bytes: int
) -> dict[str, object]:
    """Describe every route with the model's own features, classes and a working example."""
    example = example_row(contract)
    predict = _operation(
        "predict",
        "Score one row",
        "Give every feature by name, in any order. Rows that arrive together are scored "
        "together; no row changes another's score.",
        "Row",
        "Answer",
        example,
        ("invalid-features", "overloaded", "not-ready", "timeout"),
    )
    batch = _operation(
        "predict_batch",
        f"Score up to {max_rows} rows",
        "Predictions come in the order of the instances. A row with faults gets an `error` in "
        "its place; `on_error=reject` refuses the whole request instead.",
        "Batch",
        "BatchAnswer",
        {"instances": [example]},
        ("invalid-features", "overloaded", "not-ready", "timeout"),
    )
    feedback = _operation(
        "feedback",
        "Report outcomes",
        "Tell what turned out to be true of predictions, by their ids: one, or a list. An "
        "outcome that is sent again changes nothing; another one is kept as a new revision. "
        "`not-yet-logged` says that a prediction may be on its way to the log: send its outcome "
        "again after Retry-After, or later. `unknown-prediction` is final.",
        "Outcomes",
        "FeedbackAnswer",
        openapi_feedback.example(contract),
        (
            "invalid-outcome",
            "unknown-prediction",
            "not-yet-logged",
            "no-log",
            "log-down",
            "overloaded",
            "timeout",
        ),
        "202",
    )
    predict["parameters"] = [openapi_feedback.SUBJECT]
    batch["parameters"] = [
        openapi_feedback.SUBJECT,
        {
            "name": "on_error",
            "in": "query",
            "description": "What to do with a row that has faults.",
            "schema": {"type": "string", "enum": ["row", "reject"], "default": "row"},
        },
    ]
    return {
        "openapi": "3.0.3",
        "info": {
            "title": name,
            "version": version,
            "description": (
                f"{contract.task} model `{name}:{version}`, contract `{contract.hash[:12]}`. "
                f"Bodies are UTF-8 JSON of at most {max_body_bytes} bytes, gzip allowed. Errors "
                "are RFC 9457 problem documents that never repeat what was sent."
            ),
        },
        "servers": [{"url": "."}],
        "tags": [
            {"name": "Scoring", "description": "Predictions and the model behind them."},
            {"name": "Operation", "description": "Health and metrics."},
        ],
        "paths": {
            "/v1/predict": {"post": predict},
            "/v1/predict/batch": {"post": batch},
            "/v1/feedback": {"post": feedback},
            "/v1/model": {"get": _plain("model", "Scoring", "What is served", _JSON)},
            "/livez": {"get": _plain("livez", "Operation", "Is the process alive", "text/plain")},
            "/healthz": {"get": _plain("healthz", "Operation", "The same as livez", "text/plain")},
            "/readyz": {
                "get": _plain(
                    "readyz", "Operation", "May it get traffic", "text/plain", ("not-ready",)
                )
            },
            "/metrics": {"get": _plain("metrics", "Operation", "Prometheus metrics", "text/plain")},
        },
        "components": {
            "schemas": {
                "Row": _row(contract),
                "Batch": {
                    "type": "object",
                    "required": ["instances"],
                    "additionalProperties": False,
                    "properties": {
                        "instances": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": max_rows,
                            "items": _ref("Row"),
                        }
                    },
                },
                **_answers(contract),
                **openapi_feedback.schemas(contract, max_rows),
                **_FAULTS,
            }
        },
    }


def example_row(contract: Contract) -> dict[str, object]:
    """A row that the contract accepts: the middle of each training range, no real person's data."""
    return {
        feature.name: _example(feature) for feature in contract.features if not feature.optional
    }


def _example(feature: Feature) -> object:
    if feature.categories is not None:
        return feature.categories[0]
    if feature.kind == "boolean":
        return True
    if feature.kind == "text":
        return "text"
    profile = feature.profile
    if profile is None or profile.minimum is None or profile.maximum is None:
        return 0 if feature.kind == "integer" else 0.0
    middle = round((profile.minimum + profile.maximum) / 2)
    # A range narrower than one has no whole number in its middle.
    if feature.kind == "float" and not profile.minimum <= middle <= profile.maximum:
        return (profile.minimum + profile.maximum) / 2
    return middle if feature.kind == "integer" else float(middle)


def _row(contract: Contract) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [feature.name for feature in contract.features if not feature.optional],
        "properties": {feature.name: _property(feature) for feature in contract.features},
    }


def _property(feature: Feature) -> Schema:
    if feature.categories is not None:
        schema: Schema = {"enum": [*feature.categories, None]}
        types = {_json_type(value) for value in feature.categories}
        if len(types) == 1:
            schema["type"] = types.pop()
    else:
        schema = dict(_JSON_TYPES[feature.kind])
    if feature.kind == "integer":
        schema["minimum"], schema["maximum"] = INTEGER_LIMITS[feature.dtype]
    if feature.is_nullable:
        schema["nullable"] = True
    text = [feature.description.rstrip(".") or feature.name]
    profile = feature.profile
    if profile is not None:
        if profile.minimum is not None:
            text.append(f"training range {profile.minimum:g} to {profile.maximum:g}")
        text.append(f"missing in {profile.missing_rate:.2%} of training rows")
    schema["description"] = "; ".join(text) + "."
    return schema


def _json_type(value: Category) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "string"


def _label(contract: Contract) -> Schema:
    classes = list(contract.classes or ())
    schema: Schema = {"enum": classes}
    types = {_json_type(value) for value in classes}
    if len(types) == 1:
        schema["type"] = types.pop()
    return schema


def _answers(contract: Contract) -> dict[str, Schema]:
    result: dict[str, object]
    if contract.task == "multiclass":
        probabilities = {str(label): {"type": "number"} for label in contract.classes or ()}
        scores = {"type": "object", "properties": probabilities, "description": "By class."}
        result = {"scores": scores, "label": _label(contract)}
    elif contract.task == "binary" and contract.classes is not None:
        meaning = (
            f"Probability of class {contract.classes[1]!r}; the label changes at "
            f"{contract.threshold:g}."
        )
        result = {
            "score": {"type": "number", "minimum": 0, "maximum": 1, "description": meaning},
            "label": _label(contract),
        }
    else:
        result = {"score": {"type": "number", "description": "The predicted value."}}
    warning = {
        "type": "object",
        "properties": {
            "pointer": {"type": "string", "description": "JSON pointer to the feature."},
            "code": {
                "type": "string",
                "enum": ["out_of_range", "unexpected_missing", "unknown_category"],
            },
            "detail": {"type": "string"},
        },
    }
    row: dict[str, object] = {
        "id": {"type": "string", "format": "uuid", "description": "UUIDv7 of this prediction."},
        **result,
        "warnings": {"type": "array", "items": warning, "description": "Only where there are any."},
    }
    model = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "version": {"type": "string"}},
    }
    error = {
        "type": "object",
        "properties": {
            "code": {"type": "string"},
            "detail": {"type": "string"},
            "errors": {"type": "array", "items": _ref("Fault")},
        },
    }
    return {
        "Answer": {
            "type": "object",
            "required": ["id", "model", *result],
            "properties": {"id": row["id"], "model": model, **result, "warnings": row["warnings"]},
        },
        "BatchAnswer": {
            "type": "object",
            "required": ["model", "predictions"],
            "properties": {
                "model": model,
                "predictions": {
                    "type": "array",
                    "items": {"type": "object", "properties": {**row, "error": error}},
                },
            },
        },
    }


_FAULTS: dict[str, Schema] = {
    "Fault": {
        "type": "object",
        "required": ["pointer", "code", "detail"],
        "properties": {
            "pointer": {"type": "string", "description": "RFC 6901 pointer into the body."},
            "code": {"type": "string"},
            "detail": {"type": "string"},
        },
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457 problem document.",
        "required": ["type", "title", "status", "detail", "request_id", "errors"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "request_id": {"type": "string"},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
        },
    },
}


def _ref(schema: str) -> Schema:
    return {"$ref": f"#/components/schemas/{schema}"}


def _problems(kinds: tuple[str, ...]) -> dict[str, object]:
    titles: dict[str, list[str]] = {}
    for kind in kinds:
        status, title = PROBLEMS[kind]
        titles.setdefault(str(int(status)), []).append(title)
    return {
        status: {
            "description": ", or: ".join(title),
            "content": {_PROBLEM: {"schema": _ref("Problem")}},
        }
        for status, title in sorted(titles.items())
    }


def _operation(
    operation: str,
    summary: str,
    description: str,
    body: str,
    answer: str,
    example: object,
    problems: tuple[str, ...],
    success: str = "200",
) -> dict[str, object]:
    always = ("malformed", "bad-query", "request-timeout", "too-large", "unsupported-media-type")
    return {
        "operationId": operation,
        "tags": ["Scoring"],
        "summary": summary,
        "description": description,
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": _ref(body), "example": example}},
        },
        "responses": {
            success: {
                "description": "Scored" if success == "200" else "Recorded",
                "content": {_JSON: {"schema": _ref(answer)}},
            },
            **_problems((*always, *problems)),
        },
    }


def _plain(
    operation: str, tag: str, summary: str, media_type: str, problems: tuple[str, ...] = ()
) -> dict[str, object]:
    schema: Schema = {"type": "object"} if media_type == _JSON else {"type": "string"}
    return {
        "operationId": operation,
        "tags": [tag],
        "summary": summary,
        "responses": {
            "200": {"description": "OK", "content": {media_type: {"schema": schema}}},
            **_problems(problems),
        },
    }
