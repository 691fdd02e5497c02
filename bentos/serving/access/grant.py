"""What a key or a token gives: a client, and the routes that are open to it."""

from __future__ import annotations

from collections.abc import Iterable

from bentos.protocols.protocol import Need, Scope
from bentos.serving.access.limits import LimitedClient


class KeysNeeded(Exception):
    """A token is signed with a key that its issuer may have, and that was not fetched yet."""


class Grant:
    """`expires_at`: seconds since 1970, 0 for never."""

    __slots__ = ("client", "expires_at", "needs")

    def __init__(self, client: LimitedClient, scopes: Iterable[Scope], expires_at: float) -> None:
        self.client = client
        self.needs: frozenset[Need] = frozenset((*scopes, "any"))
        self.expires_at = expires_at
