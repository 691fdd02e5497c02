"""Metrics on a port of their own, where scrapes need no key and clients have no way to.

Every worker listens on it, and the kernel gives each connection to one of them: any worker can
answer for all, and one that ends takes nothing away.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import uvicorn
from uvicorn.server import ServerState

from bentos.errors import ConfigurationError, Problem
from bentos.serving.connections.protocol import HttpConnection
from bentos.serving.connections.registry import Connections
from bentos.serving.http import App, Receive, Scope, Send

# Answers a scrape, or with a problem.
Answer = Callable[[Problem | None, Scope, Receive, Send], Awaitable[None]]


class MetricsPort:
    """The listener of one worker. `connections`: those of clients are counted together with it."""

    def __init__(self, host: str, port: int, connections: Connections, answer: Answer) -> None:
        self.connections = connections
        self.direct = frozenset[str]()
        self._host = host
        self._port = port
        self._answer = answer
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of a scrape."""
        await self._answer(None, scope, receive, send)

    def refuse(self, path: str, problem: Problem) -> App:
        """Make an app that answers with a problem."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self._answer(problem, scope, receive, send)

        return app

    def bind(self) -> None:
        """Take the port. Raises ConfigurationError."""
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            taken = socket.socket(family, kind, protocol)
        except (OSError, UnicodeError):
            raise ConfigurationError(
                f"TABSERVE_METRICS_HOST: {self._host} is no address of this machine"
            ) from None
        try:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # All workers of one user may take it at once.
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            taken.setblocking(False)
            taken.bind(address)
        except OSError as error:
            taken.close()
            raise ConfigurationError(
                f"TABSERVE_METRICS_PORT: port {self._port} of {self._host} cannot be opened: "
                f"{error.strerror}"
            ) from None
        self._socket = taken

    async def start(self) -> None:
        """Listen, if the port was taken."""
        if self._socket is None:
            return
        config = uvicorn.Config(
            self,
            http=HttpConnection,
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: HttpConnection(config=config, server_state=state, app_state={}),
            sock=self._socket,
        )

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
        elif self._socket is not None:
            self._socket.close()
