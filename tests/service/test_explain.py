"""Explained answers: the score's contributions, reasons for a refusal, and what is refused."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import yaml

from bentos.errors import IntakeError, StoreDown
from bentos.model import bundle
from bentos.model.explanation import reasons
from bentos.model.intake import importing
from bentos.records.opening import open_store
from bentos.records.record import Record, Window
from tests import models
from tests.model.explanation import kinds
from tests.service.checks import assert_problem, series_of, total_of
from tests.service.driver import ROOT, App, serving
from tests.service.process import server

Rows = list[dict[str, Any]]

REASONS = {
    "refusal": {"class": 1},
    "most": 3,
    "required": True,
    "reasons": [
        {"code": "MONEY", "sentence": "Amount of money.", "features": ["amount", "count"]},
        {"code": "MEMBER", "sentence": "Membership.", "features": ["is_member"]},
        {"code": "COLOUR", "sentence": "Colour.", "features": ["colour"], "protected": True},
        {"code": "GRADE", "sentence": "Grade.", "features": ["grade"]},
        {"code": "WEIGHT", "sentence": "Weight.", "features": ["weight"]},
    ],
}


def with_reasons(folder: Path, target: Path, document: object = REASONS) -> Path:
    """A copy of a model's folder, without golden rows, with a file of reasons."""
    shutil.copytree(folder, target)
    (target / bundle.FOLDER / bundle.GOLDEN).unlink(missing_ok=True)
    (target / bundle.FOLDER / bundle.REASONS).write_text(yaml.safe_dump(document))
    return target


@pytest.fixture(scope="module")
def reasoned_tag(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The binary model with reasons, imported."""
    folder = with_reasons(folders["binary"], tmp_path_factory.mktemp("reasoned") / "model")
    return importing.import_model(str(folder), name="reasoned", requires_reasons=True).tag


@pytest.fixture(scope="module")
def reasoned(reasoned_tag: str) -> Iterator[App]:
    """The service on that model; few rows may be explained, and one feature is not stored."""
    listed = "amount,count,is_member,colour,grade"
    with serving(reasoned_tag, explain_max_rows=20, store_features=listed) as started:
        yield started


@pytest.fixture(scope="module")
def explained(reasoned: App, rows: Rows) -> Rows:
    """Twenty rows, explained."""
    answer = reasoned.post("/v1/predict/batch", {"instances": rows[:20]}, "explain=true")
    assert answer.status == 200, answer.body[:300]
    found: Rows = answer.json()["predictions"]
    return found


def plain(one: dict[str, Any]) -> dict[str, Any]:
    """An answer without its id and its explanation."""
    return {key: one[key] for key in one if key not in ("id", "explanation", "reasons")}


def test_a_score_is_the_same_with_its_explanation(
    reasoned: App, rows: Rows, explained: Rows
) -> None:
    """Score, label and warnings are those of the unexplained answer, on every path."""
    batch = reasoned.post("/v1/predict/batch", {"instances": rows[:20]}).json()["predictions"]
    assert [plain(one) for one in batch] == [plain(one) for one in explained]
    assert not any("explanation" in one or "reasons" in one for one in batch)
    for row, together in zip(rows[:5], explained, strict=False):
        alone = reasoned.post("/v1/predict", row).json()
        for path, query in (("/v1/predict", "explain=true"), ("/v1/explain", "")):
            one = reasoned.post(path, row, query).json()
            assert plain(one) == plain(alone)
            assert one["explanation"] == together["explanation"]
            assert one["reasons"] == together["reasons"]


def test_contributions_are_the_models_own(
    explained: Rows, trained: dict[str, Any], fresh: pd.DataFrame
) -> None:
    """Each feature has LightGBM's own contribution to the last bit, and they add up."""
    own = np.asarray(trained["binary"].booster_.predict(fresh.head(20), pred_contrib=True))
    for one, parts in zip(explained, own, strict=True):
        explanation = one["explanation"]
        assert list(explanation["contributions"]) == list(fresh.columns)
        assert list(explanation["contributions"].values()) == parts[:-1].tolist()
        assert explanation["base"] == parts[-1]
        total = explanation["base"] + sum(explanation["contributions"].values())
        assert abs(total - explanation["raw_score"]) <= 1e-9
        assert 1 / (1 + np.exp(-explanation["raw_score"])) == pytest.approx(one["score"], abs=1e-12)


def test_reasons_of_refused_rows(explained: Rows) -> None:
    """Who is refused gets the strongest reasons, grouped; who is not gets none."""
    assert {one["label"] for one in explained} == {0, 1}
    for one in explained:
        assert bool(one["reasons"]) == (one["label"] == 1)
        pushes = [reason["contribution"] for reason in one["reasons"]]
        assert pushes == sorted(pushes, reverse=True)
        assert len(pushes) <= 3
        for reason in one["reasons"]:
            parts = [one["explanation"]["contributions"][name] for name in reason["features"]]
            assert reason["contribution"] == pytest.approx(sum(parts), abs=1e-15)
            assert reason["protected"] == (reason["code"] == "COLOUR")
            assert reason["reason"].endswith(".")


def test_reasons_for_everybody(reasoned: App, rows: Rows, explained: Rows) -> None:
    """`reasons=always` gives them to those who are not refused, too."""
    for row, one in zip(rows[:20], explained, strict=True):
        always = reasoned.post("/v1/explain", row, "reasons=always").json()["reasons"]
        assert always
        assert one["label"] == 0 or always == one["reasons"]


def test_a_bad_row_among_explained_ones(reasoned: App, rows: Rows, explained: Rows) -> None:
    """A row with faults gets its error, and its neighbours keep their explanations to the bit."""
    wrong = {**rows[1], "count": "no number"}
    query = "explain=true&on_error=row"
    answer = reasoned.post("/v1/predict/batch", {"instances": [rows[0], wrong, rows[2]]}, query)
    first, error, third = answer.json()["predictions"]
    assert error["error"]["code"] == "invalid-features"
    assert "explanation" not in error
    assert first["explanation"] == explained[0]["explanation"]
    assert third["explanation"] == explained[2]["explanation"]
    refused = reasoned.post(
        "/v1/predict/batch", {"instances": [rows[0], wrong]}, "explain=true&on_error=reject"
    )
    assert_problem(refused, 422, "invalid-features")


def test_what_is_refused(reasoned: App, rows: Rows) -> None:
    """Too many rows, unknown values of the query, and reasons without an explanation."""
    many = reasoned.post("/v1/predict/batch", {"instances": rows[:21]}, "explain=true")
    document = assert_problem(many, 422, "invalid-features")
    assert "at most 20 rows" in document["errors"][0]["detail"]
    for path, query in (
        ("/v1/predict", "explain=yes"),
        ("/v1/predict", "explain=true&explain=true"),
        ("/v1/predict", "reasons=always"),
        ("/v1/predict", "explain=false&reasons=always"),
        ("/v1/explain", "explain=true"),
        ("/v1/explain", "reasons=some"),
    ):
        assert_problem(reasoned.post(path, rows[0], query), 400, "bad-query")
    assert_problem(reasoned.post("/v1/explain", {"count": 1}), 422, "invalid-features")
    assert reasoned.post("/v1/predict", rows[0], "explain=false").json().keys() == (
        reasoned.post("/v1/predict", rows[0]).json().keys()
    )


def test_it_is_described(reasoned: App, rows: Rows) -> None:
    """`/v1/model` has the rule and the sentences, and the OpenAPI document the form of answers."""
    about = reasoned.get("/v1/model").json()["explanation"]
    assert (about["available"], about["unit"]) == (True, "log-odds")
    assert about["reasons"]["refusal"]["class"] == 1
    assert [one["code"] for one in about["reasons"]["reasons"]] == [
        one["code"]
        for one in REASONS["reasons"]  # type: ignore[attr-defined]  # a list of documents
    ]
    document = reasoned.get("/docs.json").json()
    route = document["paths"]["/v1/explain"]["post"]
    row = route["requestBody"]["content"]["application/json"]["example"]
    answer = reasoned.post("/v1/explain", row).json()
    schema = document["components"]["schemas"]
    assert set(schema["ExplainedAnswer"]["required"]) <= answer.keys()
    named = schema["Explanation"]["properties"]["contributions"]["required"]
    assert named == list(answer["explanation"]["contributions"])
    assert {one["name"] for one in route["parameters"]} == {"X-Subject", "reasons"}


def recorded(app: App, ids: list[str]) -> list[Record]:
    """The records of some answers, once they are stored."""
    store = open_store(f"sqlite:///{app.data}/records.db")
    try:
        for _ in range(100):
            found: dict[str, Record] = {}
            # Its tables may still be in the making.
            with suppress(StoreDown):
                found = {record.id: record for record in store.read(Window()) if record.id in ids}
            if len(found) == len(ids):
                return [found[one] for one in ids]
            asyncio.run(asyncio.sleep(0.1))
    finally:
        store.close()
    raise AssertionError("the answers were not stored in time")


def test_reasons_are_recorded(reasoned: App, rows: Rows) -> None:
    """Records have the codes in their order, but for reasons whose features may not be stored."""
    batch = {"instances": rows[:20]}
    one = reasoned.post("/v1/predict/batch", batch, "explain=true&reasons=always").json()
    unasked = reasoned.post("/v1/predict", rows[0]).json()
    answers = one["predictions"]
    records = recorded(reasoned, [answer["id"] for answer in answers] + [unasked["id"]])
    given = [[reason["code"] for reason in answer["reasons"]] for answer in answers]
    assert any("WEIGHT" in codes for codes in given)
    for codes, record in zip(given, records, strict=False):
        assert record.reasons == tuple(code for code in codes if code != "WEIGHT")
    assert records[-1].reasons is None


def test_what_is_counted(reasoned: App, rows: Rows) -> None:
    """Explained requests count under `/v1/explain`, rows and reasons by code."""

    def look() -> tuple[float, float, float]:
        page = series_of(reasoned.get("/metrics").body)
        return (
            total_of(page, "tabserve_explained_rows_total"),
            total_of(page, "tabserve_requests_total", route="/v1/explain", status="200"),
            total_of(page, "tabserve_reasons_total"),
        )

    before = look()
    answer = reasoned.post("/v1/predict", rows[0], "explain=true&reasons=always").json()
    after = look()
    assert [new - old for new, old in zip(after, before, strict=True)] == [
        *(1, 1),
        len(answer["reasons"]),
    ]
    page = series_of(reasoned.get("/metrics").body)
    codes = {dict(its)["code"] for name, its in page if name == "tabserve_reasons_total"}
    assert codes == {"MONEY", "MEMBER", "COLOUR", "GRADE", "WEIGHT"}
    assert total_of(page, "tabserve_explanation_violations_total") == 0


def test_scores_do_not_wait_for_explanations(reasoned: App, rows: Rows) -> None:
    """More explanations than may wait are shed with 503; scores are answered all the while."""
    body = json.dumps({"instances": rows[:20]}).encode()

    async def ask() -> tuple[list[int], list[int]]:
        explaining = [
            asyncio.ensure_future(
                reasoned.exchange("POST", "/v1/predict/batch", body, query="explain=true")
            )
            for _ in range(40)
        ]
        scored = [await reasoned.exchange("POST", "/v1/predict/batch", body) for _ in range(10)]
        waited = sum(not one.done() for one in explaining)
        answers = await asyncio.gather(*explaining)
        for shed in answers:
            if shed.status == 503:
                assert shed.headers["retry-after"]
        assert waited, "all explanations were made before the scores"
        return [one.status for one in scored], [one.status for one in answers]

    scores, explanations = reasoned.run(ask())
    assert scores == [200] * 10
    assert set(explanations) == {200, 503}
    assert explanations.count(200) >= 16
    page = series_of(reasoned.get("/metrics").body)
    shed = total_of(page, "tabserve_requests_shed_total", reason="explanations")
    assert shed == explanations.count(503)


def test_several_classes(quick: dict[str, str], rows: Rows, trained: dict[str, Any]) -> None:
    """Of several classes each has its own parts; without a file there are no reasons."""
    with serving(quick["multiclass"], store_url="none") as app:
        answer = app.post("/v1/explain", rows[0]).json()
        assert "reasons" not in answer
        classes = answer["explanation"]["classes"]
        assert list(classes) == ["high", "low", "middle"]
        raw = np.array([one["raw_score"] for one in classes.values()])
        assert np.exp(raw) / np.exp(raw).sum() == pytest.approx(list(answer["scores"].values()))
        document = app.get("/docs.json").json()["components"]["schemas"]
        assert document["Explanation"]["properties"]["classes"]["required"] == list(classes)


def test_a_model_that_cannot_be_explained(
    pipeline_folder: Path, rows: Rows, fresh: pd.DataFrame
) -> None:
    """A model that MLflow runs is scored, and an explanation is refused with the reason."""
    tag = importing.import_model(str(pipeline_folder), name="unexplained", trusts_code=True).tag
    row = {str(name): rows[0][str(name)] for name in models.pipeline_frame(fresh)}
    with serving(tag, store_url="none") as app:
        assert app.post("/v1/predict", row).status == 200
        for path, query in (("/v1/explain", ""), ("/v1/predict", "explain=true")):
            document = assert_problem(app.post(path, row, query), 422, "not-explainable")
            assert "not scored by LightGBM's trees" in document["detail"]
        about = app.get("/v1/model").json()["explanation"]
        assert about == {"available": False, "why_not": about["why_not"]}


def test_a_violation(tmp_path: Path, frame: pd.DataFrame, rows: Rows) -> None:
    """A wrong explanation is held back: 500 in one line, counted; the score itself is served."""
    broken = lightgbm.Booster(model_str=kinds.without_counts(models.booster(frame)))
    broken.pandas_categorical = [list(models.COLOURS), [3, 5, 7]]
    folder = models.log(broken, frame, tmp_path / "broken", with_bundle=False)
    imported = importing.import_model(str(folder), name="violates")
    assert any("explanations are refused" in warning for warning in imported.warnings)
    with serving(imported.tag, store_url="none") as app:
        assert app.post("/v1/predict", rows[0]).status == 200
        answer = app.post("/v1/explain", rows[0])
        document = answer.json()
        assert (answer.status, document["type"]) == (500, "urn:tabserve:problem:wrong-explanation")
        assert "do not add up" in document["detail"]
        assert "\n" not in document["detail"]
        page = series_of(app.get("/metrics").body)
        assert total_of(page, "tabserve_explanation_violations_total", check="sum") == 1
        assert total_of(page, "tabserve_rows_total", outcome="scored") == 2


def test_the_page_is_true(
    reasoned_tag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The client of docs/explanations.md runs as written, and its file of reasons is one."""
    page = (ROOT / "docs" / "explanations.md").read_text()
    blocks = dict(re.findall(r"```(python|yaml)\n(.*?)```", page, flags=re.DOTALL))
    assert len(reasons.parse(blocks["yaml"].encode()).reasons) == 2
    with server(tmp_path, TABSERVE_MODEL=reasoned_tag) as started:
        started.wait_until("/readyz", 200)
        example = blocks["python"].replace(":3000", f":{started.port}")
        exec(compile(example, "docs/explanations.md", "exec"), {})  # noqa: S102 - our own page
    shown = capsys.readouterr().out.splitlines()
    assert float(shown[0].split()[0]) > 0
    assert {line.split()[0] for line in shown[1:]} <= {
        one["code"]
        for one in REASONS["reasons"]  # type: ignore[attr-defined]  # a list of documents
    }
    assert len(shown) > 1


def test_a_file_of_reasons_that_lacks_some(folders: dict[str, Path], tmp_path: Path) -> None:
    """An import names the feature without a reason: refused where required, else a warning."""
    short = {**REASONS, "reasons": REASONS["reasons"][:-1]}  # type: ignore[index]  # a list
    folder = with_reasons(folders["binary"], tmp_path / "short", short)
    with pytest.raises(IntakeError, match="no reason for the feature weight"):
        importing.import_model(str(folder), name="short")
    lax = with_reasons(folders["binary"], tmp_path / "lax", {**short, "required": False})
    with pytest.raises(IntakeError, match="no reason for the feature weight"):
        importing.import_model(str(lax), name="short", requires_reasons=True)
    warnings = importing.import_model(str(lax), name="short").warnings
    assert any("no reason for the feature weight" in warning for warning in warnings)
    with pytest.raises(IntakeError, match=r"no reasons\.yaml was logged"):
        importing.import_model(str(folders["binary"]), name="short", requires_reasons=True)
