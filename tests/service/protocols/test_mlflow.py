"""MLflow scoring, made by hand and held to MLflow's own scoring server."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from pathlib import Path
from typing import Any

import httpx
import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc import scoring_server

from bentos.model.intake import importing
from bentos.protocols.mlflow_scoring.routes import MLFLOW_VERSION
from tests import models
from tests.service.checks import series_of, total_of
from tests.service.driver import App, serving
from tests.service.protocols.scoring_answers import (
    CSV,
    PARQUET,
    Row,
    columns_of,
    error_of,
    predictions_of,
    split_of,
)

PROBABILITIES = {"predict_method": "predict_proba"}


def test_every_form_gives_the_same(app: App, rows: list[Row], scores: Any) -> None:
    """Each form of a table gives the model's own scores to the last bit, and its labels."""
    expected = [[1.0 - score, score] for score in scores.tolist()]
    labels = [int(score >= 0.4) for score in scores]
    for form, table in (
        ("dataframe_split", split_of(rows)),
        ("dataframe_records", rows),
        ("instances", rows),
        ("instances", columns_of(rows)),
        ("inputs", rows),
        ("inputs", columns_of(rows)),
    ):
        answer = app.post("/invocations", {form: table, "params": PROBABILITIES})
        assert predictions_of(answer) == expected
        assert predictions_of(app.post("/invocations", {form: table})) == labels


def test_one_row(app: App, rows: list[Row], scores: Any) -> None:
    """One row gives its score in every form, as columns of values too."""
    for form, table in (
        ("dataframe_split", split_of(rows[:1])),
        ("dataframe_records", rows[:1]),
        ("inputs", columns_of(rows[:1])),
        ("inputs", rows[0]),
    ):
        answer = app.post("/invocations", {form: table, "params": PROBABILITIES})
        assert predictions_of(answer) == [[1.0 - scores[0], scores[0]]]


def test_csv_equals_json(app: App, fresh: pd.DataFrame, rows: list[Row]) -> None:
    """CSV as pandas writes it gives what JSON gives, with its index and missing cells."""
    expected = predictions_of(app.post("/invocations", {"inputs": columns_of(rows)}))
    for text in (
        fresh.to_csv(),
        fresh.to_csv(index=False, na_rep="NaN"),
        "\ufeff" + fresh.to_csv(index=False, lineterminator="\r\n", quoting=1),
        fresh[fresh.columns[::-1]].to_csv(index=False),
        fresh.astype({"count": float}).to_csv(index=False),
    ):
        answer = app.request("POST", "/invocations", text.encode(), headers=CSV)
        assert predictions_of(answer) == expected


def test_csv_scores_to_the_last_bit(quick: dict[str, str], fresh: pd.DataFrame) -> None:
    """The text of a float64 is read as that float64: a regression shows every bit."""
    with serving(quick["regression"]) as app:
        rows = json.loads(fresh.to_json(orient="records", double_precision=15))
        del rows
        columns = {
            name: [None if pd.isna(value) else value for value in fresh[name].tolist()]
            for name in fresh.columns
        }
        expected = predictions_of(app.post("/invocations", {"inputs": columns}))
        text = fresh.to_csv(index=False).encode()
        got = predictions_of(app.request("POST", "/invocations", text, headers=CSV))
        # pandas writes float32 columns with their shortest text, which is the same float32.
        assert got == expected


def test_parquet(app: App, fresh: pd.DataFrame, rows: list[Row], tmp_path: Path) -> None:
    """Parquet gives what JSON gives, categories and floats for integers included."""
    expected = predictions_of(app.post("/invocations", {"inputs": columns_of(rows)}))
    for frame in (fresh, fresh.astype({"colour": object, "grade": int, "count": float})):
        path = tmp_path / "rows.parquet"
        frame.to_parquet(path)
        answer = app.request("POST", "/invocations", path.read_bytes(), headers=PARQUET)
        assert predictions_of(answer) == expected


def test_parquet_without_pyarrow(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without pyarrow says so, with 415."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = app.request("POST", "/invocations", b"PAR1", headers=PARQUET)
    assert (answer.status, answer.headers["content-type"]) == (415, "text/plain; charset=utf-8")
    assert b"no pyarrow" in answer.body


def test_what_it_makes_of_missing(app: App, row: Row) -> None:
    """null, NaN, an empty cell and a key that is not there are the same missing value."""
    hollow = {**row, "amount": None, "colour": None}
    expected = app.post("/v1/predict", hollow).json()["score"]
    proba = [[1.0 - expected, expected]]
    full = {**row, "colour": None}
    del full["amount"]
    nan = json.dumps({"inputs": [{**hollow, "amount": math.nan}], "params": PROBABILITIES})
    for body in (
        nan,
        json.dumps({"dataframe_records": [hollow], "params": PROBABILITIES}),
        json.dumps({"dataframe_records": [full], "params": PROBABILITIES}),
    ):
        assert predictions_of(app.request("POST", "/invocations", body.encode())) == proba


def test_extra_columns_are_ignored(app: App, row: Row, scores: Any) -> None:
    """Columns that the signature does not have are left out, as MLflow leaves them out."""
    more = {**row, "MARKED": [1]}
    label = [int(scores[0] >= 0.4)]
    assert predictions_of(app.post("/invocations", {"dataframe_records": [more]})) == label
    text = (
        "id," + ",".join(row) + "\n7," + ",".join("" if v is None else str(v) for v in row.values())
    )
    assert predictions_of(app.request("POST", "/invocations", text.encode(), headers=CSV)) == label


def test_integers_that_came_as_floats(app: App, row: Row) -> None:
    """3.0 is 3 where an integer is expected, and 3.5 is refused with its place."""
    whole = app.post("/invocations", {"inputs": [{**row, "count": 3}]})
    assert predictions_of(app.post("/invocations", {"inputs": [{**row, "count": 3.0}]})) == (
        predictions_of(whole)
    )
    message = error_of(app.post("/invocations", {"inputs": [{**row, "count": 3.5}]}), 400)
    assert message == "/inputs/0/count: 'count' must be a JSON integer"


@pytest.mark.parametrize("kind", ["multiclass", "regression", "booster"])
def test_other_tasks(kind: str, quick: dict[str, str], rows: list[Row]) -> None:
    """Several classes give labels or lists; a regression and a bare booster give numbers."""
    with serving(quick[kind]) as app:
        expected = app.post("/v1/predict/batch", {"instances": rows[:5]}).json()["predictions"]
        given = predictions_of(app.post("/invocations", {"instances": rows[:5]}))
        asked = {"instances": rows[:5], "params": PROBABILITIES}
        if kind == "multiclass":
            assert given == [one["label"] for one in expected]
            scores = [list(one["scores"].values()) for one in expected]
            assert predictions_of(app.post("/invocations", asked)) == scores
        else:
            assert given == [one["score"] for one in expected]
        if kind == "regression":
            answer = app.post("/invocations", asked)
            assert "probabilities" in error_of(answer, 400, "INVALID_PARAMETER_VALUE")


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    """A classifier of numbers alone, which MLflow's own server can score, and fresh rows."""
    frame = models.training_frame()[["count", "weight"]].astype({"count": float})
    target = (frame["weight"] + frame["count"] / 5 > 1).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, num_threads=1)
    model.fit(frame, target)
    path = tmp_path_factory.mktemp("numbers") / "model"
    signature = mlflow.models.infer_signature(frame, model.predict(frame))
    mlflow.lightgbm.save_model(model, str(path), signature=signature, pip_requirements=["lightgbm"])
    return models.training_frame(seed=5, rows=20)[["count", "weight"]].astype(
        {"count": float}
    ), path


class MlflowServer:
    """MLflow's own scoring server on a model, in this process."""

    def __init__(self, path: Path) -> None:
        self._app = scoring_server.init(mlflow.pyfunc.load_model(str(path)))

    def request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Any:
        """Send one request."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://theirs") as client:
                return await client.request(method, path, content=body, headers=headers)

        return asyncio.run(send())


def test_same_answers_as_mlflow(numbers: tuple[pd.DataFrame, Path]) -> None:
    """Bodies that MLflow's own server answers get the same answer here, byte for byte in JSON."""
    frame, path = numbers
    records = frame.astype(float).to_dict("records")
    split = json.loads(frame.to_json(orient="split"))
    bodies = [
        ({"dataframe_records": records}, {}),
        ({"dataframe_split": split}, {}),
        ({"inputs": frame.astype(float).to_dict("list")}, {}),
        ({"instances": records}, {}),
        ({"inputs": records, "more": 1, "params": {}}, {}),
        ({"dataframe_records": [{**records[0], "id": "x"}]}, {}),
        (frame.to_csv(index=False), CSV),
        (frame.to_csv(), {"content-type": "text/csv; charset=utf-8"}),
    ]
    wrong = [
        ({}, {}),
        ([records], {}),
        ({"dataframe_records": records, "inputs": records}, {}),
        ({"dataframe_records": {}}, {}),
        ({"dataframe_split": {"columns": ["count"], "data": [[1, 2]]}}, {}),
        ({"dataframe_records": [{"weight": 1.0}]}, {}),
        ("nothing", {}),
        ("nothing", {"content-type": "text/plain"}),
        ("a", {"content-type": "text/csv; delimiter=x"}),
        ("{}", {"content-type": "application/json; charset=latin-1"}),
    ]
    theirs = MlflowServer(path)
    with serving(importing.import_model(str(path), name="numbers").tag) as app:
        for body, headers in bodies + wrong:
            content = body if isinstance(body, str) else json.dumps(body)
            sent = {"content-type": "application/json"} | headers
            other = theirs.request("POST", "/invocations", content.encode(), sent)
            ours = app.request("POST", "/invocations", content.encode(), headers=sent)
            assert ours.status == other.status_code, (content[:80], other.text[:300])
            assert ours.headers["content-type"] == other.headers["content-type"]
            if other.status_code == 200:
                assert ours.json() == other.json()
            elif other.status_code == 400:
                assert ours.json().keys() == {"error_code", "message"}
                assert ours.json()["error_code"] == other.json()["error_code"]
        for route in ("/ping", "/health", "/version"):
            other = theirs.request("GET", route, b"", {})
            mine = app.get(route)
            assert (mine.status, mine.headers["content-type"]) == (
                other.status_code,
                other.headers["content-type"],
            )
            if route != "/version":
                assert mine.body == other.content


def test_version_is_that_of_the_tests(app: App) -> None:
    """The version that is told is that of the MLflow that these tests compare with."""
    ours, theirs = MLFLOW_VERSION.split("."), mlflow.__version__.split(".")
    assert ours[:2] == theirs[:2]
    assert app.get("/version").body == MLFLOW_VERSION.encode()


def test_counted(quick: dict[str, str], rows: list[Row]) -> None:
    """Requests and rows count as those of every protocol."""
    with serving(quick["binary"]) as app:
        app.post("/invocations", {"inputs": rows[:3]})
        app.post("/invocations", {"inputs": [{**rows[0], "colour": "plaid"}] * 2})
        series = series_of(app.get("/metrics").body)
        route = "/invocations"
        assert total_of(series, "tabserve_requests_total", route=route, status="200") == 1
        assert total_of(series, "tabserve_requests_total", route=route, status="400") == 1
        assert total_of(series, "tabserve_rows_total", outcome="scored") == 3
        assert total_of(series, "tabserve_rows_total", outcome="rejected") == 2


def test_body_of_mlflows_client(app: App, fresh: pd.DataFrame, scores: Any) -> None:
    """The body that MLflow's own client writes of a frame is read."""
    from mlflow.utils.proto_json_utils import dump_input_data

    body = dump_input_data(fresh, params=PROBABILITIES).encode()
    got = predictions_of(app.request("POST", "/invocations", body))
    np.testing.assert_array_equal([one[1] for one in got], scores)
