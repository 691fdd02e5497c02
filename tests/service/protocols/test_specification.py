"""Our answers have the shapes of the protocol's published OpenAPI document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types

from tests.service.driver import Answer, App
from tests.service.protocols.tables import infer_document, infer_path

SPECIFICATION: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent / "specification" / "open_inference_rest.yaml").read_text()
)


def schema_of(path: str, method: str, status: int) -> dict[str, Any] | None:
    """The schema of an answer; None where the document lists the status without one."""
    responses = SPECIFICATION["paths"][path][method]["responses"]
    assert str(status) in responses, f"{method} {path} has no {status}"
    content = responses[str(status)].get("content")
    return None if content is None else content["application/json"]["schema"]


def hold(answer: Answer, path: str, method: str) -> None:
    """Assert that an answer is one of the specification's, and has its shape."""
    schema = schema_of(path, method, answer.status)
    if schema is not None:
        whole = {**schema, "components": SPECIFICATION["components"]}
        Draft202012Validator(whole).validate(answer.json())


MODEL = "/v2/models/{MODEL_NAME}"


@pytest.mark.parametrize("version", ["", "/versions/{MODEL_VERSION}"])
def test_documents(app: App, version: str) -> None:
    """Every path of the specification answers in its shape, with and without a version."""
    release = app.get("/v1/model").json()["version"]
    ours = version.replace("{MODEL_VERSION}", release)
    hold(app.get(infer_path(app, ours)), f"{MODEL}{version}", "get")
    hold(app.get(infer_path(app, f"{ours}/ready")), f"{MODEL}{version}/ready", "get")
    hold(app.get(f"/v2/models/else{ours}/ready"), f"{MODEL}{version}/ready", "get")


def test_server(app: App) -> None:
    """So do the server's own paths."""
    for path in ("/v2", "/v2/health/live", "/v2/health/ready"):
        hold(app.get(path), path, "get")
    asked = set(SPECIFICATION["paths"])
    routes = {
        path.replace("{model}", "{MODEL_NAME}").replace("{version}", "{MODEL_VERSION}")
        for path in app.module.WORKER.routes
    }
    assert asked <= routes


def test_infer(app: App, rows: list[dict[str, Any]]) -> None:
    """Requests are those of the specification; so are answers and errors."""
    request = schema_of_request()
    for document in (
        infer_document(rows, id="mine", parameters={"binary_data_output": False}),
        infer_document(rows[:1], outputs=[{"name": "score"}]),
        infer_document([{**rows[0], "colour": "plaid"}]),
    ):
        # The specification has no null in data; MLServer's codecs and ours do.
        if all(None not in tensor["data"] for tensor in document["inputs"]):
            Draft202012Validator(request).validate(document)
        hold(app.post(infer_path(app), document), f"{MODEL}/infer", "post")


def schema_of_request() -> dict[str, Any]:
    """The schema of a request of `infer`."""
    body = SPECIFICATION["paths"][f"{MODEL}/infer"]["post"]["requestBody"]
    schema: dict[str, Any] = body["content"]["application/json"]["schema"]
    return {**schema, "components": SPECIFICATION["components"]}
