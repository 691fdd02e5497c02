"""Keys in front of every route: who gets in, what the refusals look like, and what is counted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bentos.records.opening import open_store
from bentos.records.record import Window
from tests.service.access_keys import Keys
from tests.service.checks import assert_problem, series_of, value_of
from tests.service.driver import Answer, App, serving

HEALTH = ("/livez", "/healthz", "/readyz")
JSON = "application/json"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """A keys file with a key of each kind."""
    made = Keys(tmp_path_factory.mktemp("keys") / "keys.json")
    made.add("all")
    made.add("scorer", "predict")
    made.add("reporter", "feedback")
    made.add("explainer", "explain")
    made.add("watcher", "admin")
    made.add("late", expired=True)
    made.add("slow", requests_per_second=0.001)
    made.add("few", rows_per_second=0.01, burst_seconds=300)
    made.add("single", concurrency=1)
    made.add("revoked")
    return made


@pytest.fixture(scope="module")
def app(quick: dict[str, str], keys: Keys) -> Iterator[App]:
    """The service with a keys file."""
    with serving(quick["binary"], keys_file=keys.path, require_keys=True) as started:
        yield started


def ask(app: App, path: str, headers: dict[str, str], row: object = None) -> Answer:
    """`POST` a row, or `GET` where there is none."""
    if row is None:
        return app.request("GET", path, headers=headers)
    return app.request("POST", path, json.dumps(row).encode(), headers=headers)


def routes_of(app: App) -> list[tuple[str, str]]:
    """Method and path of every route there is, of every protocol."""
    routes = app.module.WORKER.routes
    return [
        (method, path.replace("{", "").replace("}", ""))
        for path, methods in routes.items()
        for method in methods
    ]


def test_every_route_but_health_needs_a_key(app: App) -> None:
    """Routes of all protocols, BentoML's own, and paths that are none: 401, before the body."""
    open_paths = {
        path
        for path, methods in app.module.WORKER.routes.items()
        if any(endpoint.need == "none" for endpoint in methods.values())
    }
    assert {"/readyz"} <= open_paths and not open_paths & {"/metrics", "/v1/model", "/docs.json"}
    asked = [
        *routes_of(app),
        *(("GET", path) for path in ("/schema.json", "/static_content/swagger-ui.css", "/x")),
        *((method, "/v1/predict") for method in ("GET", "PUT", "OPTIONS", "HEAD", "BREW")),
        *(("POST", path) for path in ("/v1/nothing", "/predict", "/v1", "//v1/predict", "")),
        *(("POST", path) for path in ("/v1/predict/", "/V1/predict", "/v1/./predict", "/metrics/")),
    ]

    def unread() -> Iterator[bytes | None]:
        raise AssertionError("the body was read")
        yield b""

    for method, path in asked:
        if path in open_paths:
            continue
        answer = app.request(method, path, unread(), headers={"content-type": JSON})
        assert answer.status == 401, (method, path, answer)
        assert answer.headers["www-authenticate"] == 'Bearer realm="tabserve"'
    for path in HEALTH:
        assert app.get(path).status == 200


def test_each_scope_opens_its_routes_and_no_other(app: App, keys: Keys, row: Any) -> None:
    """A key for scoring cannot report outcomes or read metrics, and the other way round."""
    outcome = {"id": "01980000-0000-7000-8000-000000000000", "outcome": "no"}
    for path, body, need in (
        ("/v1/predict", row, "scorer"),
        ("/v1/predict/batch", {"instances": [row]}, "scorer"),
        ("/v1/model", None, "scorer"),
        ("/v1/feedback", outcome, "reporter"),
        ("/v1/explain", row, "explainer"),
        ("/metrics", None, "watcher"),
    ):
        for name in ("scorer", "reporter", "watcher", "explainer", "all"):
            answer = ask(app, path, keys.headers(name), body)
            if name in (need, "all"):
                assert answer.status in (200, 202, 404, 422), (path, name, answer)
            else:
                assert_problem(answer, 403, "forbidden")
                assert 'error="insufficient_scope", scope=' in answer.headers["www-authenticate"]
    for name in ("scorer", "reporter", "watcher"):
        for path in ("/", "/docs.json", "/schema.json", "/static_content/swagger-ui.css"):
            assert ask(app, path, keys.headers(name)).status == 200


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_the_scheme_has_no_case(app: App, keys: Keys, row: Any, scheme: str) -> None:
    """RFC 9110 compares schemes without regard to case."""
    headers = {"content-type": JSON, "authorization": scheme + keys.texts["scorer"]}
    assert ask(app, "/v1/predict", headers, row).status == 200


def test_the_other_header(app: App, keys: Keys, row: Any) -> None:
    """X-API-Key does as well; a scheme for a proxy in front does not matter then."""
    headers = {"content-type": JSON, "x-api-key": keys.texts["scorer"]}
    assert ask(app, "/v1/predict", headers, row).status == 200
    headers["authorization"] = "Basic dXNlcjpwYXNz"
    assert ask(app, "/v1/predict", headers, row).status == 200
    headers["authorization"] = "Bearer " + keys.texts["scorer"]
    assert_problem(ask(app, "/v1/predict", headers, row), 400, "bad-header")


def hostile(text: str) -> Iterator[list[tuple[bytes, bytes]]]:
    """Headers that must not open anything; `text` is a good key."""
    good = text.encode()
    for value in (
        *(b"", b"Bearer", b"Bearer ", b"Bearer\t" + good, b"Basic " + good, good),
        *(b"Bearer " + good[:-1], b"Bearer " + good + b"x", b"Bearer " + good.upper()),
        *(b"Bearer " + good + b"\0", b"Bearer \xff\xfe" + good, b"Bearer " + good + b"," + good),
        *(b'Bearer "' + good + b'"', b"Bearer Bearer " + good, b"Bearer " + good[:17] + b"A" * 43),
        *(b"Bearer " + b"A" * 2**20, b"Bearer tsk_" + b"\xc3" * 56, "Bearer kéy".encode()),
        *(
            b"Bearer tsk_000000000000_" + good[17:],
            b"Bearer null",
            # A token without a signature, in parts: the scan for secrets knows its whole form.
            b"Bearer eyJhbGciOiJub25lIn0" + b".e30.",
        ),
    ):
        yield [(b"authorization", value)]
    yield [(b"x-api-key", b"")]
    yield [(b"x-api-key", b"Bearer " + good)]
    yield [(b"api-key", good)]
    yield [(b"x_api_key", good)]
    yield [(b"cookie", b"authorization=" + good)]


async def raw(
    app: App, headers: list[tuple[bytes, bytes]], body: bytes, address: str = "192.0.2.7"
) -> Answer:
    """Send a request with headers as they are; gives its answer."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/predict", "query_string": b""}
    own = [(b"content-type", b"application/json"), *headers]
    await app._asgi({**scope, "headers": own, "client": (address, 9)}, receive, send)
    start, rest = sent
    named = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], named, rest["body"])


def test_hostile_headers_open_nothing(app: App, keys: Keys, row: Any) -> None:
    """401, nothing echoed; a header that came twice is refused, whichever of the two is good."""
    good, body = keys.texts["scorer"].encode(), json.dumps(row).encode()
    for number, headers in enumerate(hostile(keys.texts["scorer"])):
        answer = app.run(raw(app, headers, body, f"198.51.100.{number}"))
        assert answer.status == 401, headers[0][1][:80]
        assert keys.texts["scorer"][17:] not in answer.body.decode()
    for name in (b"authorization", b"x-api-key"):
        for pair in ((b"Bearer " + good, b"Bearer x"), (b"x", b"Bearer " + good), (good, good)):
            answer = app.run(raw(app, [(name, value) for value in pair], body))
            assert_problem(answer, 400, "bad-header")
    # Other headers may come twice.
    twice = [(b"x-other", b"1"), (b"x-other", b"2"), (b"authorization", b"Bearer " + good)]
    assert app.run(raw(app, twice, body)).status == 200


def test_guessing_is_slowed_and_good_keys_are_not(app: App, keys: Keys, row: Any) -> None:
    """After ten failures an address waits and is closed; a key beside it is answered at once."""

    async def measure() -> tuple[list[float], list[Answer], float]:
        body, began = json.dumps(row).encode(), time.perf_counter()
        seconds: list[float] = []

        async def guess() -> Answer:
            answer = await raw(app, [(b"x-api-key", b"tsk_" + b"0" * 56)], body)
            seconds.append(time.perf_counter() - began)
            return answer

        guesses = [asyncio.create_task(guess()) for _ in range(40)]
        await asyncio.sleep(0.1)
        good = await raw(app, [(b"x-api-key", keys.texts["scorer"].encode())], body)
        assert good.status == 200
        between = time.perf_counter() - began
        return seconds, [await one for one in guesses], between

    seconds, answers, between = app.run(measure())
    assert all(answer.status == 401 for answer in answers)
    late = [answer for answer in answers if answer.headers.get("connection") == "close"]
    assert len(late) >= 30 and sum(took > 0.9 for took in seconds) >= 30
    assert between < 0.9


def test_an_expired_key_says_so(app: App, keys: Keys, row: Any) -> None:
    """Only who has the key learns that it has expired."""
    answer = ask(app, "/v1/predict", keys.headers("late"), row)
    assert "expired" in assert_problem(answer, 401, "unauthorized")["detail"]


def test_requests_a_second(app: App, keys: Keys, row: Any) -> None:
    """The second request is refused with the seconds to wait; other clients are not."""
    first = ask(app, "/v1/predict", keys.headers("slow"), row)
    assert first.status == 200
    assert first.headers["ratelimit"] == '"requests";r=0;t=1000'
    assert first.headers["ratelimit-policy"] == '"requests";q=1;w=1000'
    second = ask(app, "/v1/predict", keys.headers("slow"), row)
    assert_problem(second, 429, "rate-limited")
    assert 990 <= int(second.headers["retry-after"]) <= 1000
    assert second.headers["ratelimit"].startswith('"requests";r=0')
    other = ask(app, "/v1/predict", keys.headers("scorer"), row)
    assert other.status == 200 and "ratelimit" not in other.headers


def test_rows_a_second(app: App, keys: Keys, row: Any) -> None:
    """Rows are counted once they are read, large bodies in a thread too; a debt refuses at once."""
    many = {"instances": [row] * 1500}
    assert ask(app, "/v1/predict/batch", keys.headers("few"), many).status == 200
    refused = ask(app, "/v1/predict", keys.headers("few"), row)
    assert_problem(refused, 429, "rate-limited")
    assert int(refused.headers["retry-after"]) == 3600
    feedback = [{"id": "01980000-0000-7000-8000-000000000000", "outcome": "no"}]
    assert_problem(ask(app, "/v1/feedback", keys.headers("few"), feedback), 429, "rate-limited")


def test_requests_at_a_time(app: App, keys: Keys, row: Any) -> None:
    """A client that may have one request gets 429 for a second, and room when the first ends."""
    body = json.dumps(row).encode()

    async def both() -> tuple[Answer, Answer]:
        slow = app.exchange("POST", "/v1/predict", [body, 0.3], headers=keys.headers("single"))
        first = asyncio.create_task(slow)
        await asyncio.sleep(0.1)
        second = await app.exchange("POST", "/v1/predict", body, headers=keys.headers("single"))
        return await first, second

    first, second = app.run(both())
    assert first.status == 200
    assert_problem(second, 429, "rate-limited")
    for _ in range(2):
        assert ask(app, "/v1/predict", keys.headers("single"), row).status == 200
    # A client that left, and one that was refused for its body, count out as well.
    app.request("POST", "/v1/predict", [b"{", None], headers=keys.headers("single"))
    app.request("POST", "/v1/predict", b"[", headers=keys.headers("single"))
    assert ask(app, "/v1/predict", keys.headers("single"), row).status == 200


def test_a_revoked_key_is_refused_soon(app: App, keys: Keys, row: Any) -> None:
    """Within two seconds, without a restart; a request that is being answered is finished."""
    body = json.dumps(row).encode()
    headers = keys.headers("revoked")

    async def during() -> Answer:
        slow = app.exchange("POST", "/v1/predict", [body, 2.5], headers=headers)
        running = asyncio.create_task(slow)
        await asyncio.sleep(0.1)
        keys.revoke("revoked")
        return await running

    assert ask(app, "/v1/predict", headers, row).status == 200
    assert app.run(during()).status == 200
    assert_problem(ask(app, "/v1/predict", headers, row), 401, "unauthorized")


def test_the_name_of_the_key_is_recorded_and_counted(
    app: App, keys: Keys, row: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The prediction log has it as consumer, problems as client, the access log as client."""
    answer = ask(app, "/v1/predict", keys.headers("scorer"), row)
    ask(app, "/v1/predict", keys.headers("scorer"), {**row, "count": "x"})
    prediction = answer.json()["id"]
    deadline = time.monotonic() + 30
    consumers: dict[str, str | None] = {}
    while prediction not in consumers:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        store = open_store(f"sqlite:///{app.data}/records.db")
        store.check()
        consumers = {record.id: record.consumer for record in store.read(Window())}
        store.close()
    assert consumers[prediction] == "scorer"
    series = series_of(ask(app, "/metrics", keys.headers("watcher")).body)
    kinds = {"kind": "invalid-features", "client": "scorer"}
    assert value_of(series, "tabserve_problems_total", **kinds) >= 1
    assert value_of(series, "tabserve_problems_total", kind="unauthorized", client="anonymous") >= 1
    assert value_of(series, "tabserve_problems_total", kind="unauthorized", client="late") == 1
    assert value_of(series, "tabserve_access_open") == 0
    assert value_of(series, "tabserve_access_keys") == 8
    assert value_of(series, "tabserve_access_expiry_timestamp_seconds") == 0
    written = capsys.readouterr().err
    assert '"client":"scorer"' in written and '"client":null' in written
    for text in keys.texts.values():
        assert text[17:] not in written


def test_without_keys_everyone_is_answered(
    quick: dict[str, str], row: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """One warning line at the start and a metric say so; a key that is sent is not looked at."""
    with serving(quick["binary"]) as app:
        assert ask(app, "/v1/predict", {"content-type": JSON, "x-api-key": "x"}, row).status == 200
        assert value_of(series_of(app.get("/metrics").body), "tabserve_access_open") == 1
    said = [line for line in capsys.readouterr().err.splitlines() if "everyone is answered" in line]
    assert len(said) == 1 and json.loads(said[0])["level"] == "warning"


@pytest.mark.parametrize("file", ["", "/nowhere/keys.json"])
def test_required_keys_that_are_not_there_stop_the_start(quick: dict[str, str], file: str) -> None:
    """One line names the variable."""
    with (
        pytest.raises(SystemExit, match=r"tabserve: TABSERVE_(REQUIRE_KEYS|KEYS_FILE)"),
        serving(quick["binary"], require_keys=True, keys_file=file),
    ):
        raise AssertionError("it started")


def test_every_answer_is_kept_from_caches_and_guessers_of_types(
    app: App, keys: Keys, row: Any
) -> None:
    """Scores, refusals and documents: no cache keeps them, no browser takes them for a page."""
    answers = [
        ask(app, "/v1/predict", keys.headers("scorer"), row),
        ask(app, "/v1/predict", {"content-type": JSON}, row),
        ask(app, "/v1/nothing", keys.headers("all"), row),
        ask(app, "/", keys.headers("all")),
        *(app.get(path) for path in HEALTH),
    ]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
    for answer in answers[:4]:
        assert answer.headers["cache-control"] == "no-store"


def test_files_of_another_folder_stay_out(app: App, tmp_path: Path) -> None:
    """Static files come from one folder, with a key or without."""
    for path in ("/static_content/../service.py", "/static_content/..%2fservice.py"):
        assert app.get(path).status == 401


def test_a_header_for_a_proxy_opens_nothing_later(app: App, keys: Keys, row: Any) -> None:
    """What was found good is the key's own header: Basic beside a good X-API-Key is not."""
    basic = {"content-type": JSON, "authorization": "Basic dXNlcjpwYXNz"}
    for _ in range(2):
        both = {**basic, "x-api-key": keys.texts["scorer"]}
        assert ask(app, "/v1/predict", both, row).status == 200
        assert ask(app, "/v1/predict", basic, row).status == 401
    # A good header, seen before, does not make the second of two good.
    good = (b"authorization", keys.headers("scorer")["Authorization"].encode())
    body = json.dumps(row).encode()
    assert app.run(raw(app, [good], body)).status == 200
    for second in ((b"authorization", b"Bearer x"), (b"x-api-key", b"x")):
        assert app.run(raw(app, [good, second], body)).status == 400
        assert app.run(raw(app, [second, good], body)).status == 400


def test_explanations_need_their_scope_wherever_they_are_asked_for(
    app: App, keys: Keys, row: Any
) -> None:
    """A key for scoring gets scores, and no explanation by a parameter of the query."""
    body = json.dumps(row).encode()
    for name, status in (("scorer", 403), ("all", 200)):
        headers = keys.headers(name)
        answer = app.request("POST", "/v1/predict", body, headers=headers, query="explain=true")
        assert answer.status == status, answer.body
