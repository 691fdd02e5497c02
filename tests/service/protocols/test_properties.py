"""Any table survives every protocol; any bytes are refused in the protocol's own shape."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.driver import Answer, App
from tests.service.protocols.tables import (
    LENGTH,
    TENSORS,
    infer_binary,
    infer_document,
    infer_path,
    outputs_of,
)

Row = dict[str, Any]

PROBABILITIES = {"predict_method": "predict_proba"}
OCTETS = "application/octet-stream"
MARK = "MARKED"

NAMES = [name for name, _, _ in TENSORS]
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SINGLES = st.floats(width=32, allow_nan=False, allow_infinity=False)
GOOD = {
    "amount": st.one_of(st.none(), FLOATS),
    "count": st.integers(-(2**53), 2**53),
    "is_member": st.booleans(),
    "colour": st.sampled_from([None, "blue", "green", "red"]),
    "grade": st.sampled_from([3, 5, 7]),
    "weight": st.one_of(st.none(), SINGLES),
}
ROWS = st.lists(st.fixed_dictionaries(GOOD), min_size=1, max_size=5)
ODD: st.SearchStrategy[Any] = st.one_of(
    st.integers(), st.booleans(), FLOATS, st.text(max_size=5), st.just([]), st.just({})
)


def to_csv(rows: list[Row]) -> bytes:
    """Rows as CSV, missing as an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(NAMES)
    writer.writerows(["" if row[name] is None else row[name] for name in NAMES] for row in rows)
    return text.getvalue().encode()


@settings(max_examples=120)
@given(rows=ROWS)
def test_any_table(app: App, rows: list[Row]) -> None:
    """Any good table gets the same scores to the last bit through every protocol and form."""
    expected = [
        one["score"]
        for one in app.post("/v1/predict/batch", {"instances": rows}).json()["predictions"]
    ]
    assert app.post("/v1/predict", rows[0]).json()["score"] == expected[0]
    path = infer_path(app)
    answers = [app.post(path, infer_document(rows))]
    for parameters in ({}, {"binary_data_output": True}):
        body, headers = infer_binary(rows, parameters=parameters)
        answers.append(app.request("POST", path, body, headers=headers))
    for answer in answers:
        assert outputs_of(answer)["score"] == expected
    split = {"columns": NAMES, "data": [[row[name] for name in NAMES] for row in rows]}
    columns = {name: [row[name] for row in rows] for name in NAMES}
    for form, table in (
        ("dataframe_split", split),
        ("dataframe_records", rows),
        ("instances", rows),
        ("inputs", columns),
    ):
        answer = app.post("/invocations", {form: table, "params": PROBABILITIES})
        assert [pair[1] for pair in answer.json()["predictions"]] == expected
    labels = [int(score >= 0.4) for score in expected]
    answer = app.request("POST", "/invocations", to_csv(rows), headers={"content-type": "text/csv"})
    assert answer.json() == {"predictions": labels}


@settings(max_examples=120)
@given(rows=ROWS, name=st.sampled_from(NAMES), odd=ODD)
def test_any_value(app: App, rows: list[Row], name: str, odd: Any) -> None:
    """A value is taken by every protocol, or refused by every one; neighbours do not matter."""
    rows = [*rows, {**rows[0], name: odd}]
    last = app.post("/v1/predict/batch", {"instances": rows}).json()["predictions"][-1]
    answer = app.post("/invocations", {"inputs": rows, "params": PROBABILITIES})
    if "error" in last:
        check(answer, "/invocations")
        assert answer.status == 400
    else:
        assert answer.json()["predictions"][-1][1] == last["score"]
    # A tensor has a datatype, which may refuse what JSON takes: a float for an integer.
    answer = app.post(infer_path(app), infer_document(rows))
    if answer.status == 200:
        if odd != "":
            assert outputs_of(answer)["score"][-1] == last["score"]
    else:
        check(answer, "/v2")


def check(answer: Answer, path: str) -> None:
    """Assert that an answer is a success, or a client's error in the protocol's shape."""
    assert MARK.encode() not in answer.body
    if answer.status == 200:
        return
    assert 400 <= answer.status < 500, answer.body[:300]
    if path.startswith("/v2"):
        assert answer.json().keys() == {"error"}
    elif answer.status == 415:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    else:
        assert answer.json().keys() == {"error_code", "message"}


BYTES = st.one_of(
    st.binary(max_size=120),
    st.text(max_size=60).map(lambda text: f"{MARK}{text}".encode("utf-8", "surrogatepass")),
)
TYPES = st.sampled_from(
    [
        *("application/json", "text/csv", "application/vnd.apache.parquet", OCTETS, "", "text/x"),
        *('application/json; charset="utf-8"', "text/csv;charset=latin-1", "; ;", 'a/b; c="d'),
    ]
)


@settings(max_examples=200)
@given(body=BYTES, kind=TYPES, length=st.one_of(st.none(), st.integers(-1, 130)))
def test_any_bytes(app: App, body: bytes, kind: str, length: int | None) -> None:
    """Bytes of any kind under any Content-Type are refused in the protocol's shape."""
    headers = {"content-type": kind}
    check(app.request("POST", "/invocations", body, headers=headers), "/invocations")
    if length is not None:
        headers[LENGTH] = str(length)
    check(app.request("POST", infer_path(app), body, headers=headers), "/v2")


_DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.just(MARK)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    *("inputs", "outputs", "id", "parameters", "name", "shape", "datatype", "data"),
                    *("dataframe_split", "dataframe_records", "instances", "params", "columns"),
                    *("binary_data_size", "content_type", "predict_method", "count", MARK),
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=10,
)


@settings(max_examples=200)
@given(document=_DOCUMENTS)
def test_any_document(app: App, document: object) -> None:
    """So are JSON documents of any shape made of the protocols' own words."""
    for path in ("/invocations", infer_path(app)):
        check(app.post(path, document), path)


@settings(max_examples=200)
@given(
    place=st.floats(0, 1, exclude_max=True),
    part=st.binary(min_size=1, max_size=4),
    cut=st.integers(0, 6),
    is_binary=st.booleans(),
)
def test_damaged_requests(
    app: App, rows: list[Row], place: float, part: bytes, cut: int, is_binary: bool
) -> None:
    """A good request with some bytes changed is answered, or refused in shape."""
    if is_binary:
        body, headers = infer_binary(rows[:2])
    else:
        body, headers = json.dumps(infer_document(rows[:2])).encode(), {}
    start = int(place * len(body))
    damaged = body[:start] + part + body[start + cut :]
    sent = {"content-type": OCTETS, **headers}
    check(app.request("POST", infer_path(app), damaged, headers=sent), "/v2")
    for kind, whole in (
        ("text/csv", to_csv(rows[:2])),
        ("application/json", json.dumps({"dataframe_records": rows[:2]}).encode()),
    ):
        start = int(place * len(whole))
        damaged = whole[:start] + part + whole[start + cut :]
        answer = app.request("POST", "/invocations", damaged, headers={"content-type": kind})
        check(answer, "/invocations")
    # Whatever came, the next good request is answered.
    assert app.post("/v1/predict", rows[0]).status == 200
