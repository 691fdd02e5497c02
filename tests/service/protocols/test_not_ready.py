"""A worker without a model says so in each protocol's own shape, and keeps living."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from bentos.records.writer.log import Log
from bentos.serving.app import FrontApp
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.worker import Worker
from bentos.settings import Settings


async def ask(worker: Worker, method: str, path: str) -> tuple[int, bytes]:
    """Send one request; gives status and body."""
    sent: list[MutableMapping[str, Any]] = []

    async def nothing(*_: Any) -> None:
        raise AssertionError("not a route of ours")

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"2")],
    }
    await FrontApp(nothing, worker)(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize(
    ("method", "path", "members"),
    [
        ("GET", "/v2/health/ready", {"error"}),
        ("GET", "/v2/models/any", {"error"}),
        ("GET", "/v2/models/any/ready", {"error"}),
        ("POST", "/v2/models/any/infer", {"error"}),
        ("GET", "/ping", {"error_code", "message"}),
        ("GET", "/health", {"error_code", "message"}),
        ("POST", "/invocations", {"error_code", "message"}),
    ],
)
async def test_not_ready(method: str, path: str, members: set[str], tmp_path: Path) -> None:
    """What needs the model is 503; what does not is answered."""
    settings = Settings(access_log=False, data_dir=tmp_path)  # type: ignore[call-arg]  # has defaults
    worker = Worker(settings, Metrics(), Log(settings))
    status, body = await ask(worker, method, path)
    assert status == 503, body
    assert json.loads(body).keys() == members
    assert await ask(worker, "GET", "/v2/health/live") == (200, b'{"live":true}')
    assert (await ask(worker, "GET", "/v2/models"))[1] == b'{"models":[]}'
    assert (await ask(worker, "GET", "/version"))[0] == 200
