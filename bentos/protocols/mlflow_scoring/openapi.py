"""MLflow scoring's part of the OpenAPI document. Pure."""

from __future__ import annotations

from bentos.model.contract import Contract
from bentos.protocols import schemas
from bentos.protocols.mlflow_scoring.json_table import FORMS
from bentos.protocols.protocol import Description, Limits
from bentos.protocols.schemas import Schema, reference

JSON = "application/json"
_TAG = "MLflow scoring"

# What /invocations may answer in JSON beside predictions; 415 is plain text.
_PROBLEMS = ("malformed", "request-timeout", "too-large", "overloaded", "not-ready", "timeout")


def describe(contract: Contract, limits: Limits) -> Description:
    """Describe MLflow's routes with the model's own features and an example."""
    example = schemas.example_row(contract)
    text = {"text/plain": {"schema": {"type": "string"}}}
    invocations = {
        "operationId": "invocations",
        "tags": [_TAG],
        "summary": f"Score up to {limits.max_rows} rows as `mlflow models serve` does",
        "description": "Exactly one of the four forms. `params` may ask for `predict_proba`. "
        "One wrong row refuses the request.",
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": reference("Invocation"),
                    "example": {"dataframe_records": [example]},
                },
                "text/csv": {"schema": {"type": "string"}},
                "application/vnd.apache.parquet": {"schema": {"type": "string"}},
            },
        },
        "responses": {
            "200": {
                "description": "One prediction a row",
                "content": {JSON: {"schema": reference("Predictions")}},
            },
            **schemas.responses(_PROBLEMS, "MlflowError", JSON),
            "415": {"description": "The body has a type that is not read", "content": text},
        },
    }
    paths: dict[str, object] = {
        "/invocations": {"post": invocations},
        "/ping": _document("ping", "May it get traffic", ("not-ready",)),
        "/health": _document("health", "The same as ping", ("not-ready",)),
        "/version": _document("version", "The release of MLflow whose protocol this is"),
    }
    return Description(paths, _schemas(contract, limits))


def _document(operation: str, summary: str, problems: tuple[str, ...] = ()) -> dict[str, object]:
    return {
        "get": {
            "operationId": operation,
            "tags": [_TAG],
            "summary": summary,
            "responses": {
                "200": {"description": "OK", "content": {JSON: {}}},
                **schemas.responses(problems, "MlflowError", JSON),
            },
        }
    }


def _schemas(contract: Contract, limits: Limits) -> dict[str, object]:
    table: Schema = {"type": "array", "minItems": 1, "maxItems": limits.max_rows}
    records: Schema = {**table, "items": {"type": "object"}}
    either: Schema = {"type": ["array", "object"]}
    methods = ["predict"] if contract.classes is None else ["predict", "predict_proba"]
    return {
        "Invocation": {
            "type": "object",
            "oneOf": [{"required": [form]} for form in FORMS],
            "properties": {
                "dataframe_split": {
                    "type": "object",
                    "required": ["columns", "data"],
                    "properties": {
                        "columns": {"type": "array", "items": {"type": "string"}},
                        "index": {},
                        "data": table,
                    },
                },
                "dataframe_records": records,
                "instances": either,
                "inputs": either,
                "params": {
                    "type": ["object", "null"],
                    "properties": {"predict_method": {"enum": methods, "default": "predict"}},
                },
            },
        },
        "Predictions": {
            "type": "object",
            "required": ["predictions"],
            "properties": {"predictions": {"type": "array"}},
        },
        "MlflowError": {
            "type": "object",
            "required": ["error_code", "message"],
            "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
        },
    }
