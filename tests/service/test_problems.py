"""Every failure is one problem document, whatever the route and whatever went wrong."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest

from tests.service.checks import assert_no_name_of_ours, assert_problem, series_of, total_of
from tests.service.driver import App, serving

JSON = "application/json"
POSTS = ["/v1/predict", "/v1/predict/batch"]
GETS = ["/v1/model", "/readyz", "/metrics", "/docs.json"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v1/predict/",
        "/v1/predict/batch/",
        "/v1/predict\n",
        "/v1//predict",
        "/v1/../v1/predict",
        "/v1/Predict",
        "/V1/predict",
        "//v1/predict",
        "/nothing",
        "/static_content",
        "/livez/",
        "/predict",
        "*",
        "",
        "/v1/größe",
        "/\x00",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_not_found(app: App, method: str, path: str) -> None:
    """A path that is no route, to the letter, is 404."""
    assert_problem(app.request(method, path, b"{}"), 404, "not-found")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", POSTS)
def test_method_of_posts(app: App, method: str, path: str) -> None:
    """The scoring routes take POST alone: 405, and Allow says so."""
    answer = app.request(method, path, b"{}")
    assert answer.headers["allow"] == "POST"
    if method == "HEAD":
        assert (answer.status, answer.body) == (405, b"")
    else:
        assert_problem(answer, 405, "method-not-allowed")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [*GETS, "/livez", "/healthz", "/"])
def test_method_of_gets(app: App, method: str, path: str) -> None:
    """The other routes take GET and HEAD: 405, and Allow says so."""
    answer = app.request(method, path, b"{}")
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/vnd.bentoml+pickle",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        "application/json; boundary=x",
    ],
)
def test_media_type(app: App, path: str, media_type: str) -> None:
    """Another media type or charset is 415, and Accept says what is read."""
    answer = app.request("POST", path, b"{}", headers={"content-type": media_type})
    assert_problem(answer, 415, "unsupported-media-type")
    assert answer.headers["accept"].split(", ")[0] == JSON
    # Batches are read in other formats, too.
    assert ("text/csv" in answer.headers["accept"]) == path.endswith("/batch")


def test_no_media_type(app: App) -> None:
    """A body that does not say what it is, is not read."""
    answer = app.request("POST", "/v1/predict", b"{}", headers={})
    assert_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "x", "identity, gzip"])
def test_encoding(app: App, encoding: str) -> None:
    """Another encoding than gzip is 415, and Accept-Encoding says what is read."""
    headers = {"content-type": JSON, "content-encoding": encoding}
    answer = app.request("POST", "/v1/predict", b"{}", headers=headers)
    assert_problem(answer, 415, "unsupported-media-type")
    assert answer.headers["accept-encoding"] == "gzip, identity"


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "query", ["x=1", "on_error=", "on_error=ROW", "on_error=row&on_error=row", "&on_error=no", "é"]
)
def test_query_of_posts(app: App, path: str, query: str) -> None:
    """A query parameter that is unknown, repeated or has no such value is 400."""
    assert_problem(app.post(path, {}, query), 400, "bad-query")


def test_query_of_predict(app: App, row: dict[str, Any]) -> None:
    """`on_error` belongs to the batch route alone."""
    assert_problem(app.post("/v1/predict", row, "on_error=row"), 400, "bad-query")


def test_query_of_model(app: App) -> None:
    """`/v1/model` has no query parameters."""
    assert_problem(app.get("/v1/model", "verbose=1"), 400, "bad-query")


def test_invalid_features(app: App, row: dict[str, Any]) -> None:
    """All faults of a row come at once, each with a pointer, a code and what is expected."""
    wrong = {**row, "count": 1.5, "colour": "violet", "is_member": None, "Amount": 1}
    del wrong["weight"]
    document = assert_problem(app.post("/v1/predict", wrong), 422, "invalid-features")
    assert {(each["pointer"], each["code"]) for each in document["errors"]} == {
        ("/count", "wrong_type"),
        ("/colour", "unknown_category"),
        ("/is_member", "not_nullable"),
        ("/weight", "missing"),
        ("", "unknown_feature"),
    }
    assert any("'amount'" in each["detail"] for each in document["errors"])


@pytest.mark.parametrize("document", [[], 1, "x", None, True])
@pytest.mark.parametrize("path", POSTS)
def test_not_an_object(app: App, path: str, document: object) -> None:
    """A body that is JSON but no object is 422."""
    assert_problem(app.post(path, document), 422, "invalid-features")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({}, "missing"),
        ({"instances": []}, "empty_batch"),
        ({"instances": {}}, "wrong_type"),
        ({"instances": None}, "wrong_type"),
        ({"instances": [1], "more": 2}, "unknown_feature"),
        ({"instances": [{}] * 10_001}, "too_many_rows"),
    ],
)
def test_batch_envelope(app: App, document: object, code: str) -> None:
    """A wrong envelope of a batch is 422: nothing in it can be scored."""
    problem = assert_problem(app.post("/v1/predict/batch", document), 422, "invalid-features")
    assert code in {each["code"] for each in problem["errors"]}


def test_reject(app: App, row: dict[str, Any]) -> None:
    """With `on_error=reject` one bad row refuses the whole batch, with pointers into the body."""
    instances = [row, {**row, "count": "x"}, row]
    answer = app.post("/v1/predict/batch", {"instances": instances}, "on_error=reject")
    document = assert_problem(answer, 422, "invalid-features")
    assert [each["pointer"] for each in document["errors"]] == ["/instances/1/count"]
    good = app.post("/v1/predict/batch", {"instances": [row, row]}, "on_error=reject")
    assert [each.keys() >= {"score"} for each in good.json()["predictions"]] == [True, True]


def test_answers_stay_small(app: App) -> None:
    """However many faults a body has, the problem document stays small."""
    many = {f"k{number}": 0 for number in range(20_000)}
    for path, document in (
        ("/v1/predict", many),
        ("/v1/predict/batch", many),
        ("/v1/predict/batch", {"instances": [many]}),
    ):
        answer = app.post(path, document)
        assert answer.status in (200, 422)
        assert len(answer.body) < 250_000
    rejected = app.post("/v1/predict/batch", {"instances": [{}] * 10_000}, "on_error=reject")
    assert_problem(rejected, 422, "invalid-features")
    assert len(rejected.body) < 250_000


def test_too_large_by_announcement(app: App) -> None:
    """A body that announces more than the limit is 413 before any of it is read."""
    headers = {"content-type": JSON, "content-length": str(16 * 2**20 + 1)}
    answer = app.request("POST", "/v1/predict", [None], headers=headers)
    assert_problem(answer, 413, "too-large")
    assert answer.headers["connection"] == "close"


def test_too_large_in_pieces(app: App) -> None:
    """A chunked body beyond the limit is 413 as soon as it is beyond."""
    pieces: list[bytes | float | None] = [*[b" " * 2**20] * 17, 3600.0]
    answer = app.request("POST", "/v1/predict", pieces)
    assert_problem(answer, 413, "too-large")
    assert answer.headers["connection"] == "close"


def test_body_of_the_limit(quick: dict[str, str], row: dict[str, Any]) -> None:
    """A body of exactly the limit is read; one byte more is 413, packed or not."""
    body = json.dumps(row).encode()
    headers = {"content-type": JSON, "content-encoding": "gzip"}
    with serving(quick["binary"], max_body_bytes=1024) as app:
        whole = body.ljust(1024)
        assert app.request("POST", "/v1/predict", whole).status == 200
        packed = gzip.compress(whole)
        assert app.request("POST", "/v1/predict", packed, headers=headers).status == 200
        beyond = whole + b" "
        assert_problem(app.request("POST", "/v1/predict", beyond), 413, "too-large")
        packed = gzip.compress(beyond)
        answer = app.request("POST", "/v1/predict", packed, headers=headers)
        assert_problem(answer, 413, "too-large")


def test_gzip_bomb(app: App) -> None:
    """A gzip body that unpacks to more than the limit is 413."""
    bomb = gzip.compress(b" " * (64 * 2**20))
    assert len(bomb) < 100_000
    headers = {"content-type": JSON, "content-encoding": "gzip"}
    answer = app.request("POST", "/v1/predict", bomb, headers=headers)
    assert_problem(answer, 413, "too-large")


def test_slow_body(quick: dict[str, str]) -> None:
    """A body that does not arrive in time is 408, and its connection is closed."""
    with serving(quick["binary"], timeout_seconds=0.2) as app:
        answer = app.request("POST", "/v1/predict", [b"{", 3600.0])
        assert_problem(answer, 408, "request-timeout")
        assert answer.headers["connection"] == "close"
        # A body that keeps dripping is no better.
        drip = [piece for _ in range(100) for piece in (b" ", 0.05)]
        assert_problem(app.request("POST", "/v1/predict", drip), 408, "request-timeout")


def test_overloaded(quick: dict[str, str], row: dict[str, Any]) -> None:
    """Beyond TABSERVE_MAX_CONCURRENCY a request is 503 with Retry-After; the first is answered."""
    body = json.dumps(row).encode()
    with serving(quick["binary"], max_concurrency=1, batch_wait_ms=300) as app:

        async def both() -> list[Any]:
            exchange = app.exchange
            return await asyncio.gather(*(exchange("POST", "/v1/predict", body) for _ in range(5)))

        first, *others = app.run(both())
        again = app.request("POST", "/v1/predict", body)
        metrics = app.get("/metrics").body.decode()
    assert (first.status, again.status) == (200, 200)
    for answer in others:
        assert_problem(answer, 503, "overloaded")
        assert answer.headers["retry-after"].isdigit()
    assert 'tabserve_requests_shed_total{reason="concurrency"} 4.0' in metrics


def test_bodies_beyond_the_memory(quick: dict[str, str], row: dict[str, Any]) -> None:
    """Beyond TABSERVE_MAX_BUFFERED_BYTES a body is 503; the memory comes back with its request."""
    body = json.dumps(row).encode()
    with serving(quick["binary"], max_buffered_bytes=1024) as app:

        async def all_at_once() -> list[Any]:
            slow: list[bytes | float | None] = [body[:-1], b" " * 500, 0.3, body[-1:]]
            exchange = app.exchange
            return await asyncio.gather(*(exchange("POST", "/v1/predict", slow) for _ in range(5)))

        answers = app.run(all_at_once())
        statuses = sorted(answer.status for answer in answers)
        assert (statuses[0], statuses[-1]) == (200, 503)
        for answer in answers:
            if answer.status == 503:
                assert_problem(answer, 503, "overloaded")
                assert answer.headers["retry-after"].isdigit()
        assert app.request("POST", "/v1/predict", [body[:5], body[5:]]).status == 200


def test_many_large_requests(quick: dict[str, str], row: dict[str, Any]) -> None:
    """Of very many large batches at once some are answered and the rest told to come again."""
    body = json.dumps({"instances": [row] * 2000}).encode()
    with serving(quick["binary"]) as app:

        async def all_at_once() -> list[Any]:
            return await asyncio.gather(
                *(app.exchange("POST", "/v1/predict/batch", body) for _ in range(100))
            )

        answers = app.run(all_at_once())
        metrics = app.get("/metrics").body.decode()
    refused = [answer for answer in answers if answer.status != 200]
    assert 34 <= len(answers) - len(refused) < 100
    for answer in refused:
        assert_problem(answer, 503, "overloaded")
        assert answer.headers["retry-after"].isdigit()
    assert f'tabserve_requests_shed_total{{reason="large"}} {float(len(refused))}' in metrics


def test_timeout_of_a_row(quick: dict[str, str], row: dict[str, Any]) -> None:
    """A row that waits for its batch longer than TABSERVE_TIMEOUT_SECONDS is 504."""
    with serving(quick["binary"], timeout_seconds=0.05, batch_wait_ms=500) as app:
        answer = app.post("/v1/predict", row)
        assert_problem(answer, 504, "timeout")
        assert answer.headers["retry-after"].isdigit()


def test_timeout_of_a_batch(quick: dict[str, str], row: dict[str, Any]) -> None:
    """A batch that takes longer than TABSERVE_TIMEOUT_SECONDS is 504."""
    with serving(quick["binary"], timeout_seconds=0.002) as app:
        answer = app.post("/v1/predict/batch", {"instances": [row] * 10_000})
        assert_problem(answer, 504, "timeout")


def test_client_leaves(app: App) -> None:
    """A client that leaves in the middle of its body is counted as 499 and gets nothing."""
    before = app.get("/metrics").body.count(b'status="499"')
    assert app.request("POST", "/v1/predict", [b"{", None]).status == 0
    after = app.get("/metrics").body
    labels = {"route": "/v1/predict", "status": "499"}
    assert total_of(series_of(after), "tabserve_requests_total", **labels) >= 1
    assert before <= after.count(b'status="499"')


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"instances":', b"NaN", b"[" * 100_000, b"\xff", b"null", b'{"a":1}']
)
def test_nothing_of_the_inside_shows(app: App, body: bytes) -> None:
    """No problem shows a Python name, a trace or BentoML."""
    for path in (*POSTS, "/v1/model", "/v1/x", "/x", "/livez"):
        answer = app.request("POST", path, body)
        assert 400 <= answer.status < 500
        assert_no_name_of_ours(answer.body)
