"""What is fuzzed: every route that reads a body, in each of its media types, and gzip alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

import bentoml
from pydantic import SecretStr

from bentos.errors import Problem
from bentos.model import json_rows, store
from bentos.protocols import feedback
from bentos.protocols.protocol import DocumentRoute, StreamingRoute
from bentos.records.writer.log import Log
from bentos.serving import gzip
from bentos.serving.app import FrontApp
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.worker import Worker
from bentos.settings import Settings

# So that a body of many rows is as far away as one of few.
MAX_ROWS = 64
MAX_BODY_BYTES = 2**16


class Target(NamedTuple):
    """One way into the service. `read`: takes a body; raises where it is not handled."""

    name: str
    read: Callable[[bytes], None]


def find(tag: str, data: Path, loop: asyncio.AbstractEventLoop) -> list[Target]:
    """Every target, on a model of the Bento store; the caller closes their event loop."""
    settings = Settings(  # type: ignore[call-arg]  # the others have defaults
        model=tag,
        data_dir=data,
        access_log=False,
        store_url=SecretStr("none"),
        max_rows=MAX_ROWS,
        max_body_bytes=MAX_BODY_BYTES,
    )
    worker = Worker(settings, Metrics(), Log(settings))
    worker.load(lambda: store.open_model(bentoml.models.get(tag)))

    async def get_ready() -> None:
        worker.readiness.start()
        while not worker.readiness.is_ready:
            await asyncio.sleep(0.01)

    loop.run_until_complete(get_ready())
    app = FrontApp(_nothing, worker)
    found = [Target("gzip", _unpack), Target("/v1/feedback", _read_outcomes)]
    for protocol in worker.protocols:
        for route in protocol.routes:
            if isinstance(route, DocumentRoute):
                continue
            path = route.path.replace("{model}", tag.partition(":")[0])
            path = path.replace("{version}", tag.partition(":")[2])
            kinds = (
                [one.media_type for one in route.formats]
                if isinstance(route, StreamingRoute)
                else route.media_types
            )
            found += [
                Target(f"{path} {kind.decode()}", _reader(loop, app, path, kind)) for kind in kinds
            ]
    return found


def seeds(row: dict[str, Any]) -> list[bytes]:
    """Good bodies to begin with."""
    rows = [row, row]
    header = ",".join(row)
    line = ",".join(str(value) for value in row.values())
    tensor = {"name": "count", "shape": [1, 1], "datatype": "INT64", "data": [1]}
    return [
        json.dumps(document).encode()
        for document in (
            row,
            {"instances": rows},
            {"dataframe_records": rows},
            {"dataframe_split": {"columns": [*row], "data": [[*row.values()]]}},
            {"inputs": {name: [value] for name, value in row.items()}},
            {"inputs": [tensor]},
            {"id": "01890000-0000-7000-8000-000000000000", "outcome": 1},
        )
    ] + [f"{header}\n{line}\n".encode(), b"\n".join([json.dumps(row).encode()] * 2)]


async def _nothing(*_: Any) -> None:
    raise AssertionError("not a route of ours")


def _reader(
    loop: asyncio.AbstractEventLoop, app: FrontApp, path: str, kind: bytes
) -> Callable[[bytes], None]:
    def read(body: bytes) -> None:
        status = loop.run_until_complete(_send(app, path, kind, body))
        assert status < 500, f"{path} {kind.decode()} answers {status}"

    return read


async def _send(app: FrontApp, path: str, kind: bytes, body: bytes) -> int:
    statuses = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(b"host", b"a"), (b"content-length", b"%d" % len(body))]
    if kind:
        headers.append((b"content-type", kind))
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": headers,
    }
    await app(scope, receive, send)
    (status,) = statuses
    return int(status)


def _unpack(body: bytes) -> None:
    try:
        assert len(gzip.decompress(body, MAX_BODY_BYTES)) <= MAX_BODY_BYTES
    except Problem:
        return


def _read_outcomes(body: bytes) -> None:
    try:
        feedback.read(json_rows.parse(body, MAX_ROWS, 4 * MAX_ROWS), MAX_ROWS)
    except Problem:
        return
