"""`/invocations`, `/ping`, `/health` and `/version`: rows in, predictions and errors out. Pure.

All or nothing: an answer has one prediction for each row, so one wrong row refuses the request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from bentos.errors import Fault, Problem
from bentos.model.json_rows import encode as to_json
from bentos.model.json_rows import invalid
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Scored
from bentos.protocols import errors_in_text
from bentos.protocols.mlflow_scoring import csv_table, json_table, openapi, parquet_table
from bentos.protocols.mlflow_scoring.table import refuse
from bentos.protocols.protocol import (
    JSON,
    Call,
    DocumentRoute,
    Protocol,
    Reply,
    Results,
    Rows,
    ScoringRoute,
)

# The release of MLflow whose protocol this is.
MLFLOW_VERSION = "3.17.2"

CSV = b"text/csv"
PARQUET = b"application/vnd.apache.parquet"
TEXT = b"text/plain; charset=utf-8"

_METHODS = ("predict", "predict_proba")

# MLflow's codes, by the status that it answers them with.
_CODES = {
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "ENDPOINT_NOT_FOUND",
    HTTPStatus.TOO_MANY_REQUESTS: "REQUEST_LIMIT_EXCEEDED",
    HTTPStatus.SERVICE_UNAVAILABLE: "TEMPORARILY_UNAVAILABLE",
    HTTPStatus.GATEWAY_TIMEOUT: "DEADLINE_EXCEEDED",
}


def decode(model: LoadedModel, call: Call, max_rows: int) -> Rows:
    """Read the table of a request. Raises Problem with every fault."""
    params: Mapping[str, Any] = {}
    contract = model.contract
    if call.media_type == CSV:
        table = csv_table.read(contract, call.body, max_rows)
    elif call.media_type == PARQUET:
        table = parquet_table.read(contract, call.body, max_rows)
    else:
        table, params = json_table.read(contract, call.body, max_rows)
    call.asked = _method(model, params)
    rows, tolerated, faults = model.columns.encode(
        table.columns, table.count, table.place, table.pointer
    )
    if faults:
        raise invalid(faults, rows=table.count)
    return Rows(rows, tolerated, is_all_or_nothing=True, pointer=table.pointer)


def _method(model: LoadedModel, params: Mapping[str, Any]) -> str:
    """What is asked for. Other parameters are ignored, as MLflow ignores those of no signature."""
    method: object = params.get("predict_method", "predict")
    pointer = "/params/predict_method"
    if method not in _METHODS:
        refuse(Fault(pointer, "malformed", f"must be {' or '.join(_METHODS)}"))
    if method == "predict_proba" and model.contract.classes is None:
        refuse(Fault(pointer, "malformed", "must be predict: a regression has no probabilities"))
    return str(method)


def encode(model: LoadedModel, call: Call, results: Results) -> Reply:
    """Answer one prediction a row. Raises Problem where a row has no score."""
    scored: list[Scored] = []
    for outcome in results.outcomes:
        if isinstance(outcome, Problem):
            raise outcome
        scored.append(outcome)
    return Reply(to_json({"predictions": _predictions(model, call.asked, scored)}))


def _predictions(model: LoadedModel, method: str, scored: Sequence[Scored]) -> list[Any]:
    if method == "predict_proba":
        return [
            # The first class has what the second leaves, as in scikit-learn and LightGBM.
            one.scores if one.scores is not None else (1.0 - (one.score or 0.0), one.score)
            for one in scored
        ]
    if model.gives_labels:
        return [one.label for one in scored]
    return [one.score if one.scores is None else one.scores for one in scored]


def encode_problem(problem: Problem, request_id: str) -> Reply:
    """Answer with MLflow's `error_code` and `message`; in plain text for a foreign media type."""
    status = problem.status
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        return Reply(problem.detail.encode(), TEXT, int(status), problem.headers)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        status = HTTPStatus.BAD_REQUEST
    code = _CODES.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR")
    if _is_of_signature(problem):
        code = "INVALID_PARAMETER_VALUE"
    body = to_json({"error_code": code, "message": errors_in_text.describe(problem)})
    return Reply(body, JSON, int(status), problem.headers)


def _is_of_signature(problem: Problem) -> bool:
    """Whether the table lacks columns, or `params` are wrong: a code of its own in MLflow."""
    faults = problem.faults
    lacks_columns = problem.rows > 0 and all(fault.code == "missing" for fault in faults)
    return bool(faults) and (lacks_columns or faults[0].pointer.startswith("/params"))


def read_ping(model: LoadedModel | None, unready: Problem | None, call: Call) -> Reply:
    """Say that the model may get traffic. Raises Problem where it may not."""
    if unready is not None:
        raise unready
    return Reply(b"\n")


def read_version(model: LoadedModel | None, unready: Problem | None, call: Call) -> Reply:
    """Say whose protocol this is, as MLflow does: a version without quotes."""
    return Reply(MLFLOW_VERSION.encode())


PROTOCOL = Protocol(
    name="mlflow",
    prefixes=("/invocations", "/ping", "/health", "/version"),
    routes=(
        ScoringRoute("/invocations", decode, encode, None, (JSON, CSV, PARQUET)),
        DocumentRoute("/ping", read_ping, query=None, need="none"),
        DocumentRoute("/health", read_ping, query=None, need="none"),
        DocumentRoute("/version", read_version, query=None),
    ),
    encode_problem=encode_problem,
    describe=openapi.describe,
)
