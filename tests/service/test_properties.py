"""Whatever is sent: a client's mistake is a 4xx problem document, and never a 5xx."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.checks import assert_problem
from tests.service.driver import App

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["red", "NaN", "instances", "__proto__", "\ud800"]),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
_NAMES = ["amount", "count", "is_member", "colour", "grade", "weight"]
_GOOD = {
    "amount": 100.5,
    "count": 3,
    "is_member": True,
    "colour": "red",
    "grade": 7,
    "weight": 0.25,
}
_KINDS = {
    400: "malformed",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid-features",
}


def _check(app: App, path: str, body: bytes, headers: dict[str, str] | None = None) -> Any:
    sent = {"content-type": "application/json", **(headers or {})}
    answer = app.request("POST", path, body, headers=sent)
    if answer.status == 200:
        return answer.json()
    return assert_problem(answer, answer.status, _KINDS[answer.status])


@settings(max_examples=250)
@given(body=st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
def test_any_bytes(app: App, body: bytes) -> None:
    """Bytes of any kind, as they are and as gzip, are refused as malformed or as no row."""
    for path in ("/v1/predict", "/v1/predict/batch"):
        assert "score" not in _check(app, path, body)
        assert "score" not in _check(app, path, body, {"content-encoding": "gzip"})


@settings(max_examples=250)
@given(document=_VALUES)
def test_any_document(app: App, document: object) -> None:
    """Any JSON document that is no row is refused."""
    body = json.dumps(document).encode()
    for path in ("/v1/predict", "/v1/predict/batch"):
        _check(app, path, body)
    _check(app, "/v1/predict/batch", b'{"instances":[' + body + b"]}")


@settings(max_examples=400)
@given(
    changes=st.dictionaries(st.sampled_from(_NAMES), _VALUES, min_size=1, max_size=3),
    gone=st.sets(st.sampled_from(_NAMES), max_size=2),
    more=st.dictionaries(st.text(max_size=8), _SCALARS, max_size=2),
)
def test_any_row(
    app: App, changes: dict[str, object], gone: set[str], more: dict[str, object]
) -> None:
    """Any row is scored with a finite score or refused, alone and in a batch in the same way."""
    row = {**_GOOD, **changes, **more}
    for name in gone:
        row.pop(name, None)
    body = json.dumps(row).encode()
    alone = _check(app, "/v1/predict", body)
    good = json.dumps(_GOOD).encode()
    batch = _check(app, "/v1/predict/batch", b'{"instances":[' + good + b"," + body + b"]}")
    neighbour, same = batch["predictions"]
    assert 0 <= neighbour["score"] <= 1
    assert ("score" in alone) == ("score" in same)
    if "score" in alone:
        assert alone["score"] == same["score"]
    else:
        pointers = [each["pointer"] for each in alone["errors"]]
        placed = [each["pointer"] for each in same["error"]["errors"]]
        assert placed == [f"/instances/1{pointer}" for pointer in pointers]


@settings(max_examples=150)
@given(
    path=st.text(max_size=30),
    query=st.text(st.characters(max_codepoint=255), max_size=30),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PROPFIND"]),
)
def test_any_path(app: App, path: str, query: str, method: str) -> None:
    """No path, query or method makes the server fail."""
    for where in (f"/{path}", f"/v1/{path}", f"/static_content/{path}", "/v1/model"):
        answer = app.request(method, where, b"{}", query=query)
        assert answer.status < 500
        assert "x-request-id" in answer.headers


@settings(max_examples=150)
@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["content-type", "content-encoding", "content-length", "x-request-id", "accept"]
        ),
        st.text(st.characters(max_codepoint=255), max_size=30),
    )
)
def test_any_header(app: App, headers: dict[str, str]) -> None:
    """No header makes the server fail."""
    assert app.request("POST", "/v1/predict", b"{}", headers=headers).status < 500
