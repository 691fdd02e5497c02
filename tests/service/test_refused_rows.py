"""A row that the model itself cannot score fails alone, with its place."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bentos.model.intake import importing
from tests.service.checks import series_of, value_of
from tests.service.driver import Answer, App, serving

GOOD: dict[str, Any] = {"weight": 0.5, "count": 3, "is_member": True, "colour": "red"}
# Its one-hot encoder never saw this colour, and raises ValueError.
BAD = {**GOOD, "colour": "ultramarine"}


@pytest.fixture(scope="module")
def pipeline(pipeline_folder: Path) -> Iterator[App]:
    """The service on a scikit-learn pipeline that fails on colours that it does not know."""
    tag = importing.import_model(
        str(pipeline_folder), name="fails-on-unknown", trusts_code=True
    ).tag
    with serving(tag) as app:
        end = time.monotonic() + 120
        while app.get("/readyz").status != 200:
            assert time.monotonic() < end, app.get("/readyz").body
            time.sleep(0.2)
        yield app


def test_alone(pipeline: App) -> None:
    """A row that the model cannot score is a 422 that never repeats its value."""
    answer = pipeline.post("/v1/predict", BAD)
    assert answer.status == 422
    assert b"ultramarine" not in answer.body
    document = answer.json()
    assert document["type"].endswith("invalid-features")
    assert [(one["pointer"], one["code"]) for one in document["errors"]] == [("", "not_scorable")]


def test_in_a_batch(pipeline: App) -> None:
    """In a batch the row has the error in its place, and the others their scores."""
    expected = pipeline.post("/v1/predict", GOOD).json()["score"]
    for rows in ([GOOD, BAD, GOOD], [BAD], [BAD, BAD], [GOOD, {}, BAD, GOOD]):
        answer = pipeline.post("/v1/predict/batch", {"instances": rows})
        assert answer.status == 200
        for number, (row, one) in enumerate(zip(rows, answer.json()["predictions"], strict=True)):
            if row is GOOD:
                assert one["score"] == expected
            elif row is BAD:
                (fault,) = one["error"]["errors"]
                assert (fault["pointer"], fault["code"]) == (
                    f"/instances/{number}",
                    "not_scorable",
                )


def test_all_or_nothing(pipeline: App) -> None:
    """With on_error=reject such a row refuses the request."""
    rows = {"instances": [GOOD, BAD, GOOD]}
    answer = pipeline.post("/v1/predict/batch", rows, query="on_error=reject")
    assert answer.status == 422
    assert [one["pointer"] for one in answer.json()["errors"]] == ["/instances/1"]


def test_callers_do_not_share_a_failure(pipeline: App) -> None:
    """Of rows of many callers that arrive together, the bad ones alone are refused."""
    before = series_of(pipeline.get("/metrics").body)
    sent = [BAD if number % 8 == 0 else GOOD for number in range(64)]

    async def together() -> list[Answer]:
        bodies = [json.dumps(row).encode() for row in sent]
        return await asyncio.gather(
            *(pipeline.exchange("POST", "/v1/predict", body) for body in bodies)
        )

    answers = pipeline.run(together())
    assert [answer.status for answer in answers] == [422 if row is BAD else 200 for row in sent]
    after = series_of(pipeline.get("/metrics").body)

    def risen(name: str, **labels: str) -> float:
        return value_of(after, name, **labels) - value_of(before, name, **labels)

    assert risen("tabserve_rows_total", outcome="scored") == 56
    assert risen("tabserve_rows_total", outcome="rejected") == 8
    assert risen("tabserve_faults_total", code="not_scorable") == 8
    # The rows arrived together: they were scored in fewer batches than there are rows.
    assert risen("tabserve_batch_rows_count") < 32


def test_a_slow_reading_is_counted(pipeline: App) -> None:
    """Rows that leave the fast way are counted; good ones do not."""
    before = series_of(pipeline.get("/metrics").body)
    pipeline.post("/v1/predict/batch", {"instances": [GOOD] * 20 + [{**GOOD, "count": "x"}]})
    after = series_of(pipeline.get("/metrics").body)
    assert (
        value_of(after, "tabserve_slow_rows_total") - value_of(before, "tabserve_slow_rows_total")
        == 1
    )
