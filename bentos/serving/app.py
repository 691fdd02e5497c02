"""The door: an ASGI app before BentoML's own that answers our routes.

BentoML's middleware would make spans, a task and a timer for every request, and its
error texts would show; what is not ours is left to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from time import perf_counter
from typing import Any

import bentoml

from bentos.errors import Problem
from bentos.serving.api import OTHER, Api
from bentos.serving.http import App, Handler, Message, Receive, Reply, Request, Scope, Send

# What BentoML answers and people ask for: labels of their own, all the rest is one.
_BENTOML_ROUTES = frozenset({"/livez", "/healthz", "/schema.json"})

# BentoML's own format between services: only ever read from a service behind another.
_INNER = b"application/vnd.bentoml+pickle"


class Routes:
    """ASGI app that answers our routes and leaves the rest to the app behind it."""

    def __init__(self, app: App, api: Api) -> None:
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        methods = self._api.routes.get(path)
        if methods is not None:
            method = scope["method"]
            handler = methods.get("GET" if method == "HEAD" else method)
            request = Request(scope, receive)
            if handler is None:
                handler = _method_not_allowed(methods)
            elif _is_inner(request):
                await self._app(scope, receive, send)
                return
            await self._api.answer(handler, path, request, send)
        elif path == "/v1" or path.startswith("/v1/"):
            await self._api.answer(_not_found, OTHER, Request(scope, receive), send)
        else:
            await self._pass_on(path, Request(scope, receive), send)

    async def _pass_on(self, path: str, request: Request, send: Send) -> None:
        status = 0
        refusal: Handler | None = None

        async def send_marked(message: Message) -> None:
            nonlocal refusal, status
            if message["type"] == "http.response.start":
                status = message["status"]
                # BentoML's own texts: ours say the same in the shape of all problems. A
                # redirect to the path without its slash would repeat what was sent.
                if status in (HTTPStatus.NOT_FOUND, HTTPStatus.TEMPORARY_REDIRECT):
                    refusal = _not_found
                elif status == HTTPStatus.METHOD_NOT_ALLOWED:
                    refusal = _method_not_allowed(("GET",))
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request.id.encode()),
                    (b"server-timing", request.timing.header(perf_counter())),
                ]
            if refusal is None:
                await send(message)

        await self._app(request.scope, request.receive, send_marked)
        route = path if path in _BENTOML_ROUTES else OTHER
        if refusal is not None:
            await self._api.answer(refusal, route, request, send)
            return
        self._api.finish(route, request, status, perf_counter())


def _is_inner(request: Request) -> bool:
    # A service behind another one on the same host speaks BentoML's format over a private
    # socket; BentoML itself refuses that format on the main service.
    return (
        request.headers.get(b"content-type") == _INNER
        and bentoml.server_context.service_type == "service"
    )


def _method_not_allowed(methods: Iterable[str]) -> Handler:
    async def handler(_: Request) -> Reply:
        allowed = ", ".join(methods).replace("GET", "GET, HEAD")
        raise Problem(
            "method-not-allowed", f"this route takes {allowed}", headers={"Allow": allowed}
        )

    return handler


async def _not_found(_: Request) -> Reply:
    raise Problem("not-found", "GET / lists the routes of this service")


def behind(api: Api) -> type[bentoml.Service[Any]]:
    """Make the class of a BentoML service whose app stands behind the routes of `api`."""

    class FrontedService(bentoml.Service[Any]):  # type: ignore[misc]  # untyped at run time
        def to_asgi(self, is_main: bool = True) -> App:
            """Make the app that a worker runs."""
            return Routes(super().to_asgi(is_main), api)

    return FrontedService
