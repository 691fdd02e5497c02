"""The ASGI app that stands before BentoML's own and answers our routes.

BentoML's middleware would make spans, a task and a timer for every request, and show its own
error texts. Requests for other paths are passed on to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from time import perf_counter

import bentoml

from bentos.errors import Problem
from bentos.protocols.protocol import Need, Protocol, Reply
from bentos.serving.access.cors import give_leave
from bentos.serving.exchange import Endpoint, Handler, refusing
from bentos.serving.http import App, Message, Receive, Request, Scope, Send
from bentos.serving.operations import not_found
from bentos.serving.worker import Worker

# The label of every path that is no route: a scanner makes one series.
OTHER = "other"

# What BentoML answers and people ask for: labels of their own.
_BENTOML_ROUTES = frozenset({"/livez", "/healthz", "/schema.json"})

# Answered without a key: the cluster's probes have none.
_HEALTH = frozenset({"/livez", "/healthz"})

# BentoML's own format between services: only ever read from a service behind another.
_INNER = b"application/vnd.bentoml+pickle"


class FrontApp:
    """ASGI app that answers our routes and leaves the rest to the app behind it."""

    def __init__(self, app: App, worker: Worker) -> None:
        self._app = app
        self._worker = worker
        self._exchange = worker.exchange
        self.connections = worker.connections
        self._routes = worker.routes
        self.direct = worker.direct
        # Templates are few and tried in order, only for paths that are no route as they stand.
        self._templates = [
            (path.split("/"), methods) for path, methods in worker.routes.items() if "{" in path
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        request = Request(scope, receive)
        cors = self._worker.cors
        if cors is not None and cors.is_preflight(request):
            # Before the key: a browser sends none with it.
            await self._exchange.run(
                _to_endpoint(OTHER, give_leave, self._worker.protocols[0], "none"), request, send
            )
            return
        methods = self._routes.get(path) or self._match(path, request)
        if methods is None:
            await self._refuse_or_pass_on(path, request, send)
            return
        method = scope["method"]
        endpoint = methods.get("GET" if method == "HEAD" else method)
        if endpoint is None:
            endpoint = _not_allowed(methods)
        elif _is_inner(request):
            await self._app(scope, receive, send)
            return
        await self._exchange.run(endpoint, request, send)

    def _match(self, path: str, request: Request) -> dict[str, Endpoint] | None:
        if not self._templates:
            return None
        segments = path.split("/")
        for template, methods in self._templates:
            parameters = _parameters(template, segments)
            if parameters is not None:
                request.parameters = parameters
                return methods
        return None

    async def _refuse_or_pass_on(self, path: str, request: Request, send: Send) -> None:
        protocol = self._protocol_of(path)
        if protocol is None:
            await self._pass_on(path, request, send)
        else:
            await self._exchange.run(_to_endpoint(OTHER, not_found, protocol), request, send)

    def _protocol_of(self, path: str) -> Protocol | None:
        for protocol in self._worker.protocols:
            if any(_is_within(path, prefix) for prefix in protocol.prefixes):
                return protocol
        return None

    def refuse(self, path: str, problem: Problem) -> App:
        """Make an app that answers with a problem in the shape of the path's protocol."""
        protocol = self._protocol_of(path) or self._worker.protocols[0]

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            # It may not even have a head that could hold a key.
            endpoint = _to_endpoint(OTHER, refusing(problem), protocol, "none")
            await self._exchange.run(endpoint, Request(scope, receive), send)

        return app

    async def _pass_on(self, path: str, request: Request, send: Send) -> None:
        gate = self._worker.gate
        if gate is None or path in _HEALTH:
            await self._answer_by_bentoml(path, request, send)
            return
        try:
            waiting = gate.enter("any", request)
            if waiting is not None:
                await waiting
        except Problem as problem:
            endpoint = _to_endpoint(OTHER, refusing(problem), self._worker.protocols[0], "none")
            await self._exchange.run(endpoint, request, send)
            return
        try:
            await self._answer_by_bentoml(path, request, send)
        finally:
            request.client.leave()

    async def _answer_by_bentoml(self, path: str, request: Request, send: Send) -> None:
        status = 0
        refusal: Handler | None = None

        async def send_marked(message: Message) -> None:
            nonlocal refusal, status
            if message["type"] == "http.response.start":
                status = message["status"]
                # BentoML's own error texts are replaced by ours. A redirect to the path without
                # its slash would repeat what the client sent.
                if status in (HTTPStatus.NOT_FOUND, HTTPStatus.TEMPORARY_REDIRECT):
                    refusal = not_found
                elif status == HTTPStatus.METHOD_NOT_ALLOWED:
                    refusal = _refuse_method(("GET",))
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request.id.encode()),
                    (b"server-timing", request.timing.header(perf_counter())),
                    (b"x-content-type-options", b"nosniff"),
                ]
            if refusal is None:
                await send(message)

        await self._app(request.scope, request.receive, send_marked)
        route = path if path in _BENTOML_ROUTES else OTHER
        if refusal is not None:
            endpoint = _to_endpoint(route, refusal, self._worker.protocols[0], "none")
            await self._exchange.run(endpoint, request, send)
            return
        self._worker.telemetry.finish(route, request, status, perf_counter())


def _is_within(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def _parameters(template: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(template) != len(segments):
        return None
    parameters: dict[str, str] = {}
    for expected, segment in zip(template, segments, strict=True):
        if expected.startswith("{"):
            if not segment:
                return None
            parameters[expected[1:-1]] = segment
        elif expected != segment:
            return None
    return parameters


def _is_inner(request: Request) -> bool:
    # A service behind another one on the same host speaks BentoML's format over a private
    # socket; BentoML itself refuses that format on the main service. Only a socket in the file
    # system has no address: what came over a network is never inner, whatever it says.
    return (
        request.headers.get(b"content-type") == _INNER
        and bentoml.server_context.service_type == "service"
        and request.scope.get("client") is None
    )


def _to_endpoint(route: str, handler: Handler, protocol: Protocol, need: Need = "any") -> Endpoint:
    return Endpoint(route, handler, protocol.encode_problem, need)


def _not_allowed(methods: dict[str, Endpoint]) -> Endpoint:
    known = next(iter(methods.values()))
    return Endpoint(known.route, _refuse_method(methods), known.encode_problem, known.need)


def _refuse_method(methods: Iterable[str]) -> Handler:
    allowed = ", ".join(methods).replace("GET", "GET, HEAD")

    async def handler(_: Request) -> Reply:
        raise Problem(
            "method-not-allowed", f"this route takes {allowed}", headers={"Allow": allowed}
        )

    return handler
