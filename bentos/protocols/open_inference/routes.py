"""The Open Inference Protocol's routes, and the shape of its errors."""

from __future__ import annotations

from http import HTTPStatus

from bentos.errors import Problem
from bentos.model.json_rows import encode as to_json
from bentos.protocols import errors_in_text
from bentos.protocols.open_inference import documents, openapi
from bentos.protocols.open_inference.infer import OCTETS, decode, encode
from bentos.protocols.protocol import JSON, DocumentRoute, Protocol, Reply, ScoringRoute

# Triton's own client sends no type.
_MEDIA_TYPES = (JSON, OCTETS, b"")


def encode_problem(problem: Problem, request_id: str) -> Reply:
    """Answer with `{"error": ...}`. What is wrong with a request is 400, as the protocol says."""
    status = problem.status
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        status = HTTPStatus.BAD_REQUEST
    body = to_json({"error": errors_in_text.describe(problem)})
    return Reply(body, JSON, int(status), problem.headers)


PROTOCOL = Protocol(
    name="open-inference",
    prefixes=("/v2",),
    routes=(
        *(
            ScoringRoute(f"/v2/models/{{model}}{version}/infer", decode, encode, None, _MEDIA_TYPES)
            for version in ("", "/versions/{version}")
        ),
        *(
            DocumentRoute(f"/v2/models/{{model}}{version}{rest}", read, query=None)
            for version in ("", "/versions/{version}")
            for rest, read in (("", documents.read_model), ("/ready", documents.read_model_ready))
        ),
        DocumentRoute("/v2", documents.read_server, query=None),
        DocumentRoute("/v2/health/live", documents.read_live, query=None, need="none"),
        DocumentRoute("/v2/health/ready", documents.read_ready, query=None, need="none"),
        DocumentRoute("/v2/models", documents.list_models, query=None),
        DocumentRoute("/v2/repository/index", documents.read_index, method="POST", query=None),
    ),
    encode_problem=encode_problem,
    describe=openapi.describe,
)
