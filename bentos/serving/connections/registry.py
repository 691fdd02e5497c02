"""Which connections one worker has open: how many it may have, and how long each may take.

Near the limit the connection that has waited longest is closed for a new one. Where all are
at work, a few more are let in, and only health and metrics are answered on them.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import time
from contextlib import suppress
from typing import Protocol

from bentos.errors import ClosedReason
from bentos.logs import LOGGER
from bentos.serving.connections.certificate import Certificate
from bentos.serving.connections.run import Runs
from bentos.serving.exposition.metrics import Metrics
from bentos.settings import Settings

# Probes and scrapes come one at a time from few machines.
HEALTH_CONNECTIONS = 8
HEALTH_PATHS = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})

# Descriptors for what is not a client: the store's connections, files of the spool, a proof.
_SPARE_DESCRIPTORS = 16

# More than a worker has open without its clients: about 40.
_MANY_DESCRIPTORS = 512

_LOOK_SECONDS = 0.5
# A line for each event would fill the log while someone attacks.
_LINE_SECONDS = 60.0


class Connection(Protocol):
    """What the registry asks of a connection."""

    def look(self, now: float) -> None:
        """End the connection where it takes too long."""

    def evict(self) -> None:
        """End the connection, which waits for a request."""


class Connections:
    """The open connections of one worker. Only for the event loop's thread.

    `waiting`: those without a request to answer, those that have waited longest first.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.max_head_bytes = settings.max_head_bytes
        self.head_seconds = settings.head_timeout_seconds
        self.idle_seconds = settings.idle_timeout_seconds
        self.body_seconds = settings.timeout_seconds
        self._most = settings.max_connections
        self._metrics = metrics
        self._open: set[Connection] = set()
        self.waiting: dict[Connection, None] = {}
        self.runs = Runs()
        self._limit = self._most
        self._timer: asyncio.TimerHandle | None = None
        self._said: dict[str, float] = {}
        self.certificate = Certificate()

    def start(self) -> None:
        """Find how many connections there may be, and look after them from now on."""
        _raise_soft_limit(self._most)
        self._set_limit()
        self._look_later()

    def stop(self) -> None:
        """Look after them no more."""
        if self._timer is not None:
            self._timer.cancel()

    def enter(self, connection: Connection) -> bool | None:
        """Count a new connection in; its place in `waiting` is its own to take.

        True where there is room; False where only health may be answered on it; None where it
        must be closed.
        """
        if len(self._open) >= self._limit:
            self._evict()
        is_roomy = len(self._open) < self._limit
        if len(self._open) >= self._limit + HEALTH_CONNECTIONS:
            self.count("full")
            self._say("all connections are at work: new ones are closed at once")
            return None
        self._open.add(connection)
        self._metrics.connections_now = len(self._open)
        return is_roomy

    def leave(self, connection: Connection) -> None:
        """Count a connection out."""
        self._open.discard(connection)
        self.waiting.pop(connection, None)
        self._metrics.connections_now = len(self._open)

    def count(self, reason: ClosedReason) -> None:
        """Count a connection that is closed, by reason."""
        self._metrics.observe_closed(reason)

    def _evict(self) -> bool:
        oldest = next(iter(self.waiting), None)
        if oldest is None:
            self._say("all connections are at work: only health and metrics are answered on more")
            return False
        self._say("connections are at their limit: the longest idle is closed for each new one")
        self.leave(oldest)
        oldest.evict()
        self.count("evicted")
        return True

    def _set_limit(self) -> None:
        limit = self._most
        try:
            os.close(os.dup(0))
            limit = min(limit, self._count_free())
        except OSError as error:
            if error.errno == errno.EMFILE:
                limit = len(self._open) - 2 * HEALTH_CONNECTIONS
                self._say("no file descriptor is left: idle connections are closed")
        self._limit = max(1, limit)
        self._metrics.connections_limit_now = self._limit

    def _count_free(self) -> int:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        # There may be thousands of descriptors to count: only where they may run out.
        if soft == resource.RLIM_INFINITY or soft > self._most + _MANY_DESCRIPTORS:
            return self._most
        own = len(os.listdir("/proc/self/fd")) - len(self._open)  # noqa: PTH208 - no path object for each descriptor
        return soft - own - _SPARE_DESCRIPTORS - HEALTH_CONNECTIONS

    def _look(self) -> None:
        now = time.monotonic()
        for connection in tuple(self._open):
            connection.look(now)
        self._set_limit()
        while len(self._open) > self._limit and self._evict():
            pass
        self._look_later()

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _say(self, message: str) -> None:
        now = time.monotonic()
        if now - self._said.get(message, -_LINE_SECONDS) >= _LINE_SECONDS:
            self._said[message] = now
            fields = {"open": len(self._open), "limit": self._limit}
            LOGGER.warning(message, extra={"fields": fields})


def _raise_soft_limit(connections: int) -> None:
    # As much as the administrator allows: many systems start a process with 1,024.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 1024
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
