"""What the Open Inference Protocol v2 refuses, and how it says so."""

from __future__ import annotations

import json

import pytest

from tests.service.driver import App
from tests.service.protocols.open_inference_errors import Row, error_of
from tests.service.protocols.tables import (
    LENGTH,
    infer_binary,
    infer_document,
    infer_path,
)


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
