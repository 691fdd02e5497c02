"""The routes of operators and readers: readiness, metrics, the OpenAPI document, the page."""

from __future__ import annotations

import asyncio

from bentos.errors import Problem
from bentos.protocols import page
from bentos.protocols.protocol import Need, Reply
from bentos.serving.exchange import Handler
from bentos.serving.exposition.metrics import CONTENT_TYPE, Metrics
from bentos.serving.http import HTML, TEXT, Request
from bentos.serving.readiness import Readiness
from bentos.serving.telemetry import Telemetry


class Operations:
    """Answers about one worker. `openapi_json` is set when its model is loaded."""

    def __init__(self, metrics: Metrics, readiness: Readiness, telemetry: Telemetry) -> None:
        self._metrics = metrics
        self._readiness = readiness
        self._telemetry = telemetry
        self.openapi_json = b""

    @property
    def routes(self) -> dict[str, tuple[Handler, Need]]:
        """The handler of each path, by GET, and what a key must be good for."""
        return {
            "/readyz": (self.readyz, "none"),
            "/metrics": (self.metrics, "admin"),
            "/docs.json": (self.docs, "any"),
            "/": (self.page, "any"),
        }

    async def readyz(self, request: Request) -> Reply:
        """`GET /readyz`: 200, or 503 and why."""
        if not self._readiness.is_ready:
            raise self._readiness.problem()
        return Reply(b"\n", TEXT)

    async def metrics(self, request: Request) -> Reply:
        """`GET /metrics`: the metrics of all workers."""
        self._telemetry.flush()
        body = await asyncio.to_thread(self._metrics.render)
        return Reply(body, CONTENT_TYPE.encode())

    async def docs(self, request: Request) -> Reply:
        """`GET /docs.json`: the OpenAPI document of the model that is served."""
        if self._readiness.loaded is None:
            raise self._readiness.problem()
        return Reply(self.openapi_json)

    async def page(self, request: Request) -> Reply:
        """`GET /`: the routes and features to read and to try."""
        loaded = self._readiness.loaded
        title = "tabserve" if loaded is None else f"{loaded.stored.name}:{loaded.stored.version}"
        return Reply(page.render(title), HTML, headers={"Content-Security-Policy": page.POLICY})


async def not_found(request: Request) -> Reply:
    """Refuse a path that is no route."""
    raise Problem("not-found", "GET / lists the routes of this service")
