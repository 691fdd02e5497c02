"""What Prometheus sees of the service."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import subprocess
import time
from typing import Any

import pytest

from tests.service.checks import require, series_of, total_of, value_of
from tests.service.driver import App, serving
from tests.service.process import Server


def test_random_paths_make_no_series(app: App) -> None:
    """10,000 random paths leave the number of series as it is."""
    for path in ("/v1/a", "/a", "/static_content/a"):
        app.get(path)

    async def scan() -> None:
        for number in range(2_500):
            for path in (f"/v1/{number}", f"/{number}", f"/livez/{number}", f"/v1/model/{number}"):
                await app.exchange("GET", path, headers={})

    before = series_of(app.get("/metrics").body)
    app.run(scan())
    after = series_of(app.get("/metrics").body)
    # The first of two scrapes is counted in the second.
    new = after.keys() - before.keys()
    assert {dict(labels).get("route") for _, labels in new} <= {"/metrics"}
    name = "tabserve_requests_total"
    assert total_of(after, name, route="other") - total_of(before, name, route="other") == 10_000


def test_random_methods_and_values_make_no_series(app: App, row: dict[str, Any]) -> None:
    """No method, header, value or category that a client makes up becomes a label."""
    app.post("/v1/predict", {**row, "colour": "violet", "new": 1})
    app.request("BREW", "/v1/predict")
    app.request("GET", "/v1/model", headers={"x-request-id": "a"}, query="x=1")
    app.get("/metrics")
    before = series_of(app.get("/metrics").body).keys()
    for number in range(200):
        app.post("/v1/predict", {**row, "colour": f"violet{number}", f"new{number}": 1})
        app.request(f"BREW{number}", "/v1/predict")
        app.request("GET", "/v1/model", headers={"x-request-id": f"a{number}"}, query=f"x{number}")
    assert series_of(app.get("/metrics").body).keys() == before


def test_labels_are_closed(app: App) -> None:
    """Routes are templates, and reasons, codes and stages come from the code."""
    series = series_of(app.get("/metrics").body)
    routes = {dict(labels)["route"] for _, labels in series if "route" in dict(labels)}
    assert routes <= app.module.WORKER.routes.keys() | {
        "/livez",
        "/healthz",
        "/schema.json",
        "other",
    }
    assert all(name.startswith(("tabserve_", "process_")) for name, _ in series)


def test_promtool(app: App, row: dict[str, Any]) -> None:
    """`promtool check metrics` has nothing to say about what is exported."""
    promtool = require("promtool", "prometheus")
    app.post("/v1/predict", row)
    app.post("/v1/predict", {})
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=app.get("/metrics").body,
        capture_output=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_features(quick: dict[str, str], row: dict[str, Any]) -> None:
    """Missing values, values out of range and unknown categories are counted by feature."""
    row = {**row, "amount": 100.0, "weight": 0.0, "count": 3, "colour": "red", "grade": 3}
    instances = [
        row,
        {**row, "amount": None, "weight": None},
        {**row, "amount": 1e9, "count": 1000},
        {**row, "colour": "violet"},
        {**row, "colour": None},
    ]
    with serving(quick["binary"], unknown_category="missing") as app:
        start = series_of(app.get("/metrics").body)
        app.post("/v1/predict/batch", {"instances": instances})
        for each in instances:
            app.post("/v1/predict", each)
        end = series_of(app.get("/metrics").body)

    def rises(name: str) -> dict[str, float]:
        found = {
            dict(labels)["feature"]: value - start[its, labels]
            for (its, labels), value in end.items()
            if its == f"tabserve_feature_{name}_total"
        }
        return {feature: value for feature, value in found.items() if value}

    # Each row went in twice; an unknown category is scored as missing.
    assert rises("missing") == {"amount": 2, "weight": 2, "colour": 4}
    assert rises("out_of_range") == {"amount": 2, "count": 2}
    assert rises("unknown_category") == {"colour": 2}
    # A first event is seen as a rise: every series is there from the start.
    assert start.keys() >= {key for key in end if "feature" in dict(key[1])}
    features = {dict(labels)["feature"] for name, labels in end if "out_of_range" in name}
    assert features == {"amount", "count", "weight"}


def test_rows_labels_and_faults(quick: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """Rows are counted by outcome, labels by model version, faults by code."""
    tag = quick["binary"]
    name, _, version = tag.partition(":")
    with serving(tag) as app:
        assert app.post("/v1/predict/batch", {"instances": [*rows, {}, {}]}).status == 200
        assert app.post("/v1/predict", {**rows[0], "count": "x"}).status == 422
        series = series_of(app.get("/metrics").body)
    assert value_of(series, "tabserve_rows_total", outcome="scored") == 200
    assert value_of(series, "tabserve_rows_total", outcome="rejected") >= 2
    assert total_of(series, "tabserve_labels_total", model=name, version=version) == 200
    assert value_of(series, "tabserve_faults_total", code="wrong_type") == 1
    assert value_of(series, "tabserve_faults_total", code="missing") >= 2
    assert value_of(series, "tabserve_ready", worker="1") == 1
    assert total_of(series, "tabserve_model_info", model=name, version=version) == 1
    assert value_of(series, "tabserve_requests_in_flight", worker="1") == 0


@pytest.mark.parametrize("stage", ["decode", "queue", "predict", "encode"])
def test_stages(app: App, row: dict[str, Any], stage: str) -> None:
    """Each stage of a scored request is timed once; a refused request is in none."""
    name = "tabserve_stage_duration_seconds_count"
    before = value_of(series_of(app.get("/metrics").body), name, stage=stage)
    app.post("/v1/predict", row)
    app.post("/v1/predict", {})
    assert value_of(series_of(app.get("/metrics").body), name, stage=stage) == before + 1


def test_latency_buckets(app: App) -> None:
    """Latency buckets start at half a millisecond."""
    app.get("/v1/model")
    series = series_of(app.get("/metrics").body)
    name = "tabserve_request_duration_seconds_bucket"
    bounds = [float(dict(labels)["le"]) for its, labels in series if its == name]
    assert min(bounds) == 0.0005


def test_random_request_ids_make_no_series(app: App, row: dict[str, Any]) -> None:
    """1,000 random request ids leave the number of series as it is."""
    body = json.dumps(row).encode()

    async def ask() -> None:
        for _ in range(1_000):
            headers = {"content-type": "application/json", "x-request-id": secrets.token_hex(16)}
            await app.exchange("POST", "/v1/predict", body, headers=headers)

    app.post("/v1/predict", row)
    app.get("/metrics")
    before = series_of(app.get("/metrics").body)
    app.run(ask())
    after = series_of(app.get("/metrics").body)
    assert after.keys() == before.keys()
    name = "tabserve_score_count"
    assert total_of(after, name) - total_of(before, name) == 1_000


def test_problems(app: App, row: dict[str, Any]) -> None:
    """A refused row is a rejected row, a body that is no JSON a fault; both have their kind."""
    before = series_of(app.get("/metrics").body)
    assert app.post("/v1/predict", {**row, "count": "x"}).status == 422
    assert app.request("POST", "/v1/predict", b"{").status == 400
    assert app.request("POST", "/v1/predict/batch", b"\xff").status == 400
    after = series_of(app.get("/metrics").body)

    def rise(name: str, **labels: str) -> float:
        return value_of(after, name, **labels) - value_of(before, name, **labels)

    assert rise("tabserve_rows_total", outcome="rejected") == 1
    assert rise("tabserve_faults_total", code="wrong_type") == 1
    assert rise("tabserve_faults_total", code="malformed") == 2
    anonymous = {"client": "anonymous"}
    assert rise("tabserve_problems_total", kind="invalid-features", **anonymous) == 1
    assert rise("tabserve_problems_total", kind="malformed", **anonymous) == 2


def test_latency_by_version(app: App, row: dict[str, Any], quick: dict[str, str]) -> None:
    """Requests and their durations carry the version that is served."""
    app.post("/v1/predict", row)
    series = series_of(app.get("/metrics").body)
    labels = {"route": "/v1/predict", "version": quick["binary"].partition(":")[2]}
    assert value_of(series, "tabserve_requests_total", status="200", **labels) >= 1
    assert value_of(series, "tabserve_request_duration_seconds_count", **labels) >= 1


def test_a_worker_shows_itself_without_requests(two_workers: Server) -> None:
    """Each worker's heartbeat moves on while nobody asks; a worker that is stopped stays behind."""

    def beats() -> dict[str, float]:
        series = series_of(two_workers.request("GET", "/metrics").body)
        return {
            dict(labels)["worker"]: value
            for (name, labels), value in series.items()
            if name == "tabserve_worker_heartbeat_timestamp_seconds"
        }

    def ages() -> list[float]:
        return [time.time() - beat for beat in beats().values()]

    assert beats().keys() == {"1", "2"}
    assert max(ages()) < 5
    pid = two_workers.workers()[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        # New connections of the stopped worker are never answered: ask until one is.
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                series = series_of(get_quickly(two_workers.port, "/metrics"))
                name = "tabserve_worker_heartbeat_timestamp_seconds"
                found = [value for (its, _), value in series.items() if its == name]
                if max(time.time() - beat for beat in found) > 3:
                    break
            time.sleep(0.2)
        else:
            raise AssertionError("the stopped worker shows signs of life")
        assert total_of(series, "tabserve_ready") == total_of(series, "tabserve_workers_expected")
    finally:
        os.kill(pid, signal.SIGCONT)


def get_quickly(port: int, path: str) -> bytes:
    """The body of a path. Raises TimeoutError after a second."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read()
