"""The OpenAPI 3.1 document of one model's service: every protocol's part, and operations. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bentos.model.contract import Contract
from bentos.protocols import openapi_feedback
from bentos.protocols.protocol import Limits, Protocol
from bentos.protocols.schemas import responses


def document(
    contract: Contract, name: str, version: str, limits: Limits, protocols: Sequence[Protocol]
) -> dict[str, object]:
    """Describe every route with the model's own features, classes and a working example."""
    parts = [protocol.describe(contract, limits) for protocol in protocols]
    parts.append(openapi_feedback.describe(contract, limits))
    paths: dict[str, object] = {}
    schemas: dict[str, object] = {}
    for part in parts:
        paths |= part.paths
        schemas |= part.schemas
    return {
        "openapi": "3.1.0",
        "info": {
            "title": name,
            "version": version,
            "description": (
                f"{contract.task} model `{name}:{version}`, contract `{contract.hash[:12]}`. "
                f"Bodies have at most {limits.max_body_bytes} bytes, gzip allowed. Errors "
                "never repeat what was sent."
            ),
        },
        "servers": [{"url": "."}],
        "tags": [
            {"name": "Scoring", "description": "Predictions and the model behind them."},
            {"name": "Operation", "description": "Health and metrics."},
        ],
        "paths": paths | _OPERATIONS,
        # None at all, too: a service without keys answers everyone.
        "security": [{"bearer": []}, {"apiKey": []}, {}],
        "components": {"schemas": schemas, "securitySchemes": _SECURITY},
    }


_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `tabserve keys`, or a token of the service's issuer.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def _text(operation: str, summary: str, problems: tuple[str, ...] = ()) -> dict[str, object]:
    return {
        "get": {
            "operationId": operation,
            "tags": ["Operation"],
            "summary": summary,
            "responses": {
                "200": {
                    "description": "OK",
                    "content": {"text/plain": {"schema": {"type": "string"}}},
                },
                **responses(problems, "Problem"),
            },
        }
    }


_OPERATIONS = {
    "/livez": _text("livez", "Is the process alive"),
    "/healthz": _text("healthz", "The same as livez"),
    "/readyz": _text("readyz", "May it get traffic", ("not-ready",)),
    "/metrics": _text("metrics", "Prometheus metrics"),
}
