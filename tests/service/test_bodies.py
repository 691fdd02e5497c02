"""What is JSON and what is not: the scoring routes read RFC 8259 and nothing else."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.service.checks import assert_problem
from tests.service.driver import App

POSTS = ["/v1/predict", "/v1/predict/batch"]


def _with(row: dict[str, Any], name: str, token: str) -> bytes:
    """A row as text in which one value is written literally."""
    text = json.dumps({**row, name: "@"})
    return text.replace('"@"', token).encode()


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":1}{"a":1}',
        b'{"a":1} x',
        b"{a:1}",
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":0x10}',
        b'{"a":tru}',
        b'{"a":"\x01"}',
        b'{"a":"\\x"}',
        b"// {}\n{}",
        b"undefined",
        b"\x00",
        b"\xff\xfe",
        b'{"a":"\xe9"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc0\x80"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-16-le"),
        "{}".encode("utf-32"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
    ],
    ids=repr,
)
def test_malformed(app: App, path: str, body: bytes) -> None:
    """What is no JSON text in UTF-8 is 400: syntax, encodings, marks, depth, nothing at all."""
    if len(body) > 1000:
        # Too deep is malformed for a server: nobody's row is.
        assert_problem(app.request("POST", path, body), 400, "malformed")
        return
    document = assert_problem(app.request("POST", path, body), 400, "malformed")
    assert document["errors"] == []


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400])
def test_numbers_that_are_none(app: App, row: dict[str, Any], token: str) -> None:
    """A number that JSON does not have, or no float64 can hold, is a fault of its feature."""
    body = _with(row, "amount", token)
    document = assert_problem(app.request("POST", "/v1/predict", body), 422, "invalid-features")
    assert [(each["pointer"], each["code"]) for each in document["errors"]] == [
        ("/amount", "not_finite")
    ]


def test_not_finite_in_a_batch(app: App, row: dict[str, Any]) -> None:
    """In a batch such a number is a fault of its row alone."""
    body = b'{"instances":[' + _with(row, "amount", "NaN") + b"," + json.dumps(row).encode() + b"]}"
    first, second = app.request("POST", "/v1/predict/batch", body).json()["predictions"]
    assert first["error"]["errors"][0]["pointer"] == "/instances/0/amount"
    assert "score" in second


@pytest.mark.parametrize(
    ("name", "token", "code"),
    [
        ("amount", '"1"', "wrong_type"),
        ("amount", "true", "wrong_type"),
        ("amount", "[1]", "wrong_type"),
        ("count", "1.5", "wrong_type"),
        ("count", '"1"', "wrong_type"),
        ("count", "null", "not_nullable"),
        ("count", "9223372036854775808", "out_of_bounds"),
        ("is_member", "1", "wrong_type"),
        ("is_member", '"true"', "wrong_type"),
        ("colour", '"RED"', "unknown_category"),
        ("colour", '"red "', "unknown_category"),
        ("colour", "0", "wrong_type"),
        ("grade", "4", "unknown_category"),
        ("grade", '"3"', "wrong_type"),
        ("grade", "true", "wrong_type"),
        ("weight", "1e39", "out_of_bounds"),
    ],
)
def test_values(app: App, row: dict[str, Any], name: str, token: str, code: str) -> None:
    """A value of another type, or that its column cannot hold, is a fault of its feature."""
    body = _with(row, name, token)
    document = assert_problem(app.request("POST", "/v1/predict", body), 422, "invalid-features")
    assert [(each["pointer"], each["code"]) for each in document["errors"]] == [(f"/{name}", code)]


@pytest.mark.parametrize(("token", "same"), [("3.0", "3"), ("3e0", "3"), ("-0.0", "0")])
def test_whole_numbers(app: App, row: dict[str, Any], token: str, same: str) -> None:
    """3.0 is an integer: some clients know no other numbers."""
    answers = [
        app.request("POST", "/v1/predict", _with(row, "count", each)) for each in (token, same)
    ]
    assert {answer.status for answer in answers} == {200}
    assert answers[0].json()["score"] == answers[1].json()["score"]


def test_duplicate_keys(app: App, row: dict[str, Any]) -> None:
    """A key that comes twice is 422, even with the same value: nobody can say which was meant."""
    body = json.dumps(row).encode()[:-1] + b',"count":1}'
    document = assert_problem(app.request("POST", "/v1/predict", body), 422, "invalid-features")
    assert [(each["pointer"], each["code"]) for each in document["errors"]] == [
        ("/count", "duplicate_key")
    ]
    batch = b'{"instances":[' + body + b"," + json.dumps(row).encode() + b"]}"
    first, second = app.request("POST", "/v1/predict/batch", batch).json()["predictions"]
    assert first["error"]["errors"][0]["pointer"] == "/instances/0/count"
    assert "score" in second


def test_duplicate_instances(app: App, row: dict[str, Any]) -> None:
    """`instances` that comes twice is 422."""
    one = json.dumps([row]).encode()
    body = b'{"instances":' + one + b',"instances":' + one + b"}"
    document = assert_problem(
        app.request("POST", "/v1/predict/batch", body), 422, "invalid-features"
    )
    assert [each["code"] for each in document["errors"]] == ["duplicate_key"]


def test_colons_in_strings(app: App, row: dict[str, Any]) -> None:
    """A colon inside a string is no second key."""
    body = _with(row, "colour", '"a:b:c"')
    document = assert_problem(app.request("POST", "/v1/predict", body), 422, "invalid-features")
    assert [each["code"] for each in document["errors"]] == ["unknown_category"]


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b'{"a":1}')[:-1],
        gzip.compress(b'{"a":1}')[:5],
        gzip.compress(b'{"a":1}') + b"x",
        b"not gzip",
        b"\x1f\x8b",
        b"",
    ],
)
def test_gzip_that_is_none(app: App, body: bytes) -> None:
    """A gzip body that is cut short, has something behind it, or is none, is 400."""
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = app.request("POST", "/v1/predict", body, headers=headers)
    assert_problem(answer, 400, "malformed")


def test_gzip_of_several_members(app: App, row: dict[str, Any]) -> None:
    """A gzip body of several members is their content in a row (RFC 1952)."""
    body = json.dumps(row).encode()
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    packed = gzip.compress(body[:9]) + gzip.compress(b"") + gzip.compress(body[9:])
    assert app.request("POST", "/v1/predict", packed, headers=headers).status == 200
