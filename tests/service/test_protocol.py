"""A protocol is one module and one registry line: a toy one gets all that the service does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import pytest

from bentos.errors import Problem
from bentos.model import store
from bentos.model.contract import Contract
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Scored
from bentos.protocols.protocol import (
    Call,
    Description,
    Limits,
    Protocol,
    Reply,
    Results,
    Rows,
    ScoringRoute,
)
from bentos.protocols.registry import PROTOCOLS
from bentos.records.opening import open_store
from bentos.records.record import Window
from bentos.records.writer.log import Log
from bentos.serving.app import FrontApp
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.worker import Worker
from bentos.settings import Settings
from tests.service.checks import series_of, total_of

TEXT = b"text/plain"


# ---- the toy: one row a line of `name=JSON` pairs; scores come back one a line


def decode(model: LoadedModel, call: Call, max_rows: int) -> Rows:
    rows: list[object] = []
    for line in call.body.decode().splitlines():
        pairs = (part.split("=") for part in line.split())
        rows.append({name: json.loads(value) for name, value in pairs})
    return Rows(*model.reader.validate_instances(rows))


def encode(model: LoadedModel, call: Call, results: Results) -> Reply:
    lines = [repr(one.score) if isinstance(one, Scored) else one.kind for one in results.outcomes]
    return Reply("\n".join(lines).encode(), TEXT)


def encode_problem(problem: Problem, request_id: str) -> Reply:
    return Reply(f"{problem.kind} {request_id}".encode(), TEXT, int(problem.status))


def describe(contract: Contract, limits: Limits) -> Description:
    return Description({"/toy/{name}/lines": {"post": {"responses": {"200": {}}}}}, {})


TOY = Protocol(
    "toy",
    ("/toy",),
    (ScoringRoute("/toy/{name}/lines", decode, encode, media_types=(TEXT,)),),
    encode_problem,
    describe,
)


# ---- what it gets


class Caller:
    """Sends requests to a worker with the toy protocol, in this process."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._app = FrontApp(self._nothing, worker)

    async def _nothing(self, *_: Any) -> None:
        raise AssertionError("not a route of ours")

    async def ask(
        self, path: str, body: bytes, media_type: bytes = TEXT, method: str = "POST"
    ) -> tuple[int, str]:
        """Send one request; gives status and body."""
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [*headers, (b"x-request-id", b"toy-1")],
        }
        await self._app(scope, receive, send)
        return sent[0]["status"], sent[1]["body"].decode()


@asynccontextmanager
async def serving(tag: str, folder: Path) -> AsyncIterator[Caller]:
    """A worker that speaks the toy protocol beside those of the registry."""
    settings = Settings(access_log=False, data_dir=folder)  # type: ignore[call-arg]  # has defaults
    worker = Worker(settings, Metrics(), Log(settings), (*PROTOCOLS, TOY))
    worker.load(lambda: store.open_model(bentoml.models.get(tag)))
    worker.readiness.start()
    while not worker.readiness.is_ready:
        await asyncio.sleep(0.01)
    try:
        yield Caller(worker)
    finally:
        await worker.stop()


def line_of(row: dict[str, Any]) -> bytes:
    """Write a row as the toy protocol has it."""
    return " ".join(f"{name}={json.dumps(value)}" for name, value in row.items()).encode()


async def test_a_toy_protocol_gets_everything(
    quick: dict[str, str], rows: list[dict[str, Any]], scores: Any, tmp_path: Path
) -> None:
    """Validation, batching, the log, metrics and errors come with one entry in the registry."""
    async with serving(quick["binary"], tmp_path) as caller:
        # Batching: lone rows that arrive together are one batch.
        answers = await asyncio.gather(
            *(caller.ask("/toy/any/lines", line_of(row)) for row in rows[:8])
        )
        assert [status for status, _ in answers] == [200] * 8
        np.testing.assert_array_equal([float(text) for _, text in answers], scores[:8])
        # Validation: a bad row has its error in its place, and harms no other.
        bad = {**rows[0], "count": "many"}
        body = b"\n".join([line_of(rows[0]), line_of(bad), line_of(rows[1])])
        status, text = await caller.ask("/toy/any/lines", body)
        assert (status, text.split("\n")[1]) == (200, "invalid-features")
        # Limits hold even where a protocol forgets them.
        assert (await caller.ask("/toy/any/lines", b""))[0] == 422
        assert (await caller.ask("/toy/any/lines", b"\n" * 10_001))[0] == 422
        # Errors are in the protocol's own shape: a media type, a method, a path.
        assert await caller.ask("/toy/any/lines", b"{}", b"application/json") == (
            415,
            "unsupported-media-type toy-1",
        )
        assert await caller.ask("/toy/any/lines", b"", method="GET") == (
            405,
            "method-not-allowed toy-1",
        )
        assert await caller.ask("/toy/else", b"") == (404, "not-found toy-1")
        # Metrics: by the route's template, never by what the client wrote in it.
        caller.worker.telemetry.flush()
        status, exported = await caller.ask("/metrics", b"", method="GET")
        series = series_of(exported.encode())
        route = "/toy/{name}/lines"
        assert total_of(series, "tabserve_requests_total", route=route, status="200") == 9
        assert total_of(series, "tabserve_rows_total", outcome="rejected") == 1
        assert total_of(series, "tabserve_batch_rows_count") == 1
        assert "/toy/any" not in exported
        status, document = await caller.ask("/docs.json", b"", method="GET")
        assert "/toy/{name}/lines" in json.loads(document)["paths"]
    log = open_store(f"sqlite:///{tmp_path}/records.db")
    log.check()
    logged = [record.score for record in log.read(Window())]
    log.close()
    assert sorted(one for one in logged if one is not None) == sorted(
        [*scores[:8].tolist(), *scores[:2].tolist()]
    )


@pytest.mark.parametrize("path", ["/toy/any/lines/", "/toy//lines", "/toy/a/b/lines"])
async def test_a_template_stands_for_one_segment(
    quick: dict[str, str], tmp_path: Path, path: str
) -> None:
    """A path with more or fewer segments than the template is not found."""
    async with serving(quick["binary"], tmp_path) as caller:
        assert (await caller.ask(path, b""))[0] == 404
