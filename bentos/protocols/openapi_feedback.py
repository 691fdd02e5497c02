"""The part of the OpenAPI document that is about the prediction log. Pure."""

from __future__ import annotations

from bentos.model.contract import Contract

Schema = dict[str, object]

# UUIDv7, as the service gives them.
_EXAMPLE_ID = "01980000-0000-7000-8000-000000000000"

SUBJECT: Schema = {
    "name": "X-Subject",
    "in": "header",
    "description": "Whom the rows are about. The log keeps it only as HMAC-SHA256.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 256},
}


def schemas(contract: Contract, max_items: int) -> dict[str, Schema]:
    """Describe what `POST /v1/feedback` takes and gives."""
    outcome: Schema = (
        {"type": "number"} if contract.classes is None else {"enum": list(contract.classes)}
    )
    one = {
        "type": "object",
        "required": ["id", "outcome"],
        "additionalProperties": False,
        "properties": {"id": {"type": "string", "format": "uuid"}, "outcome": outcome},
    }
    result = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "status": {"type": "string", "enum": ["recorded", "unchanged"]},
            "error": {
                "type": "object",
                "description": "Why this outcome is not recorded. `not-yet-logged`: its prediction "
                "may be on its way to the log, send it again later. All other codes are final.",
                "properties": {
                    "code": {
                        "enum": ["invalid-outcome", "unknown-prediction", "not-yet-logged"],
                    },
                    "detail": {"type": "string"},
                    "errors": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/Fault"},
                    },
                },
            },
        },
    }
    return {
        "Outcome": one,
        "Outcomes": {
            "oneOf": [
                {"$ref": "#/components/schemas/Outcome"},
                {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": max_items,
                    "items": {"$ref": "#/components/schemas/Outcome"},
                },
            ]
        },
        "FeedbackAnswer": {
            "oneOf": [
                result,
                {
                    "type": "object",
                    "properties": {"results": {"type": "array", "items": result}},
                },
            ]
        },
    }


def example(contract: Contract) -> Schema:
    """An outcome that the model might have."""
    return {"id": _EXAMPLE_ID, "outcome": 0.0 if contract.classes is None else contract.classes[-1]}
