"""Outcomes come back by id: late, repeated, changed, wrong, hostile."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import bentoml
import pytest

from bentos.records.record import Outcome
from bentos.records.sqlite.store import SqliteStore
from bentos.serving import composition
from tests.service.checks import assert_no_name_of_ours, assert_problem, series_of, total_of
from tests.service.driver import Answer, App, serving
from tests.service.process import Server

PATH = "/v1/feedback"
MARK = "mArKeD7f3a"
# A prediction id of an hour that nobody logged anything in.
UNKNOWN = "01980000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def predicted(app: App, rows: list[dict[str, Any]]) -> Iterator[str]:
    """Ids of predictions that are in the log, each for one test."""
    answer = app.post("/v1/predict/batch", {"instances": rows})
    return iter([each["id"] for each in answer.json()["predictions"]])


def revisions(data: Path, prediction_id: str) -> list[Outcome]:
    """What the log has of one prediction's outcome."""
    with closing(SqliteStore(data / "records.db")) as store:
        return store.revisions(prediction_id)


def outcomes(data: Path, prediction_id: str) -> list[str]:
    """The outcomes of one prediction, the first one first."""
    return [one.outcome for one in revisions(data, prediction_id)]


def feed(app: App, prediction_id: object, outcome: object) -> Answer:
    """Report one outcome."""
    return app.post(PATH, {"id": prediction_id, "outcome": outcome})


def test_an_outcome_is_recorded(app: App, predicted: Iterator[str]) -> None:
    """A new outcome is `recorded`, the same again `unchanged`, another one a new revision."""
    one = next(predicted)
    for outcome, status in ((1, "recorded"), (1, "unchanged"), (0, "recorded"), (1, "recorded")):
        answer = feed(app, one, outcome)
        assert answer.status == 202
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {"id": one, "status": status}
    assert [(each.outcome, each.revision) for each in revisions(app.data, one)] == [
        ("1", 1),
        ("0", 2),
        ("1", 3),
    ]


def test_it_is_recorded_under_its_request(app: App, predicted: Iterator[str]) -> None:
    """The log says which request brought an outcome."""
    one = next(predicted)
    body = json.dumps({"id": one, "outcome": 0}).encode()
    headers = {"content-type": "application/json", "x-request-id": "feedback-1"}
    answer = app.request("POST", PATH, body, headers=headers)
    assert answer.headers["x-request-id"] == "feedback-1"
    assert [each.request_id for each in revisions(app.data, one)] == ["feedback-1"]


def test_right_after_the_prediction(app: App, row: dict[str, Any]) -> None:
    """An outcome that comes before its prediction is in the log waits for it."""
    for _ in range(3):
        one = app.post("/v1/predict", row).json()["id"]
        assert feed(app, one, 1).json() == {"id": one, "status": "recorded"}


def test_an_unknown_prediction(app: App) -> None:
    """An id that the log does not have is 404, and nothing is recorded."""
    document = assert_problem(feed(app, UNKNOWN, 1), 404, "unknown-prediction")
    (error,) = document["errors"]
    assert (error["pointer"], error["code"]) == ("/id", "unknown_id")
    assert UNKNOWN not in json.dumps(document)
    assert outcomes(app.data, UNKNOWN) == []


def test_a_list(app: App, predicted: Iterator[str]) -> None:
    """Of a list each item is told in its place; what is wrong keeps nothing else out."""
    first, second, third = (next(predicted) for _ in range(3))
    answer = app.post(
        PATH,
        [
            {"id": first, "outcome": 1},
            {"id": UNKNOWN, "outcome": 1},
            {"id": second, "outcome": 7},
            {"id": first, "outcome": 1},
            7,
            {"id": third, "outcome": 0},
            {"id": first, "outcome": 0},
            {"id": MARK, "outcome": MARK, MARK: 1},
        ],
    )
    assert answer.status == 202
    results = answer.json()["results"]
    assert [each.get("status") or each["error"]["code"] for each in results] == [
        "recorded",
        "unknown-prediction",
        "invalid-outcome",
        "unchanged",
        "invalid-outcome",
        "recorded",
        "recorded",
        "invalid-outcome",
    ]
    assert [each.get("id") for each in results] == [
        first,
        None,
        None,
        first,
        None,
        third,
        first,
        None,
    ]
    pointers = [
        [(error["pointer"], error["code"]) for error in each.get("error", {}).get("errors", ())]
        for each in results
    ]
    assert pointers[1] == [("/1/id", "unknown_id")]
    assert pointers[2] == [("/2/outcome", "unknown_class")]
    assert pointers[4] == [("/4", "wrong_type")]
    assert pointers[7] == [("/7", "unknown_member"), ("/7/id", "malformed")]
    assert MARK.encode() not in answer.body
    assert outcomes(app.data, first) == ["1", "0"]
    assert (outcomes(app.data, second), outcomes(app.data, third)) == ([], ["0"])


def test_a_list_of_nothing_good(app: App) -> None:
    """A list is answered item by item even where nothing in it can be recorded."""
    answer = app.post(PATH, [{"id": UNKNOWN, "outcome": 1}, []])
    assert answer.status == 202
    assert ["error" in each for each in answer.json()["results"]] == [True, True]


@pytest.mark.parametrize("outcome", [True, False, "1", 2, 0.5, "", MARK])
def test_no_class_of_the_model(app: App, predicted: Iterator[str], outcome: object) -> None:
    """What is no class is 422: neither true nor "1" stands for 1."""
    one = next(predicted)
    answer = feed(app, one, outcome)
    document = assert_problem(answer, 422, "invalid-outcome")
    assert [error["code"] for error in document["errors"]] == ["unknown_class"]
    assert MARK.encode() not in answer.body
    assert outcomes(app.data, one) == []


def test_a_class_as_a_client_writes_it(app: App, predicted: Iterator[str]) -> None:
    """1.0 is 1: some clients know no integers."""
    one = next(predicted)
    assert feed(app, one, 1.0).json()["status"] == "recorded"
    assert feed(app, one, 1).json()["status"] == "unchanged"


BODIES = [
    (b"", "malformed"),
    (b"{", "malformed"),
    (b"\xff\xfe", "malformed"),
    (b'{"id":"\xff"}', "malformed"),
    (b"[" * 100_000, "malformed"),
    (b'{"id":' * 50_000, "malformed"),
    (b"{}", "invalid-outcome"),
    (b"[]", "invalid-outcome"),
    (b"null", "invalid-outcome"),
    (b'"%s"' % MARK.encode(), "invalid-outcome"),
    (b'{"id":"%s","outcome":1}' % MARK.encode(), "invalid-outcome"),
    (b'{"id":"%s","id":"%s","outcome":1}' % ((UNKNOWN.encode(),) * 2), "invalid-outcome"),
    (b'{"id":"%s","outcome":[[["%s"]]]}' % (UNKNOWN.encode(), MARK.encode()), "invalid-outcome"),
    (b'{"id":"%s","outcome":NaN}' % UNKNOWN.encode(), "invalid-outcome"),
    (b'{"id":"%s","outcome":1e999}' % UNKNOWN.encode(), "invalid-outcome"),
    (b'{"id":"%s","outcome":%s}' % (UNKNOWN.encode(), b"9" * 399), "invalid-outcome"),
    (b'{"id":"%s","outcome":"\\ud800"}' % UNKNOWN.encode(), "invalid-outcome"),
    (b'{"id":"%s","outcome":"\\u0000"}' % UNKNOWN.encode(), "invalid-outcome"),
    (b'{"%s":1}' % MARK.encode(), "invalid-outcome"),
    (b"[" + b"1," * 10_000 + b"1]", "invalid-outcome"),
    (b"[" + b"{}," * 10_001 + b"{}]", "too-large"),
]


@pytest.mark.parametrize(("body", "kind"), BODIES, ids=[str(n) for n in range(len(BODIES))])
def test_a_hostile_body(app: App, body: bytes, kind: str) -> None:
    """Whatever is sent is refused in one shape, small, and nothing of it comes back."""
    status = {"malformed": 400, "invalid-outcome": 422, "too-large": 413}[kind]
    answer = app.request("POST", PATH, body)
    assert_problem(answer, status, kind)
    assert_no_name_of_ours(answer.body)
    assert MARK.encode() not in answer.body
    assert len(answer.body) < 2000


def test_the_largest_list(app: App, predicted: Iterator[str]) -> None:
    """10,000 outcomes, the most there may be, are answered one by one."""
    one = next(predicted)
    items = [{"id": one, "outcome": number % 2} for number in range(20)]
    items += [{"id": UNKNOWN, "outcome": 1}] * 9_980
    results = app.post(PATH, items).json()["results"]
    assert [each.get("status") for each in results[:20]] == ["recorded"] * 20
    assert all("error" in each for each in results[20:])
    assert len(outcomes(app.data, one)) == 20


def test_the_door(app: App) -> None:
    """The route takes POST and JSON, without a query, as the scoring routes do."""
    assert_problem(app.get(PATH), 405, "method-not-allowed")
    assert_problem(app.post(PATH, {}, "x=1"), 400, "bad-query")
    answer = app.request("POST", PATH, b"{}", headers={"content-type": "text/plain"})
    assert_problem(answer, 415, "unsupported-media-type")


def test_counted(app: App, predicted: Iterator[str]) -> None:
    """Requests and faults of the route are counted under its name."""
    before = series_of(app.get("/metrics").body)
    feed(app, next(predicted), 1)
    feed(app, UNKNOWN, 1)
    after = series_of(app.get("/metrics").body)
    for name, labels in (
        ("tabserve_requests_total", {"route": PATH, "status": "202"}),
        ("tabserve_requests_total", {"route": PATH, "status": "404"}),
        ("tabserve_faults_total", {"code": "unknown_id"}),
    ):
        assert total_of(after, name, **labels) - total_of(before, name, **labels) == 1


def test_the_documented_example(app: App) -> None:
    """The example of the OpenAPI document has the form that the route takes."""
    document = app.get("/docs.json").json()
    content = document["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]
    assert_problem(app.post(PATH, content["example"]), 404, "unknown-prediction")


def test_regression(quick: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """A regression takes any finite number, and no class."""
    with serving(quick["regression"]) as app:
        one = app.post("/v1/predict", rows[0]).json()["id"]
        for outcome, status in ((2, "recorded"), (2.0, "unchanged"), (0.1 + 0.2, "recorded")):
            assert feed(app, one, outcome).json()["status"] == status
        for wrong in (True, "2", None):
            assert_problem(feed(app, one, wrong), 422, "invalid-outcome")
        assert outcomes(app.data, one) == ["2.0", "0.30000000000000004"]


def test_multiclass(quick: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """Text classes are taken to the letter."""
    with serving(quick["multiclass"]) as app:
        one = app.post("/v1/predict", rows[0]).json()["id"]
        assert feed(app, one, "middle").status == 202
        assert_problem(feed(app, one, "Middle"), 422, "invalid-outcome")
        assert_problem(feed(app, one, 0), 422, "invalid-outcome")
        assert outcomes(app.data, one) == ["middle"]


def test_without_a_log(quick: dict[str, str], row: dict[str, Any]) -> None:
    """With TABSERVE_STORE_URL=none the route says that there is no log, and makes no file."""
    with serving(quick["binary"], store_url="none") as app:
        one = app.post("/v1/predict", row).json()["id"]
        assert_problem(feed(app, one, 1), 404, "no-log")
        assert list(app.data.iterdir()) == []


def test_the_store_is_down(quick: dict[str, str], row: dict[str, Any]) -> None:
    """While the store is locked an outcome is 503 with Retry-After, and later it is taken."""
    with serving(quick["binary"]) as app:
        one = app.post("/v1/predict", row).json()["id"]
        assert feed(app, one, 0).status == 202
        with closing(sqlite3.connect(app.data / "records.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = feed(app, one, 1)
            other.execute("ROLLBACK")
        document = assert_problem(answer, 503, "log-down")
        assert answer.headers["retry-after"].isdigit()
        assert "nothing was recorded" in document["detail"]
        assert outcomes(app.data, one) == ["0"]
        assert feed(app, one, 1).json() == {"id": one, "status": "recorded"}


def test_the_log_is_behind(quick: dict[str, str], row: dict[str, Any]) -> None:
    """An outcome whose prediction still waits for the store is to be sent again, and then taken."""
    with serving(quick["binary"]) as app:
        feed(app, app.post("/v1/predict", row).json()["id"], 0)
        with closing(sqlite3.connect(app.data / "records.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            one = app.post("/v1/predict", row).json()["id"]
            lone = feed(app, one, 1)
            listed = app.post(PATH, [{"id": one, "outcome": 1}]).json()["results"]
            other.execute("ROLLBACK")
        document = assert_problem(lone, 503, "not-yet-logged")
        assert [error["code"] for error in document["errors"]] == ["not_yet"]
        assert lone.headers["retry-after"].isdigit()
        assert [each["error"]["code"] for each in listed] == ["not-yet-logged"]
        deadline = time.monotonic() + 20
        while (answer := feed(app, one, 1)).status == 503:
            assert time.monotonic() < deadline
        assert answer.json() == {"id": one, "status": "recorded"}


def test_the_store_is_slower_than_the_timeout(quick: dict[str, str], row: dict[str, Any]) -> None:
    """An outcome that takes too long is 504: it may be recorded, and may be sent again."""
    with serving(quick["binary"], timeout_seconds=2) as app:
        one = app.post("/v1/predict", row).json()["id"]
        assert feed(app, one, 0).status == 202
        with closing(sqlite3.connect(app.data / "records.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = feed(app, one, 1)
            other.execute("ROLLBACK")
        assert_problem(answer, 504, "timeout")
        assert answer.headers["retry-after"].isdigit()
        # The thread is still at it, and this waits its turn behind.
        assert feed(app, one, 1).json()["status"] in ("recorded", "unchanged")
        assert outcomes(app.data, one) == ["0", "1"]


def test_many_at_once(app: App, predicted: Iterator[str]) -> None:
    """The same outcome from many clients at once is recorded once."""
    one = next(predicted)
    body = json.dumps({"id": one, "outcome": 1}).encode()

    async def together() -> list[Answer]:
        return await asyncio.gather(*(app.exchange("POST", PATH, body) for _ in range(50)))

    statuses = [answer.json()["status"] for answer in app.run(together())]
    assert sorted(statuses) == ["recorded"] + ["unchanged"] * 49


def test_callers_in_this_process(app: App, rows: list[dict[str, Any]]) -> None:
    """In-process callers score and report with plain values, and get plain values."""
    worker = app.module.WORKER
    one = app.run(composition.score_value(worker, rows[0]))
    many = app.run(composition.score_values(worker, [rows[1], {}, rows[2]]))["predictions"]
    good = [one["id"], many[0]["id"], many[2]["id"]]
    items: list[Any] = [{"id": each, "outcome": 1} for each in good]
    items += [{"id": many[1]["id"], "outcome": 1}, 5, {"id": good[0], "outcome": float("nan")}]
    results = app.run(composition.record_values(worker, items))["results"]
    assert [each.get("status") for each in results] == ["recorded"] * 3 + [None] * 3
    # A refused row is not in the log; its id is as fresh as those of rows that will be.
    assert [each["error"]["code"] for each in results[3:]] == [
        "not-yet-logged",
        "invalid-outcome",
        "invalid-outcome",
    ]
    assert [outcomes(app.data, each) for each in good] == [["1"]] * 3


def test_two_workers(two_workers: Server, row: dict[str, Any]) -> None:
    """Whichever worker made a prediction, any of them takes its outcome, once."""
    ids = [two_workers.post("/v1/predict", row).json()["id"] for _ in range(10)]
    statuses: list[str] = []
    for _ in range(4):
        for one in ids:
            answer = two_workers.post(PATH, {"id": one, "outcome": 1})
            assert answer.status == 202
            statuses.append(answer.json()["status"])
    assert statuses == ["recorded"] * 10 + ["unchanged"] * 30
    assert [outcomes(two_workers.data, one) for one in ids] == [["1"]] * 10


def test_bentomls_client(two_workers: Server, row: dict[str, Any]) -> None:
    """BentoML's own client reports outcomes too."""
    with bentoml.SyncHTTPClient(f"http://127.0.0.1:{two_workers.port}") as client:
        one = client.predict(row)["id"]
        answer = client.feedback([{"id": one, "outcome": 1}])
    assert answer == {"results": [{"id": one, "status": "recorded"}]}
    deadline = time.monotonic() + 5
    while outcomes(two_workers.data, one) != ["1"]:
        assert time.monotonic() < deadline
