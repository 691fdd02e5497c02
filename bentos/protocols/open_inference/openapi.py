"""The Open Inference Protocol's part of the OpenAPI document. Pure."""

from __future__ import annotations

from typing import Any

from bentos.model.contract import Contract
from bentos.protocols import schemas
from bentos.protocols.open_inference import datatypes, outputs
from bentos.protocols.open_inference.datatypes import DATATYPES
from bentos.protocols.protocol import Description, Limits
from bentos.protocols.schemas import Schema, reference

JSON = "application/json"

# What `infer` may answer beside its outputs.
_PROBLEMS = (
    *("malformed", "bad-header", "not-found", "request-timeout", "too-large"),
    *("unsupported-media-type", "overloaded", "not-ready", "timeout"),
)


def describe(contract: Contract, limits: Limits) -> Description:
    """Describe the routes of `/v2` with the model's own tensors and an example."""
    infer = {
        "post": {
            "tags": ["Open Inference Protocol v2"],
            "summary": f"Score up to {limits.max_rows} rows",
            "description": "One tensor for each feature, by its name, of shape [n] or [n, 1]. "
            "Binary tensors follow the document, whose length is then in the header "
            "Inference-Header-Content-Length. One wrong row refuses the request.",
            "requestBody": {
                "required": True,
                "content": {
                    JSON: {"schema": reference("InferRequest"), "example": _example(contract)},
                    "application/octet-stream": {"schema": {"type": "string"}},
                },
            },
            "responses": {
                "200": _success("The outputs", reference("InferAnswer")),
                **schemas.responses(_PROBLEMS, "InferError", JSON),
            },
        }
    }
    model: dict[str, Any] = {"name": "model", **_PATH_PARAMETER}
    version: dict[str, Any] = {"name": "version", **_PATH_PARAMETER}
    paths: dict[str, object] = {}
    for suffix, parameters in (("", [model]), ("/versions/{version}", [model, version])):
        base = f"/v2/models/{{model}}{suffix}"
        paths[f"{base}/infer"] = {"parameters": parameters, **infer}
        for path, summary, problems in (
            (base, "The model and its tensors", ("not-found", "not-ready")),
            (f"{base}/ready", "May the model get traffic", ("not-found", "not-ready")),
        ):
            paths[path] = {"parameters": parameters, **_document("get", summary, problems)}
    paths["/v2"] = _document("get", "The server and its extensions")
    paths["/v2/health/live"] = _document("get", "Is the process alive")
    paths["/v2/health/ready"] = _document("get", "May the server get traffic", ("not-ready",))
    paths["/v2/models"] = _document("get", "The names of the models")
    paths["/v2/repository/index"] = _document("post", "The models and their states")
    return Description(paths, _schemas(contract))


_PATH_PARAMETER = {"in": "path", "required": True, "schema": {"type": "string"}}


def _success(description: str, schema: Schema) -> dict[str, object]:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _document(method: str, summary: str, problems: tuple[str, ...] = ()) -> dict[str, object]:
    return {
        method: {
            "tags": ["Open Inference Protocol v2"],
            "summary": summary,
            "responses": {
                "200": _success("OK", {}),
                **schemas.responses(problems, "InferError", JSON),
            },
        }
    }


def _example(contract: Contract) -> dict[str, object]:
    row = schemas.example_row(contract)
    inputs = []
    for feature in contract.features:
        if feature.name in row:
            datatype = datatypes.of_feature(feature)
            tensor = {"name": feature.name, "shape": [1, 1], "datatype": datatype}
            inputs.append({**tensor, "data": [row[feature.name]]})
    return {"id": "example", "inputs": inputs}


def _schemas(contract: Contract) -> dict[str, object]:
    names = [feature.name for feature in contract.features]
    parameters: Schema = {"type": ["object", "null"]}
    shape: Schema = {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2}
    return {
        "InferRequest": {
            "type": "object",
            "required": ["inputs"],
            "properties": {
                "id": {"type": ["string", "null"]},
                "parameters": parameters,
                "inputs": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["name", "shape", "datatype"],
                        "properties": {
                            "name": {"enum": names},
                            "shape": shape,
                            "datatype": {"enum": list(DATATYPES)},
                            "parameters": parameters,
                            "data": {"type": ["array", "null"]},
                        },
                    },
                },
                "outputs": {
                    "type": ["array", "null"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"enum": [one.name for one in outputs.of_model(contract)]},
                            "parameters": parameters,
                        },
                    },
                },
            },
        },
        "InferAnswer": {
            "type": "object",
            "required": ["model_name", "model_version", "outputs"],
            "properties": {
                "model_name": {"type": "string"},
                "model_version": {"type": "string"},
                "id": {"type": "string"},
                "outputs": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name", "shape", "datatype"],
                        "properties": {
                            "name": {"type": "string"},
                            "shape": shape,
                            "datatype": {"enum": list(DATATYPES)},
                            "parameters": {"type": "object"},
                            "data": {"type": "array"},
                        },
                    },
                },
            },
        },
        "InferError": {
            "type": "object",
            "required": ["error"],
            "properties": {"error": {"type": "string"}},
        },
    }
