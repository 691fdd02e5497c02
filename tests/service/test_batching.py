"""Rows of many callers that are scored together stay apart."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.service.checks import UUID7, series_of, total_of, value_of
from tests.service.driver import Answer, App, serving
from tests.service.process import Server


def _gather(app: App, bodies: list[bytes]) -> list[Answer]:
    async def together() -> list[Answer]:
        exchange = app.exchange
        return await asyncio.gather(*(exchange("POST", "/v1/predict", body) for body in bodies))

    return app.run(together())


def test_callers_get_their_own(
    app: App, rows: list[dict[str, Any]], scores: NDArray[np.float64]
) -> None:
    """200 concurrent callers with different rows each get their own row's score and id."""
    before = series_of(app.get("/metrics").body)
    answers = _gather(app, [json.dumps(row).encode() for row in rows])
    after = series_of(app.get("/metrics").body)
    found = [answer.json()["score"] for answer in answers]
    assert found == pytest.approx(scores.tolist(), abs=1e-12)
    assert len(set(found)) > 150
    ids = [answer.json()["id"] for answer in answers]
    assert len(set(ids)) == 200
    assert all(map(UUID7.fullmatch, ids))
    name = "tabserve_batch_rows_count"
    batches = value_of(after, name) - value_of(before, name)
    # 128 is the most that a batch takes by default.
    assert 2 <= batches <= 20


def test_bad_row_among_good(app: App, rows: list[dict[str, Any]], scores: Any) -> None:
    """99 good rows and a bad one that come together give 99 answers and one error."""
    bodies = [json.dumps(row).encode() for row in rows[:100]]
    bodies[42] = json.dumps({**rows[42], "colour": 5}).encode()
    answers = _gather(app, bodies)
    assert [answer.status for answer in answers].count(200) == 99
    assert answers[42].status == 422
    for number, answer in enumerate(answers):
        if number != 42:
            assert answer.json()["score"] == pytest.approx(scores[number], abs=1e-12)


def test_caller_that_leaves(app: App, rows: list[dict[str, Any]], scores: Any) -> None:
    """A caller that goes away before its batch costs its neighbours nothing."""

    async def together() -> list[Any]:
        tasks = [
            asyncio.create_task(app.exchange("POST", "/v1/predict", json.dumps(row).encode()))
            for row in rows[:50]
        ]
        await asyncio.sleep(0)
        for task in tasks[::5]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = app.run(together())
    for number, answer in enumerate(answers):
        if isinstance(answer, asyncio.CancelledError):
            assert number % 5 == 0
        else:
            assert answer.json()["score"] == pytest.approx(scores[number], abs=1e-12)
    assert app.post("/v1/predict", rows[0]).status == 200


def test_wait_gathers(quick: dict[str, str], rows: list[dict[str, Any]], scores: Any) -> None:
    """With TABSERVE_BATCH_WAIT_MS rows that come one after the other go together."""
    with serving(quick["binary"], batch_wait_ms=300, batch_max_rows=10) as app:

        async def one_after_the_other() -> list[Answer]:
            tasks = []
            for row in rows[:25]:
                body = json.dumps(row).encode()
                tasks.append(asyncio.create_task(app.exchange("POST", "/v1/predict", body)))
                await asyncio.sleep(0.001)
            return await asyncio.gather(*tasks)

        answers = app.run(one_after_the_other())
        series = series_of(app.get("/metrics").body)
    found = [answer.json()["score"] for answer in answers]
    assert found == pytest.approx(scores[:25].tolist(), abs=1e-12)
    assert value_of(series, "tabserve_batches_total", reason="full") >= 2
    assert value_of(series, "tabserve_batch_rows_sum") == 25
    assert value_of(series, "tabserve_batch_rows_count") <= 5
    assert value_of(series, "tabserve_batch_rows_bucket", le="16.0") == value_of(
        series, "tabserve_batch_rows_count"
    )


def test_two_workers(
    two_workers: Server, rows: list[dict[str, Any]], scores: NDArray[np.float64]
) -> None:
    """Over two workers, 200 concurrent callers get their own scores, and counts add up."""
    before = series_of(two_workers.request("GET", "/metrics").body)
    bodies = [json.dumps(row).encode() for row in rows]
    bodies[42] = b"{}"

    async def together() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=200)
        base = f"http://127.0.0.1:{two_workers.port}"
        async with httpx.AsyncClient(base_url=base, limits=limits, timeout=60) as client:
            headers = {"Content-Type": "application/json"}
            return await asyncio.gather(
                *(client.post("/v1/predict", content=body, headers=headers) for body in bodies)
            )

    answers = asyncio.run(together())
    assert [answer.status_code for answer in answers].count(200) == 199
    assert answers[42].status_code == 422
    good = [number for number in range(200) if number != 42]
    found = [answers[number].json()["score"] for number in good]
    assert found == pytest.approx(scores[good].tolist(), abs=1e-12)
    ids = {answers[number].json()["id"] for number in good}
    assert len(ids) == 199

    def has_all() -> bool:
        after = series_of(two_workers.request("GET", "/metrics").body)

        def risen(name: str, **labels: str) -> float:
            return total_of(after, name, **labels) - total_of(before, name, **labels)

        return (
            risen("tabserve_requests_total", route="/v1/predict", status="200") == 199
            and risen("tabserve_requests_total", route="/v1/predict", status="422") == 1
            and risen("tabserve_rows_total", outcome="scored") == 199
            and risen("tabserve_labels_total") == 199
            and risen("tabserve_batch_rows_sum") == 199
            and risen("tabserve_request_duration_seconds_count", route="/v1/predict") == 200
        )

    # A worker hands its counts over every quarter of a second.
    two_workers.wait_for(has_all)
