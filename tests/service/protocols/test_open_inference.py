"""Open Inference Protocol v2 with MLServer's `pd` and Triton's binary tensors, made by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from bentos.ids import is_id
from tests.service.checks import series_of, total_of
from tests.service.driver import Answer, App, serving
from tests.service.protocols.tables import (
    LENGTH,
    TENSORS,
    infer_binary,
    infer_document,
    infer_path,
    name_of,
    outputs_of,
)

Row = dict[str, Any]


def error_of(answer: Answer, status: int) -> str:
    """Assert that an answer is an error in the protocol's shape; give its text."""
    assert answer.status == status, answer.body[:500]
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert document.keys() == {"error"}
    text: str = document["error"]
    assert text and "Traceback" not in text and "msgspec" not in text
    return text


# ---- scores


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


# ---- documents


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


# ---- errors


def test_unknown_model(app: App, row: Row) -> None:
    """Another model or version is 404, in the protocol's shape, without repeating its name."""
    document = infer_document([row])
    for path in ("/v2/models/MARKED/infer", infer_path(app, "/versions/MARKED/infer")):
        assert "MARKED" not in error_of(app.post(path, document), 404)
    for path in ("/v2/models/MARKED", "/v2/models/MARKED/ready", infer_path(app, "/versions/9")):
        assert "MARKED" not in error_of(app.get(path), 404)


def test_other_errors(app: App, row: Row) -> None:
    """Paths, methods, media types, encodings and sizes are refused in the protocol's shape."""
    body = json.dumps(infer_document([row])).encode()
    path = infer_path(app)
    error_of(app.get("/v2/else"), 404)
    error_of(app.get("/v2/models/a/b/c"), 404)
    refused = app.get(path)
    error_of(refused, 405)
    assert refused.headers["allow"] == "POST"
    error_of(app.post("/v2/health/live", {}), 405)
    error_of(app.request("POST", path, body, headers={"content-type": "text/plain"}), 415)
    latin = {"content-type": "application/json; charset=latin-1"}
    error_of(app.request("POST", path, body, headers=latin), 415)
    deflate = {"content-type": "application/json", "content-encoding": "deflate"}
    error_of(app.request("POST", path, body, headers=deflate), 415)
    error_of(app.request("POST", path, b" " * (16 * 2**20 + 1)), 413)
    assert (
        app.request(
            "POST", path, body, headers={"content-type": 'Application/JSON ; charset="UTF-8"'}
        ).status
        == 200
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "MARKED"}, "/inputs/1/name: is not a feature"),
        ({"name": "amount"}, "/inputs/1/name: repeats"),
        ({"datatype": "MARKED"}, "/inputs/1/datatype: must be one of BOOL"),
        ({"datatype": "BYTES"}, "/inputs/1/datatype: 'count' takes"),
        ({"datatype": "BOOL"}, "/inputs/1/datatype: 'count' takes"),
        ({"datatype": "FP16"}, "/inputs/1/datatype: FP16 comes as binary"),
        ({"datatype": "INT8", "data": [200]}, "/inputs/1/data/0: does not fit INT8"),
        ({"shape": [1, 6]}, "/inputs/1/shape: must be [n] or [n, 1]"),
        ({"shape": []}, "/inputs/1/shape: must be [n] or [n, 1]"),
        ({"shape": [-1]}, "/inputs/1/shape: must be [n] or [n, 1]"),
        ({"shape": [2]}, "/inputs/1/shape: must have as many rows"),
        ({"shape": ["MARKED"]}, "/inputs/1/shape/0: must be an integer"),
        ({"shape": "MARKED"}, "/inputs/1/shape: must be an array"),
        ({"data": ["MARKED"]}, "/inputs/1/data/0: must be an integer or null"),
        ({"data": [True]}, "/inputs/1/data/0: must be an integer or null"),
        ({"data": [1.5]}, "/inputs/1/data/0: must be an integer or null"),
        ({"data": [None]}, "/inputs/1/data/0: 'count' may not be null"),
        ({"data": [[1]]}, "/inputs/1/data/0"),
        ({"data": [1, 2]}, "/inputs/1/data: must have as many elements"),
        ({"data": "MARKED"}, "/inputs/1/data: must be an array or null"),
        ({"data": None}, "/inputs/1/data: is required"),
        ({"parameters": "MARKED"}, "/inputs/1/parameters: must be an object or null"),
        ({"parameters": {"content_type": "MARKED"}}, "/inputs/1/parameters/content_type"),
        ({"parameters": {"binary_data_size": "MARKED"}}, "/inputs/1/parameters/binary_data_size"),
        ({"parameters": {"binary_data_size": 8}}, "/inputs/1/data: may not come beside"),
    ],
)
def test_wrong_tensor(app: App, row: Row, change: Row, expected: str) -> None:
    """What is wrong with a tensor is said with its place, and no value comes back."""
    document = infer_document([row])
    document["inputs"][1] |= change
    if change == {"data": [[1]]}:
        document["inputs"][1]["shape"] = [1]
    text = error_of(app.post(infer_path(app), document), 400)
    assert expected in text
    assert "MARKED" not in text and "200" not in text


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"inputs": []}, "/inputs: must have a tensor"),
        ({"inputs": {}}, "/inputs: must be an array"),
        ({"inputs": ["MARKED"]}, "/inputs/0: must be an object"),
        ({"id": 7}, "/id: must be a string or null"),
        ({"outputs": [{"name": "MARKED"}]}, "/outputs/0/name: must be another one of"),
        ({"outputs": [{"name": "score"}, {"name": "score"}]}, "/outputs/1/name"),
        ({"outputs": "MARKED"}, "/outputs: must be an array or null"),
        ({"parameters": {"content_type": "np"}}, "/parameters/content_type: must be pd"),
        ({"parameters": {"binary_data_output": "MARKED"}}, "/parameters/binary_data_output"),
        (
            {"outputs": [{"name": "score", "parameters": {"classification": 2}}]},
            "/outputs/0/parameters/classification",
        ),
        (
            {"outputs": [{"name": "score", "parameters": {"binary_data": "MARKED"}}]},
            "/outputs/0/parameters/binary_data",
        ),
    ],
)
def test_wrong_document(app: App, row: Row, members: Row, expected: str) -> None:
    """So is what is wrong with the document around the tensors."""
    text = error_of(app.post(infer_path(app), {**infer_document([row]), **members}), 400)
    assert expected in text
    assert "MARKED" not in text


def test_all_or_nothing(app: App, rows: list[Row]) -> None:
    """One wrong row refuses the request with every fault's place; its neighbours harm no one."""
    wrong = [rows[0], {**rows[1], "colour": "MARKED"}, {**rows[2], "count": 2**60}]
    text = error_of(app.post(infer_path(app), infer_document(wrong)), 400)
    assert "/inputs/3/data/1: 'colour'" in text
    assert "/inputs/1/data/2: 'count'" in text
    assert "MARKED" not in text
    many = [{**row, "colour": "MARKED"} for row in rows]
    assert "and 190 more faults" in error_of(app.post(infer_path(app), infer_document(many)), 400)


def test_repeated_members(app: App, row: Row) -> None:
    """A key that comes twice is refused at any level; colons inside texts are no keys."""
    good = json.dumps(infer_document([row], id="a: b"))
    assert app.request("POST", infer_path(app), good.encode()).status == 200
    twice = good.replace('"id":', '"id": "x", "id":')
    error_of(app.request("POST", infer_path(app), twice.encode()), 400)
    twice = good.replace('"datatype": "BOOL"', '"datatype": "BOOL", "datatype": "BOOL"')
    text = error_of(app.request("POST", infer_path(app), twice.encode()), 400)
    assert text == "/inputs/2: member 4 repeats an earlier key"
    twice = good.replace('"id":', '"MARKED": {"x": 1, "x": 1}, "id":')
    text = error_of(app.request("POST", infer_path(app), twice.encode()), 400)
    assert text == "/2: member 2 repeats an earlier key"


def test_unknown_members_are_ignored(app: App, row: Row) -> None:
    """Members that clients add of their own, `model_name` among them, change nothing."""
    document = infer_document([row], model_name="else", parameters={"priority": 3}, more={"a": 1})
    document["inputs"][0] |= {"more": [1], "parameters": {"shared_memory": "x"}}
    assert app.post(infer_path(app), document).status == 200


@pytest.mark.parametrize("length", ["MARKED", "-1", "1.5", "0", "99999999", "9" * 40, ""])
def test_wrong_length_header(app: App, row: Row, length: str) -> None:
    """A length of the document that cannot be is refused."""
    body, headers = infer_binary([row])
    answer = app.request("POST", infer_path(app), body, headers={**headers, LENGTH: length})
    text = error_of(answer, 400)
    assert "Inference-Header-Content-Length" in text and "MARKED" not in text


@pytest.mark.parametrize("off_by", [-1, 1, 8, -200])
def test_shifted_length_header(app: App, row: Row, off_by: int) -> None:
    """A length that cuts the document elsewhere is refused, and nothing of the body comes back."""
    body, headers = infer_binary([{**row, "colour": "red"}])
    length = str(int(headers[LENGTH]) + off_by)
    answer = app.request("POST", infer_path(app), body, headers={**headers, LENGTH: length})
    assert "red" not in error_of(answer, 400)


@pytest.mark.parametrize("size", [0, 7, 9, 2**40, -8, 8.5, True])
def test_wrong_binary_size(app: App, row: Row, size: object) -> None:
    """A tensor's size that is not that of its shape and datatype is refused."""
    body, headers = infer_binary([row])
    length = int(headers[LENGTH])
    document = json.loads(body[:length])
    document["inputs"][0]["parameters"]["binary_data_size"] = size
    text = json.dumps(document).encode()
    headers[LENGTH] = str(len(text))
    answer = app.request("POST", infer_path(app), text + body[length:], headers=headers)
    error_of(answer, 400)


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"\x03\0\0",
        b"\x04\0\0\0red",
        b"\xff\xff\xff\xffred",
        b"\x03\0\0\0red\0",
        b"\x03\0\0\0re\xff",
        b"\x03\0\0\0red\x03\0\0\0red",
    ],
)
def test_wrong_bytes_tensor(app: App, row: Row, part: bytes) -> None:
    """Elements whose lengths do not add up, or that are no UTF-8, are refused."""
    document = infer_document([row])
    colour = document["inputs"][3]
    del colour["data"]
    colour["parameters"] = {"binary_data_size": len(part)}
    text = json.dumps(document).encode()
    headers = {"content-type": "application/octet-stream", LENGTH: str(len(text))}
    answer = app.request("POST", infer_path(app), text + part, headers=headers)
    assert error_of(answer, 400).startswith("/inputs/3")


def test_binary_booleans(app: App, row: Row) -> None:
    """A byte that is neither 0 nor 1 is no boolean."""
    body, headers = infer_binary([row])
    length = int(headers[LENGTH])
    changed = bytearray(body)
    # amount and count have 8 bytes each; is_member follows.
    changed[length + 16] = 2
    answer = app.request("POST", infer_path(app), bytes(changed), headers=headers)
    assert "/inputs/2/data/0" in error_of(answer, 400)


def test_infinity(app: App, row: Row) -> None:
    """Infinity is refused, in JSON and in binary."""
    body, headers = infer_binary([{**row, "amount": float("inf")}])
    answer = app.request("POST", infer_path(app), body, headers=headers)
    assert "/inputs/0/data/0: 'amount' must be a finite number" in error_of(answer, 400)
    text = json.dumps(infer_document([{**row, "amount": float("-inf")}])).encode()
    assert "finite" in error_of(app.request("POST", infer_path(app), text), 400)


def test_bounds_hold_before_decoding(app: App, rows: list[Row]) -> None:
    """More rows than allowed, and bodies full of values, members or objects, are refused."""
    document = infer_document(rows[:1])
    for tensor in document["inputs"]:
        tensor["shape"] = [10_001]
        tensor["data"] = tensor["data"] * 10_001
    assert "at most 10000 rows" in error_of(app.post(infer_path(app), document), 400)
    flood = b'{"inputs":[' + b"1," * 500_000 + b"1]}"
    error_of(app.request("POST", infer_path(app), flood), 413)
    flood = b'{"inputs":[' + b",".join([b"{}"] * 50_000) + b"]}"
    assert app.request("POST", infer_path(app), flood).status in (400, 413)
    flood = b'{"x":{' + b",".join(b'"%d":1' % n for n in range(90_000)) + b"}}"
    error_of(app.request("POST", infer_path(app), flood), 413)


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
