"""What MLflow scoring refuses, and how it says so."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.service.driver import App
from tests.service.protocols.scoring_answers import (
    CSV,
    EITHER,
    PARQUET,
    Row,
    columns_of,
    error_of,
    split_of,
)


def test_other_errors(app: App, row: Row) -> None:
    """Methods, media types, paths below and sizes are refused in MLflow's shape."""
    assert "POST" in error_of(app.get("/invocations"), 405)
    error_of(app.post("/ping", {}), 405)
    error_of(app.get("/invocations/MARKED"), 404, "ENDPOINT_NOT_FOUND")
    error_of(app.request("POST", "/invocations", b" " * (16 * 2**20 + 1)), 413)
    for content_type in ("", "MARKED/x", "text/csv; delimiter=x", "text/csv; charset=latin-1"):
        headers = {"content-type": content_type}
        answer = app.request("POST", "/invocations", b"{}", headers=headers)
        assert (answer.status, answer.headers["content-type"]) == (415, "text/plain; charset=utf-8")
        assert b"MARKED" not in answer.body and b"delimiter" not in answer.body
    assert app.get("/ping", query="x=1").status == 200
    assert app.request("HEAD", "/health", headers={}).status == 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "must have exactly one of dataframe_split"),
        ({"MARKED": 1}, "must have exactly one of"),
        ({"inputs": [], "instances": []}, "must have exactly one of"),
        ({"inputs": None}, "/inputs: must be"),
        ({"inputs": "MARKED"}, "/inputs: must be"),
        ({"inputs": []}, "/inputs: must have at least one row"),
        ({"inputs": {}}, "/inputs: must have at least one row"),
        ({"inputs": [1, 2]}, "/inputs/0: must be an object of named features"),
        ({"inputs": [["MARKED"]]}, "/inputs/0: must be an object of named features"),
        ({"inputs": {"count": [1], "colour": ["red", "red"]}}, "/inputs: must have as many values"),
        ({"inputs": {"count": [1], "colour": "MARKED"}}, "/inputs/colour: must be an array"),
        ({"dataframe_records": {}}, "/dataframe_records: must be an array"),
        ({"dataframe_records": ["MARKED"]}, "/dataframe_records/0: must be an object"),
        ({"dataframe_records": [{}]}, "/dataframe_records: 'count' is required"),
        ({"dataframe_split": []}, "/dataframe_split: must be an object"),
        ({"dataframe_split": {"data": [[1]]}}, "/dataframe_split/columns: is required"),
        ({"dataframe_split": {"columns": [1], "data": []}}, "/dataframe_split/columns/0"),
        ({"dataframe_split": {"columns": ["count"], "data": []}}, "at least one row"),
        (
            {"dataframe_split": {"columns": ["count", "count"], "data": [[1, 2]]}},
            "/dataframe_split/columns/1: repeats the column 'count'",
        ),
        (
            {"dataframe_split": {"columns": ["count", "b"], "data": [[1, 2], [1], "MARKED"]}},
            "/dataframe_split/data/1: must be an array with a value for each column",
        ),
        ({"inputs": [{}], "params": "MARKED"}, "/params: must be an object or null"),
        ({"inputs": [{}], "params": {"predict_method": "MARKED"}}, "/params/predict_method"),
        ({"inputs": [{}], "params": {"predict_method": []}}, "/params/predict_method"),
    ],
)
def test_wrong_document(app: App, body: object, expected: str) -> None:
    """What is wrong with a body is said with its place, and no value comes back."""
    is_of_signature = ("required" in expected and "'" in expected) or "/params" in expected
    code = "INVALID_PARAMETER_VALUE" if is_of_signature else "BAD_REQUEST"
    assert expected in error_of(app.post("/invocations", body), 400, code)


@pytest.mark.parametrize("name", ["amount", "count", "is_member", "colour", "grade", "weight"])
def test_wrong_value(app: App, rows: list[Row], name: str) -> None:
    """A wrong value is refused with its place in each form, and never repeated."""
    wrong = [rows[0], {**rows[1], name: "MARKED"}]
    split = split_of(wrong)
    place = split["columns"].index(name)
    for body, pointer in (
        ({"inputs": columns_of(wrong)}, f"/inputs/{name}/1"),
        ({"instances": wrong}, f"/instances/1/{name}"),
        ({"dataframe_split": split}, f"/dataframe_split/data/1/{place}"),
    ):
        message = error_of(app.post("/invocations", body), 400)
        assert message.startswith(f"{pointer}: '{name}' must be ") or "is not one of" in message
    text = pd.DataFrame(wrong).to_csv(index=False).encode()
    message = error_of(app.request("POST", "/invocations", text, headers=CSV), 400)
    assert message.startswith(f"/rows/1/{name}: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "count,weight\n",
        "count,weight\n1,2,3",
        "count,weight\n1",
        'count,weight\n"MARKED',
        "count,weight\n1,2\r3,4",
        "count,count\n1,2",
        "count,weight\n1_000,0x10",
        "amount,count,is_member,colour,grade,weight\ninf,1,True,red,3,1",
        "amount,count,is_member,colour,grade,weight\n1,1e999,True,red,3,1",
        "amount,count,is_member,colour,grade,weight\n1,1,yes,red,3,1",
        "MARKED\nMARKED",
    ],
)
def test_wrong_csv(app: App, text: str) -> None:
    """CSV that is no table of the model's columns is refused."""
    error_of(app.request("POST", "/invocations", text.encode(), headers=CSV), 400, *EITHER)


def test_bytes_that_are_no_table(app: App) -> None:
    """Bytes that are no UTF-8, and files that are no Parquet, are refused."""
    error_of(app.request("POST", "/invocations", b"count\n\xff", headers=CSV), 400)
    for body in (b"", b"PAR1", b"PAR1MARKED" * 20 + b"PAR1"):
        error_of(app.request("POST", "/invocations", body, headers=PARQUET), 400)


def test_parquet_of_another_shape(app: App, fresh: pd.DataFrame, tmp_path: Path) -> None:
    """Nested columns, dates and too many rows are refused."""
    path = tmp_path / "rows.parquet"
    for changed in (
        fresh.assign(count=pd.Series([[1]] * len(fresh))),
        fresh.assign(count=pd.Timestamp("2026-01-01")),
        fresh.drop(columns="count"),
        pd.concat([fresh] * 51),
        fresh.head(0),
    ):
        changed.to_parquet(path)
        answer = app.request("POST", "/invocations", path.read_bytes(), headers=PARQUET)
        error_of(answer, 400, *EITHER)


def test_bounds_hold_before_decoding(app: App, row: Row) -> None:
    """More rows than allowed are refused in each form, and a flood of values before it is read."""
    many = {name: [value] * 10_001 for name, value in row.items()}
    assert "at most 10000 rows" in error_of(app.post("/invocations", {"inputs": many}), 400)
    text = (",".join(row) + "\n" + "1,1,True,red,3,1\n" * 10_001).encode()
    assert "at most 10000 rows" in error_of(
        app.request("POST", "/invocations", text, headers=CSV), 400
    )
    flood = b'{"inputs":[' + b"1," * 500_000 + b"1]}"
    error_of(app.request("POST", "/invocations", flood), 413)


def test_repeated_members(app: App, row: Row) -> None:
    """A key that comes twice is refused; colons inside texts are no keys."""
    good = json.dumps({"dataframe_records": [{**row, "note": "a: b"}]})
    assert app.request("POST", "/invocations", good.encode()).status == 200
    for twice in (
        good.replace('"count":', '"count": 1, "count":'),
        good.replace('{"data', '{"dataframe_records": [], "data'),
    ):
        message = error_of(app.request("POST", "/invocations", twice.encode()), 400)
        assert "repeats an earlier key" in message
