"""The part of the OpenAPI document that is about outcomes. Pure."""

from __future__ import annotations

from bentos.model.contract import Contract
from bentos.protocols.protocol import Description, Limits
from bentos.protocols.schemas import PREDICTION_ID, Schema, reference
from bentos.protocols.v1_openapi import operation

# UUIDv7, as the service gives them.
_EXAMPLE_ID = "01980000-0000-7000-8000-000000000000"


def describe(contract: Contract, limits: Limits) -> Description:
    """Describe `POST /v1/feedback` with the model's own classes."""
    feedback = operation(
        "feedback",
        "Report outcomes",
        "Report what turned out to be true of predictions, by their ids: one, or a list. An "
        "outcome that is sent again changes nothing; another one is kept as a new revision. "
        "`not-yet-logged` says that a prediction may be on its way to the log: send its outcome "
        "again after Retry-After, or later. `unknown-prediction` is final.",
        ("Outcomes", "FeedbackAnswer"),
        {
            "id": _EXAMPLE_ID,
            "outcome": 0.0 if contract.classes is None else contract.classes[-1],
        },
        ("invalid-outcome", "unknown-prediction", "not-yet-logged", "no-log", "log-down"),
        ("202", "Recorded"),
    )
    return Description({"/v1/feedback": {"post": feedback}}, _schemas(contract, limits.max_rows))


def _schemas(contract: Contract, max_items: int) -> dict[str, object]:
    outcome: Schema = (
        {"type": "number"} if contract.classes is None else {"enum": list(contract.classes)}
    )
    return {
        "Outcome": _object({"id": PREDICTION_ID, "outcome": outcome}, ["id", "outcome"]),
        "Outcomes": {
            "oneOf": [
                reference("Outcome"),
                {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": max_items,
                    "items": reference("Outcome"),
                },
            ]
        },
        "RecordedOutcome": _object(
            {
                "id": PREDICTION_ID,
                "status": {"type": "string", "enum": ["recorded", "unchanged"]},
            },
            ["id", "status"],
        ),
        "RefusedOutcome": _object(
            {
                "error": {
                    **reference("ErrorInPlace"),
                    "description": "Why this outcome is not recorded: `not-yet-logged` may be sent "
                    "again later, all other codes are final.",
                }
            },
            ["error"],
        ),
        "FeedbackAnswer": {
            "oneOf": [
                reference("RecordedOutcome"),
                _object(
                    {
                        "results": {
                            "type": "array",
                            "items": {
                                "oneOf": [
                                    reference("RecordedOutcome"),
                                    reference("RefusedOutcome"),
                                ]
                            },
                        }
                    },
                    ["results"],
                ),
            ]
        },
    }


def _object(properties: Schema, required: list[str]) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }
