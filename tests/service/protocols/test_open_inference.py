"""Open Inference Protocol v2 with MLServer's `pd` and Triton's binary tensors, made by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from bentos.ids import is_id
from tests.service.checks import series_of, total_of
from tests.service.driver import App, serving
from tests.service.protocols.open_inference_errors import Row, error_of
from tests.service.protocols.tables import (
    LENGTH,
    TENSORS,
    infer_binary,
    infer_document,
    infer_path,
    name_of,
    outputs_of,
)


def test_json_tensors(app: App, rows: list[Row], scores: Any) -> None:
    """JSON tensors by feature name give the model's own scores to the last bit."""
    outputs = outputs_of(app.post(infer_path(app), infer_document(rows, id="mine")))
    np.testing.assert_array_equal(outputs["score"], scores)
    assert outputs["label"] == [int(score >= 0.4) for score in scores]
    assert all(map(is_id, outputs["id"]))
    assert len(set(outputs["id"])) == len(rows)


def test_binary_tensors(app: App, rows: list[Row], scores: Any) -> None:
    """Binary tensors give them too, and binary outputs hold the same bits."""
    # An integer column with a hole has no binary form: those of the test model have none.
    body, headers = infer_binary(rows, parameters={"binary_data_output": True})
    answer = app.request("POST", infer_path(app), body, headers=headers)
    assert answer.headers["content-type"] == "application/octet-stream"
    outputs = outputs_of(answer)
    np.testing.assert_array_equal(outputs["score"], scores)
    assert outputs["label"] == [int(score >= 0.4) for score in scores]
    assert all(map(is_id, outputs["id"]))


def test_one_row(app: App, rows: list[Row], scores: Any) -> None:
    """One row, of shape [1] or [1, 1], flat or nested, gives its score."""
    document = infer_document(rows[:1])
    for nested in (False, True):
        for shape in ([1], [1, 1]):
            for tensor, (name, _, _) in zip(document["inputs"], TENSORS, strict=True):
                value = rows[0][name]
                tensor["shape"] = shape
                tensor["data"] = [[value]] if nested and len(shape) == 2 else [value]
            outputs = outputs_of(app.post(infer_path(app), document))
            assert outputs["score"] == [scores[0]]


def test_the_answer(app: App, row: Row) -> None:
    """The answer names model, version and the request's id; texts are marked as such."""
    version = app.get("/v1/model").json()["version"]
    path = infer_path(app, f"/versions/{version}/infer")
    answer = app.post(path, infer_document([row], id="mine: 7")).json()
    assert (answer["model_name"], answer["model_version"]) == (name_of(app), version)
    assert answer["id"] == "mine: 7"
    score, label, ids = answer["outputs"]
    assert (score["name"], score["datatype"], score["shape"]) == ("score", "FP64", [1, 1])
    assert (label["name"], label["datatype"], label["shape"]) == ("label", "INT64", [1, 1])
    assert (ids["name"], ids["datatype"], ids["parameters"]) == (
        "id",
        "BYTES",
        {"content_type": "str"},
    )
    assert "id" not in app.post(infer_path(app), infer_document([row])).json()


def test_outputs_are_chosen(app: App, rows: list[Row], scores: Any) -> None:
    """Only the outputs that are asked for come back, in that order, each in its own form."""
    wanted = [
        {"name": "label"},
        {"name": "score", "parameters": {"binary_data": True}},
        {"name": "id", "parameters": {"binary_data": False}},
    ]
    answer = app.post(infer_path(app), infer_document(rows[:3], outputs=wanted))
    outputs = outputs_of(answer)
    assert list(outputs) == ["label", "score", "id"]
    assert outputs["score"] == scores[:3].tolist()
    # One output may be JSON where the rest is binary.
    parameters = {"binary_data_output": True}
    answer = app.post(
        infer_path(app), infer_document(rows[:1], outputs=wanted, parameters=parameters)
    )
    assert outputs_of(answer)["score"] == [scores[0]]
    length = int(answer.headers[LENGTH])
    tensors = json.loads(answer.body[:length])["outputs"]
    assert ["data" in tensor for tensor in tensors] == [False, False, True]


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_other_tasks(kind: str, quick: dict[str, str], rows: list[Row]) -> None:
    """Several classes give probabilities [n, classes] and labels; a regression gives values."""
    with serving(quick[kind]) as app:
        expected = app.post("/v1/predict/batch", {"instances": rows[:5]}).json()["predictions"]
        answer = app.post(infer_path(app), infer_document(rows[:5])).json()
        metadata = app.get(infer_path(app, "")).json()["outputs"]
        body, headers = infer_binary(rows[:5], parameters={"binary_data_output": True})
        binary = outputs_of(app.request("POST", infer_path(app), body, headers=headers))
        outputs = {tensor["name"]: tensor for tensor in answer["outputs"]}
        assert [one["name"] for one in metadata] == list(outputs) == list(binary)
        if kind == "regression":
            assert outputs["score"]["data"] == [one["score"] for one in expected]
            assert binary["score"] == outputs["score"]["data"]
            return
        assert outputs["probabilities"]["shape"] == [5, 3]
        flat = [score for one in expected for score in one["scores"].values()]
        assert outputs["probabilities"]["data"] == binary["probabilities"] == flat
        assert outputs["label"]["data"] == binary["label"] == [one["label"] for one in expected]
        assert json.loads(metadata[0]["parameters"]["classes"]) == ["high", "low", "middle"]


def test_datatypes(app: App, rows: list[Row], scores: Any) -> None:
    """Narrower and wider datatypes of the same numbers give the same scores."""
    for count, grade, weight in (
        ("INT8", "UINT8", "FP64"),
        ("UINT16", "INT16", "FP32"),
        ("UINT64", "UINT32", "FP64"),
        ("FP64", "FP32", "FP32"),
    ):
        document = infer_document(rows)
        chosen = {"count": count, "grade": grade, "weight": weight}
        for tensor in document["inputs"]:
            tensor["datatype"] = chosen.get(tensor["name"], tensor["datatype"])
        outputs = outputs_of(app.post(infer_path(app), document))
        np.testing.assert_array_equal(outputs["score"], scores)


def test_missing_values(app: App, row: Row) -> None:
    """null, NaN and an empty text are one and the same missing value."""
    expected = app.post("/v1/predict", {**row, "amount": None, "colour": None}).json()["score"]
    document = infer_document([{**row, "amount": None, "colour": None}])
    answers = [app.post(infer_path(app), document)]
    text = json.dumps(infer_document([{**row, "amount": float("nan"), "colour": ""}]))
    assert "NaN" in text
    answers.append(app.request("POST", infer_path(app), text.encode()))
    body, headers = infer_binary([{**row, "amount": None, "colour": None}])
    answers.append(app.request("POST", infer_path(app), body, headers=headers))
    for answer in answers:
        assert outputs_of(answer)["score"] == [expected]


def test_left_out(app: App, row: Row) -> None:
    """A feature that the signature marks optional may have no tensor, and is missing then."""
    document = infer_document([row])
    document["inputs"] = [one for one in document["inputs"] if one["name"] != "amount"]
    expected = app.post("/v1/predict", {**row, "amount": None}).json()["score"]
    assert outputs_of(app.post(infer_path(app), document))["score"] == [expected]


def test_pandas_content_type(app: App, rows: list[Row], scores: Any) -> None:
    """The body that MLServer's `pd` codec makes is read, its `pd_json` elements too."""
    document = infer_document(rows[:4], parameters={"content_type": "pd"}, id=None, outputs=None)
    for tensor in document["inputs"]:
        tensor["parameters"] = None
        if tensor["name"] == "colour":
            tensor["parameters"] = {"content_type": "pd_json"}
            tensor["data"] = [json.dumps(value) for value in tensor["data"]]
    assert outputs_of(app.post(infer_path(app), document))["score"] == scores[:4].tolist()


def test_no_content_type(app: App, row: Row) -> None:
    """Triton's client sends no Content-Type; the body is read all the same."""
    body = json.dumps(infer_document([row])).encode()
    assert app.request("POST", infer_path(app), body, headers={}).status == 200
    binary, headers = infer_binary([row])
    del headers["content-type"]
    assert app.request("POST", infer_path(app), binary, headers=headers).status == 200


def test_unknown_category_scored_as_missing(quick: dict[str, str], row: Row) -> None:
    """With TABSERVE_UNKNOWN_CATEGORY=missing an unknown category is missing here too."""
    with serving(quick["binary"], unknown_category="missing") as app:
        expected = app.post("/v1/predict", {**row, "colour": None}).json()["score"]
        document = infer_document([{**row, "colour": "plaid"}])
        assert outputs_of(app.post(infer_path(app), document))["score"] == [expected]
        exported = series_of(app.get("/metrics").body)
        assert total_of(exported, "tabserve_feature_unknown_category_total", feature="colour") == 1


def test_health(app: App) -> None:
    """Live and ready answer 200 to GET and HEAD, whatever the query."""
    assert app.get("/v2/health/live").json() == {"live": True}
    assert app.get("/v2/health/ready").json() == {"live": True, "ready": True}
    ready = {"name": name_of(app), "ready": True}
    assert app.get(infer_path(app, "/ready")).json() == ready
    assert app.get(infer_path(app, "/ready"), query="probe=1").json() == ready
    head = app.request("HEAD", "/v2/health/live", headers={})
    assert (head.status, head.body) == (200, b"")


def test_metadata(app: App) -> None:
    """Server and model describe themselves: tensors, datatypes and shapes from the contract."""
    server = app.get("/v2").json()
    assert server["name"] == "tabserve"
    assert server["extensions"] == ["binary_tensor_data"]
    model = app.get(infer_path(app, "")).json()
    assert model["name"] == name_of(app)
    assert app.get("/v1/model").json()["version"] in model["versions"]
    for version in model["versions"]:
        assert app.get(infer_path(app, f"/versions/{version}")).json() == model
        assert app.get(infer_path(app, f"/versions/{version}/ready")).status == 200
    assert [(one["name"], one["datatype"], one["shape"]) for one in model["inputs"]] == [
        (name, datatype, [-1, 1]) for name, datatype, _ in TENSORS
    ]
    parameters = {one["name"]: one.get("parameters") for one in model["inputs"]}
    assert parameters["colour"] == {"content_type": "str"}
    assert parameters["amount"] == {"optional": True}
    assert app.get("/v2/models").json() == {"models": [name_of(app)]}
    (entry,) = app.post("/v2/repository/index", {}).json()
    assert (entry["name"], entry["state"]) == (name_of(app), "READY")


def test_binary_booleans(app: App, row: Row) -> None:
    """A byte that is neither 0 nor 1 is no boolean."""
    body, headers = infer_binary([row])
    length = int(headers[LENGTH])
    changed = bytearray(body)
    # amount and count have 8 bytes each; is_member follows.
    changed[length + 16] = 2
    answer = app.request("POST", infer_path(app), bytes(changed), headers=headers)
    assert "/inputs/2/data/0" in error_of(answer, 400)


def test_counted_and_logged(quick: dict[str, str], rows: list[Row]) -> None:
    """Requests count under their template, rows in the log, whatever stands in the path."""
    with serving(quick["binary"]) as app:
        app.post(infer_path(app), infer_document(rows[:3]))
        app.post(infer_path(app), infer_document([{**rows[0], "colour": "plaid"}] * 2))
        app.post("/v2/models/MARKED/infer", {})
        exported = app.get("/metrics").body
        series = series_of(exported)
        route = "/v2/models/{model}/infer"
        assert total_of(series, "tabserve_requests_total", route=route, status="200") == 1
        assert total_of(series, "tabserve_requests_total", route=route, status="400") == 1
        assert total_of(series, "tabserve_rows_total", outcome="scored") == 3
        assert total_of(series, "tabserve_rows_total", outcome="rejected") == 2
        assert b"MARKED" not in exported
