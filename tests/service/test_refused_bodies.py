"""A request that is refused leaves nothing of its body behind."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import bentoml
import pytest
from pydantic import SecretStr

from bentos.model import store
from bentos.records.writer.log import Log
from bentos.serving.app import FrontApp
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.worker import Worker
from bentos.settings import Settings

# Large enough to be read in a thread, whose future brings the error.
LARGE = 2 * 2**20
JSON, CSV, LINES = b"application/json", b"text/csv", b"application/x-ndjson"

REFUSED = {
    "a long number": ("/v1/predict", JSON, b"1" * LARGE, 422),
    "too many members": ("/v1/predict", JSON, b'{"":1' + b',"":1' * (LARGE // 5) + b"}", 413),
    "too many values": ("/v1/predict/batch", JSON, b"[" + b"1," * LARGE + b"1]", 413),
    "no JSON": ("/v1/feedback", JSON, b"[" * LARGE, 400),
    "no CSV": ("/v1/predict/batch", CSV, b'"' * LARGE, 400),
    "no CSV of MLflow's": ("/invocations", CSV, b'"' * LARGE, 400),
    "no tensors": ("/v2/models/quick-binary/infer", JSON, b'{"inputs":' + b"[" * LARGE, 400),
    "too many bytes": ("/v1/predict", JSON, b" " * (20 * 2**20), 413),
    "of no type": ("/v1/predict", b"image/png", b" " * LARGE, 415),
}


async def send(
    routes: FrontApp, path: str, media_type: bytes, body: bytes, *, leaves: bool = False
) -> int | None:
    """Send a body; the answer's status. `leaves`: the client is gone before its end."""
    statuses = []

    async def receive() -> MutableMapping[str, Any]:
        if leaves:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": False}

    async def note(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    head = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": head,
    }
    await routes(scope, receive, note)
    return statuses[0] if statuses else None


def bytes_held() -> int:
    """Bytes of the large objects that only garbage refers to."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        held = {
            id(found): len(found)
            for one in gc.garbage
            for found in gc.get_referents(one)
            if isinstance(found, (bytes, bytearray, str)) and len(found) > LARGE // 4
        }
        return sum(held.values())
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.fixture(scope="module")
def routes_of(quick: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Worker:
    """A worker without a log."""
    folder: Path = tmp_path_factory.mktemp("refused")
    settings = Settings(access_log=False, data_dir=folder, store_url=SecretStr("none"))  # type: ignore[call-arg]  # has defaults
    worker = Worker(settings, Metrics(), Log(settings))
    worker.load(lambda: store.open_model(bentoml.models.get(quick["binary"])))
    return worker


async def test_a_refused_body_is_gone_at_once(
    routes_of: Worker, rows: list[dict[str, Any]]
) -> None:
    """Without a collection of garbage no byte of it is held, whatever it was refused for."""

    async def nothing(*_: Any) -> None:
        raise AssertionError("not a route of ours")

    worker = routes_of
    worker.readiness.start()
    while not worker.readiness.is_ready:
        await asyncio.sleep(0.01)
    routes = FrontApp(nothing, worker)
    good = json.dumps({"instances": rows[:1] * 10_000}).encode()
    held = {}
    gc.collect()
    gc.disable()
    try:
        for name, (path, media_type, body, status) in REFUSED.items():
            assert await send(routes, path, media_type, body) == status, name
            held[name] = bytes_held()
        assert await send(routes, "/v1/predict", JSON, good, leaves=True) is None
        held["a client that left"] = bytes_held()
        assert await send(routes, "/v1/predict/batch", JSON, good) == 200
        held["what was answered"] = bytes_held()
    finally:
        gc.enable()
        await worker.stop()
    assert not any(held.values()), held
