"""What each route answers when all is well."""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from openapi_spec_validator import validate

from tests import models
from tests.service.checks import UUID7
from tests.service.driver import App, serving

CLASSES = ["high", "low", "middle"]


def test_predict_binary(
    app: App, rows: list[dict[str, Any]], scores: NDArray[np.float64], quick: dict[str, str]
) -> None:
    """A binary model answers the booster's own probability, and the label at its threshold."""
    name, _, version = quick["binary"].partition(":")
    for row, score in zip(rows[:20], scores, strict=False):
        answer = app.post("/v1/predict", row)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        document = answer.json()
        document.pop("warnings", None)
        assert document.keys() == {"id", "model", "score", "label"}
        assert UUID7.fullmatch(document["id"])
        assert document["model"] == {"name": name, "version": version}
        assert document["score"] == pytest.approx(score, abs=1e-12)
        # 0.4 is the threshold that the test model was logged with.
        assert document["label"] == int(score >= 0.4)


def test_key_order(app: App, row: dict[str, Any]) -> None:
    """The order of the keys never changes a score."""
    turned = dict(reversed(row.items()))
    scores = {app.post("/v1/predict", each).json()["score"] for each in (row, turned)}
    assert len(scores) == 1


def test_predict_batch(
    app: App, rows: list[dict[str, Any]], scores: NDArray[np.float64], quick: dict[str, str]
) -> None:
    """A batch answers every row in its place."""
    document = app.post("/v1/predict/batch", {"instances": rows}).json()
    assert document.keys() == {"model", "predictions"}
    assert f"{document['model']['name']}:{document['model']['version']}" == quick["binary"]
    predictions = document["predictions"]
    assert [each["score"] for each in predictions] == pytest.approx(scores.tolist(), abs=1e-12)
    assert [each["label"] for each in predictions] == (scores >= 0.4).astype(int).tolist()
    assert len({each["id"] for each in predictions}) == len(rows)
    assert all(UUID7.fullmatch(each["id"]) for each in predictions)


def test_batch_bad_row_in_place(
    app: App, rows: list[dict[str, Any]], scores: NDArray[np.float64]
) -> None:
    """A bad row gets an error in its place, with a pointer into the body; the rest are scored."""
    instances: list[Any] = [rows[0], {**rows[1], "count": "many"}, 7, rows[3]]
    answer = app.post("/v1/predict/batch", {"instances": instances})
    assert answer.status == 200
    first, bad, worse, last = answer.json()["predictions"]
    assert first["score"] == pytest.approx(scores[0], abs=1e-12)
    assert last["score"] == pytest.approx(scores[3], abs=1e-12)
    assert bad.keys() == worse.keys() == {"id", "error"}
    assert bad["error"].keys() == {"code", "detail", "errors"}
    assert [error["pointer"] for error in bad["error"]["errors"]] == ["/instances/1/count"]
    assert [error["pointer"] for error in worse["error"]["errors"]] == ["/instances/2"]


def test_batch_all_bad(app: App) -> None:
    """A batch of bad rows alone is answered row by row too."""
    answer = app.post("/v1/predict/batch", {"instances": [{}, []]})
    assert answer.status == 200
    assert ["error" in each for each in answer.json()["predictions"]] == [True, True]


def test_batch_explicit_on_error(app: App, row: dict[str, Any]) -> None:
    """`on_error=row` is the default, written out."""
    answer = app.post("/v1/predict/batch", {"instances": [row, {}]}, "on_error=row")
    assert ["error" in each for each in answer.json()["predictions"]] == [False, True]


def test_large_batch(app: App, fresh: pd.DataFrame, scores: NDArray[np.float64]) -> None:
    """10,000 rows, the most there may be, come back in order."""
    instances = json.loads(fresh.to_json(orient="records", double_precision=15)) * 50
    predictions = app.post("/v1/predict/batch", {"instances": instances}).json()["predictions"]
    found = np.array([each["score"] for each in predictions]).reshape(50, -1)
    assert np.abs(found - scores).max() < 1e-12


def test_gzip(app: App, row: dict[str, Any]) -> None:
    """A gzip body gives the score of the plain one."""
    body = json.dumps(row).encode()
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    packed = app.request("POST", "/v1/predict", gzip.compress(body), headers=headers)
    assert packed.json()["score"] == app.request("POST", "/v1/predict", body).json()["score"]


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "APPLICATION/JSON; Charset=UTF-8", 'application/json;charset="utf-8"'],
)
def test_media_types(app: App, row: dict[str, Any], media_type: str) -> None:
    """Every way to say UTF-8 JSON is read."""
    headers = {"content-type": media_type}
    body = json.dumps(row).encode()
    assert app.request("POST", "/v1/predict", body, headers=headers).status == 200


def test_body_in_pieces(app: App, row: dict[str, Any]) -> None:
    """A chunked body is read whole."""
    body = json.dumps(row).encode()
    pieces = [body[start : start + 7] for start in range(0, len(body), 7)]
    assert app.request("POST", "/v1/predict", pieces).status == 200


def test_regression(quick: dict[str, str], trained: dict[str, Any], fresh: pd.DataFrame) -> None:
    """A regression answers its value alone."""
    values = models.scores_of(trained["regression"], fresh)
    rows = json.loads(fresh.to_json(orient="records", double_precision=15))
    with serving(quick["regression"]) as app:
        document = app.post("/v1/predict", rows[0]).json()
        batch = app.post("/v1/predict/batch", {"instances": rows}).json()
        described = app.get("/v1/model").json()
        _assert_documented(app)
    assert document.keys() - {"warnings"} == {"id", "model", "score"}
    assert document["score"] == pytest.approx(values[0], abs=1e-12)
    found = [each["score"] for each in batch["predictions"]]
    assert found == pytest.approx(values.tolist(), abs=1e-12)
    assert (described["task"], described["classes"]) == ("regression", None)
    assert (described["threshold"], described["score_class"]) == (None, None)


def test_multiclass(quick: dict[str, str], trained: dict[str, Any], fresh: pd.DataFrame) -> None:
    """A multiclass model answers each class's probability, and the most probable class."""
    table = models.scores_of(trained["multiclass"], fresh)
    rows = json.loads(fresh.to_json(orient="records", double_precision=15))
    with serving(quick["multiclass"]) as app:
        document = app.post("/v1/predict", rows[0]).json()
        batch = app.post("/v1/predict/batch", {"instances": rows}).json()["predictions"]
        described = app.get("/v1/model").json()
        _assert_documented(app)
    assert document.keys() - {"warnings"} == {"id", "model", "scores", "label"}
    assert list(document["scores"]) == CLASSES
    assert list(document["scores"].values()) == pytest.approx(table[0].tolist(), abs=1e-12)
    assert [each["label"] for each in batch] == [CLASSES[best] for best in table.argmax(axis=1)]
    assert (described["task"], described["classes"]) == ("multiclass", CLASSES)


def test_booster(quick: dict[str, str], rows: list[dict[str, Any]], scores: Any) -> None:
    """A raw booster with a binary objective has the classes 0 and 1, changing at 0.5."""
    with serving(quick["booster"]) as app:
        documents = [app.post("/v1/predict", row).json() for row in rows[:20]]
        _assert_documented(app)
    assert [each["score"] for each in documents] == pytest.approx(scores[:20].tolist(), abs=1e-12)
    assert [each["label"] for each in documents] == [int(score >= 0.5) for score in scores[:20]]


def test_model(app: App, quick: dict[str, str]) -> None:
    """`/v1/model` tells what is served: name, task, classes, features, digest, packages."""
    document = app.get("/v1/model").json()
    assert f"{document['name']}:{document['version']}" == quick["binary"]
    assert document["digest"].startswith(document["version"])
    assert (document["task"], document["classes"], document["score_class"]) == ("binary", [0, 1], 1)
    assert (document["threshold"], document["threshold_method"]) == (0.4, "chosen for the tests")
    assert document["mlflow"].keys() == {"run_id", "registry_name", "registry_version", "flavor"}
    assert document["mlflow"]["flavor"] == "lightgbm"
    assert {"lightgbm", "mlflow"} <= document["dependencies"].keys()
    assert len(document["contract_hash"]) == 64
    features = {feature["name"]: feature for feature in document["features"]}
    assert list(features) == ["amount", "count", "is_member", "colour", "grade", "weight"]
    assert features["colour"]["categories"] == ["blue", "green", "red"]
    assert features["grade"]["categories"] == [3, 5, 7]
    assert features["amount"]["nullable"] is True
    assert features["amount"]["description"] == "Money, in euro."
    assert features["amount"]["profile"]["minimum"] < features["amount"]["profile"]["maximum"]
    # Categories that are numbers have no range.
    assert features["grade"]["profile"]["minimum"] is None


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/readyz"])
def test_health(app: App, path: str) -> None:
    """The health routes answer 200, to GET and to HEAD."""
    assert app.get(path).status == 200
    assert app.request("HEAD", path, headers={}).status == 200


def test_metrics_media_type(app: App) -> None:
    """`/metrics` answers in the Prometheus text format."""
    answer = app.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_page(app: App) -> None:
    """`/` shows the interactive documentation, which reads `/docs.json`."""
    answer = app.get("/")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert b"swagger-ui" in answer.body
    script = app.get("/static_content/swagger-initializer.js")
    assert script.status == 200
    assert b"docs.json" in script.body


def _is_others(path: str) -> bool:
    """Whether a path belongs to a protocol other than ours."""
    return path.split("/")[1] in ("v2", "invocations", "ping", "health", "version")


def test_openapi(app: App) -> None:
    """The OpenAPI document is valid and shows the model's own features, enums and limits."""
    document = app.get("/docs.json").json()
    validate(document)
    row = document["components"]["schemas"]["Row"]
    assert list(row["properties"]) == ["amount", "count", "is_member", "colour", "grade", "weight"]
    assert row["additionalProperties"] is False
    assert row["properties"]["colour"]["enum"] == ["blue", "green", "red", None]
    assert row["properties"]["grade"]["enum"] == [3, 5, 7, None]
    assert row["properties"]["is_member"]["type"] == "boolean"
    assert "Money, in euro" in row["properties"]["amount"]["description"]
    paths = {"/v1/predict", "/v1/predict/batch", "/v1/feedback", "/v1/model", "/metrics"}
    paths |= {"/v1/explain"}
    own = {path for path in document["paths"] if not _is_others(path)}
    assert paths | {"/livez", "/readyz", "/healthz"} == own
    # Paths of the other protocols are those that are answered.
    assert document["paths"].keys() - own == {
        path for path in app.module.WORKER.routes if _is_others(path)
    }


def test_openapi_example(app: App) -> None:
    """The examples of the OpenAPI document really are answered with 200, without a warning."""
    _assert_documented(app)


def _assert_documented(app: App) -> None:
    document = app.get("/docs.json").json()
    validate(document)
    for path in ("/v1/predict", "/v1/predict/batch"):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        answer = app.post(path, content["application/json"]["example"])
        assert answer.status == 200
        assert b"error" not in answer.body and b"warnings" not in answer.body
    model = app.get("/v1/model").json()
    infer = document["paths"]["/v2/models/{model}/infer"]["post"]["requestBody"]["content"]
    path = f"/v2/models/{model['name']}/infer"
    assert app.post(path, infer["application/json"]["example"]).status == 200
    content = document["paths"]["/invocations"]["post"]["requestBody"]["content"]
    assert app.post("/invocations", content["application/json"]["example"]).status == 200


def test_request_id_is_echoed(app: App) -> None:
    """A valid X-Request-Id of the client comes back, on a good answer and on a problem."""
    for path, status in (("/v1/model", 200), ("/v1/nothing", 404), ("/livez", 200)):
        answer = app.request("GET", path, headers={"x-request-id": "a.B-c_9" * 18})
        assert (answer.status, answer.headers["x-request-id"]) == (status, "a.B-c_9" * 18)


@pytest.mark.parametrize("given", ["", "two words", "a" * 129, "new\tline", "größe", 'a"b', "a/b"])
def test_request_id_is_replaced(app: App, given: str) -> None:
    """An X-Request-Id that could forge a log line is replaced by a UUIDv7."""
    answer = app.request("GET", "/v1/model", headers={"x-request-id": given})
    assert UUID7.fullmatch(answer.headers["x-request-id"])


def test_request_ids_differ(app: App) -> None:
    """Each request without an id gets one of its own."""
    assert len({app.get("/v1/model").headers["x-request-id"] for _ in range(50)}) == 50


def test_server_timing(app: App, row: dict[str, Any]) -> None:
    """Server-Timing names the stages of a scored request, and a total on every answer."""
    scored = app.post("/v1/predict", row).headers["server-timing"]
    names = [part.strip().partition(";")[0] for part in scored.split(",")]
    assert names == ["decode", "queue", "predict", "total"]
    durations = [float(part.partition("dur=")[2]) for part in scored.split(",")]
    assert all(duration >= 0 for duration in durations)
    # Each is rounded to a microsecond.
    assert sum(durations[:3]) <= durations[3] + 0.002
    for path in ("/livez", "/readyz", "/metrics", "/docs.json", "/", "/v1/model"):
        assert app.get(path).headers["server-timing"].startswith("total;dur=")


def test_head(app: App) -> None:
    """HEAD gives the headers of GET and no body."""
    for path in ("/v1/model", "/readyz", "/metrics", "/docs.json"):
        answer = app.request("HEAD", path, headers={})
        assert (answer.status, answer.body) == (200, b"")
        assert int(answer.headers["content-length"]) > 0


def test_warnings(app: App, row: dict[str, Any]) -> None:
    """A value outside the training range is scored, with a warning that names the feature."""
    document = app.post("/v1/predict", {**row, "amount": 9e9, "weight": -77.5}).json()
    found = {(each["pointer"], each["code"]) for each in document["warnings"]}
    assert found == {("/amount", "out_of_range"), ("/weight", "out_of_range")}


def test_number_categories_have_no_range(app: App, row: dict[str, Any]) -> None:
    """Categories that are numbers are never out of range."""
    for grade in (3, 5, 7, None):
        document = app.post("/v1/predict", {**row, "amount": 100.0, "grade": grade}).json()
        warned = {each["code"] for each in document.get("warnings", ())}
        assert "out_of_range" not in warned


def test_unknown_category_as_missing(quick: dict[str, str], row: dict[str, Any]) -> None:
    """With TABSERVE_UNKNOWN_CATEGORY=missing such a row is scored as missing, with a warning."""
    with serving(quick["binary"], unknown_category="missing") as app:
        document = app.post("/v1/predict", {**row, "colour": "violet"}).json()
        as_missing = app.post("/v1/predict", {**row, "colour": None}).json()
        batch = app.post("/v1/predict/batch", {"instances": [{**row, "colour": "violet"}]}).json()
    assert document["score"] == as_missing["score"] == batch["predictions"][0]["score"]
    assert ("/colour", "unknown_category") in {
        (each["pointer"], each["code"]) for each in document["warnings"]
    }
