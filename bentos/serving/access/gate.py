"""The gate in front of everything: a request gets in with a key that is good for its route.

Before the body is read, whatever the protocol. Without keys and without an issuer of tokens
there is no gate, and the service answers everyone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bentos.errors import ConfigurationError, Problem
from bentos.logs import LOGGER
from bentos.protocols.protocol import Need
from bentos.serving.access import scope
from bentos.serving.access.credentials import AUTHORIZATION, is_plain, read_credentials
from bentos.serving.access.grant import Grant, KeysNeeded
from bentos.serving.access.guessing import Guessing
from bentos.serving.access.key_ring import KeyRing
from bentos.serving.access.oidc import open_tokens
from bentos.serving.access.scope import REALM
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.http import Request
from bentos.settings import Settings

if TYPE_CHECKING:
    from bentos.serving.access.issuer import Issuer
    from bentos.serving.access.tokens import Tokens

_POLL_SECONDS = 1.0

# How long the answer to one failed attempt too many waits, and how many wait at a time.
_DELAY_SECONDS = 1.0
_MOST_DELAYED = 64


class Gate:
    """Lets the requests of one worker in. Only for the event loop's thread."""

    def __init__(
        self, metrics: Metrics, ring: KeyRing | None, tokens: tuple[Tokens, Issuer] | None
    ) -> None:
        self._metrics = metrics
        self._ring = ring
        self._tokens: Tokens | None = None
        self._issuer: Issuer | None = None
        if tokens is not None:
            self._tokens, self._issuer = tokens
        self._guessing = Guessing()
        self._delayed = 0
        self._watch: asyncio.Task[None] | None = None

    def enter(self, need: Need, request: Request) -> Awaitable[None] | None:
        """Let a request in, and name its client. Raises Problem where it may not.

        Where that takes time, it gives what to wait for, which may raise Problem.
        """
        if need == "none":
            return None
        grant: Grant | None = None
        if self._ring is not None and is_plain(request):
            grant = self._ring.find_again(request.headers.get(AUTHORIZATION, b""))
        if grant is None:
            text, header = read_credentials(request)
            if not text:
                detail = "send a key as Authorization: Bearer KEY, or as X-API-Key: KEY"
                raise _unauthorized(detail, REALM)
            if self._tokens is not None and text.count(b".") == 2:
                return self._enter_with_token(self._tokens, need, request, text)
            if self._ring is not None:
                grant = self._ring.find(text, header)
            if grant is None:
                return self._refuse(request)
        self._let_in(grant, need, request)
        return None

    def _let_in(self, grant: Grant, need: Need, request: Request) -> None:
        client = request.client = grant.client
        if grant.expires_at and grant.expires_at <= time.time():
            raise _unauthorized("the key has expired")
        request.needs = grant.needs
        scope.require(request, need)
        if client.is_limited:
            client.enter(request.timing.started)

    def _enter_with_token(
        self, tokens: Tokens, need: Need, request: Request, text: bytes
    ) -> Awaitable[None] | None:
        try:
            grant = tokens.find(text)
        except KeysNeeded:
            return self._enter_later(tokens, need, request, text)
        if grant is None:
            return self._refuse(request)
        self._let_in(grant, need, request)
        return None

    async def _enter_later(self, tokens: Tokens, need: Need, request: Request, text: bytes) -> None:
        if self._issuer is not None:
            await self._issuer.refresh()
        grant = None
        with suppress(KeysNeeded):
            grant = tokens.find(text)
        if grant is not None:
            self._let_in(grant, need, request)
        elif (delay := self._refuse(request)) is not None:
            await delay

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
        self._show()

    def start(self) -> None:
        """Look for changes of the keys file from now on, and fetch the issuer's keys."""
        self._watch = asyncio.create_task(self._look())
        if self._issuer is not None:
            self._issuer.start()

    def stop(self) -> None:
        """Look no more."""
        if self._watch is not None:
            self._watch.cancel()
        if self._issuer is not None:
            self._issuer.stop()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if self._ring is not None:
                try:
                    # In a thread: a network file system may hang.
                    await asyncio.to_thread(self._ring.read_again)
                except Exception as error:
                    LOGGER.error("the keys file cannot be looked at", exc_info=error)
            self._show()

    def _show(self) -> None:
        keys, expiry, is_stale = 0, 0.0, False
        if self._ring is not None:
            self._ring.report()
            keys, expiry = len(self._ring), self._ring.next_expiry
            is_stale = self._ring.is_stale
        is_down = self._issuer is not None and self._issuer.is_down
        self._metrics.show_access(keys, expiry, is_stale=is_stale, is_issuer_down=is_down)


def open_gate(settings: Settings, metrics: Metrics) -> Gate | None:
    """Make the gate that the settings ask for; None where everyone is answered.

    Raises ConfigurationError where keys are required and there are none, and where the keys
    file or the issuer cannot be used.
    """
    ring = KeyRing(Path(settings.keys_file)) if settings.keys_file else None
    tokens = open_tokens(settings)
    if ring is not None or tokens is not None:
        return Gate(metrics, ring, tokens)
    if settings.require_keys:
        raise ConfigurationError(
            "TABSERVE_REQUIRE_KEYS is set, and there are no keys: set TABSERVE_KEYS_FILE "
            "(`tabserve keys create` makes one) or TABSERVE_OIDC_ISSUER"
        )
    return None


def announce_open(metrics: Metrics) -> None:
    """Say in log and metrics that there is no gate."""
    LOGGER.warning("everyone is answered: TABSERVE_KEYS_FILE names no file of keys")
    metrics.show_access_open()


def _unauthorized(detail: str, challenge: str = f'{REALM}, error="invalid_token"') -> Problem:
    return Problem("unauthorized", detail, headers={"WWW-Authenticate": challenge})
