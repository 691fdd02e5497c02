"""The gate in front of everything: a request gets in with a key that is good for its route.

Before the body is read, whatever the protocol. Without keys and without an issuer of tokens
there is no gate, and the service answers everyone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path

from bentos.errors import ConfigurationError, Problem
from bentos.logs import LOGGER
from bentos.protocols.protocol import Need
from bentos.serving.access.credentials import AUTHORIZATION, is_plain, read_credentials
from bentos.serving.access.guessing import Guessing
from bentos.serving.access.key_ring import KeyRing, KnownClient
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.http import Request
from bentos.settings import Settings

_POLL_SECONDS = 1.0

# How long the answer to one failed attempt too many waits, and how many wait at a time.
_DELAY_SECONDS = 1.0
_MOST_DELAYED = 64

_REALM = 'Bearer realm="tabserve"'


class Gate:
    """Lets the requests of one worker in. Only for the event loop's thread."""

    def __init__(self, ring: KeyRing, metrics: Metrics) -> None:
        self._ring = ring
        self._metrics = metrics
        self._guessing = Guessing()
        self._delayed = 0
        self._watch: asyncio.Task[None] | None = None

    def enter(self, need: Need, request: Request) -> Awaitable[None] | None:
        """Let a request in, and name its client. Raises Problem where it may not.

        Where the refusal takes time, it gives what to wait for, which raises Problem.
        """
        if need == "none":
            return None
        client = self._ring.find_again(request.headers.get(AUTHORIZATION, b""))
        if client is None or not is_plain(request):
            client = self._find(request)
            if client is None:
                return self._refuse(request)
        request.client = client
        if client.expires_at and client.expires_at <= time.time():
            raise _unauthorized("the key has expired")
        if need not in client.needs:
            raise _forbidden(need)
        if client.is_limited:
            client.enter(request.timing.started)
        return None

    def _find(self, request: Request) -> KnownClient | None:
        text, header = read_credentials(request)
        if not text:
            detail = "send a key as Authorization: Bearer KEY, or as X-API-Key: KEY"
            raise _unauthorized(detail, _REALM)
        return self._ring.find(text, header)

    def _refuse(self, request: Request) -> Awaitable[None]:
        peer = request.scope.get("client")
        is_often = self._guessing.count(peer[0] if peer else "")
        problem = _unauthorized("the key is not known")
        if not is_often:
            raise problem
        # A new connection for the next attempt, too.
        problem.headers["Connection"] = "close"
        if self._delayed >= _MOST_DELAYED:
            raise problem
        return self._refuse_late(problem)

    async def _refuse_late(self, problem: Problem) -> None:
        self._delayed += 1
        try:
            await asyncio.sleep(_DELAY_SECONDS)
        finally:
            self._delayed -= 1
        raise problem

    def announce(self) -> None:
        """Say in log and metrics how the keys are."""
        self._ring.report()
        self._show()

    def start(self) -> None:
        """Look for changes of the keys file from now on."""
        self._watch = asyncio.create_task(self._look())

    def stop(self) -> None:
        """Look no more."""
        if self._watch is not None:
            self._watch.cancel()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            try:
                # In a thread: a network file system may hang.
                await asyncio.to_thread(self._ring.read_again)
            except Exception as error:
                LOGGER.error("the keys file cannot be looked at", exc_info=error)
            self._ring.report()
            self._show()

    def _show(self) -> None:
        self._metrics.show_access(len(self._ring), is_stale=self._ring.is_stale)


def open_gate(settings: Settings, metrics: Metrics) -> Gate | None:
    """Make the gate that the settings ask for; None where everyone is answered.

    Raises ConfigurationError where keys are required and there are none, and where the keys
    file cannot be used.
    """
    if settings.keys_file:
        return Gate(KeyRing(Path(settings.keys_file)), metrics)
    if settings.require_keys:
        raise ConfigurationError(
            "TABSERVE_REQUIRE_KEYS is set, and there are no keys: set TABSERVE_KEYS_FILE "
            "(`tabserve keys create` makes one)"
        )
    return None


def announce_open(metrics: Metrics) -> None:
    """Say in log and metrics that there is no gate."""
    LOGGER.warning("everyone is answered: TABSERVE_KEYS_FILE names no file of keys")
    metrics.show_access_open()


def _unauthorized(detail: str, challenge: str = f'{_REALM}, error="invalid_token"') -> Problem:
    return Problem("unauthorized", detail, headers={"WWW-Authenticate": challenge})


def _forbidden(scope: str) -> Problem:
    challenge = f'{_REALM}, error="insufficient_scope", scope="{scope}"'
    return Problem(
        "forbidden",
        f"this route needs a key with the scope {scope}",
        headers={"WWW-Authenticate": challenge},
    )
