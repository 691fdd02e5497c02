"""Bearer tokens of an OIDC issuer: verified once, and known again until they expire.

joserfc verifies: the algorithms are those of the settings, all asymmetric, and each key is of a
type of its own, so that no token is checked with a public key as if it were a shared secret.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, TypeGuard, get_args

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jws import extract_compact
from joserfc.jwt import JWTClaimsRegistry

from bentos.errors import Problem
from bentos.protocols.protocol import Scope
from bentos.serving.access.grant import Grant, KeysNeeded
from bentos.serving.access.issuer import Issuer
from bentos.serving.access.keys import KeyLimits
from bentos.serving.access.limits import LimitedClient

# Clocks of issuer and service may differ so much.
_LEEWAY_SECONDS = 60
_MOST_BYTES = 8192
_MOST_TOKENS = 4096
_MOST_CLIENTS = 4096
_MOST_CHARACTERS = 128
# One label for all: who a token is about may be a person.
_LABEL = "oidc"


class TokenRules(msgspec.Struct, frozen=True):
    """What a token must say. `scopes_claim`: dots lead into objects."""

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    scopes_claim: str
    scope_prefix: str
    client_claim: str
    limits: KeyLimits


class Tokens:
    """The tokens of one worker. Only for the event loop's thread."""

    def __init__(self, rules: TokenRules, issuer: Issuer) -> None:
        self._rules = rules
        self._issuer = issuer
        self._known: OrderedDict[bytes, Grant] = OrderedDict()
        self._clients: OrderedDict[str, LimitedClient] = OrderedDict()
        self._version = issuer.version
        self._claims = JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": rules.issuer},
            aud={"essential": True, "value": rules.audience},
            exp={"essential": True},
        )

    def find(self, text: bytes) -> Grant | None:
        """The grant of a token; None where it is not good.

        Raises KeysNeeded where a fetch of the issuer's keys may make it good, and Problem where
        there are no keys to verify it with.
        """
        if not self._issuer.has_keys:
            if self._issuer.may_refresh:
                raise KeysNeeded
            detail = "the token cannot be verified at the moment: try again later"
            raise Problem("issuer-down", detail, headers={"Retry-After": "10"})
        if self._version != self._issuer.version:
            self._version = self._issuer.version
            self._known.clear()
        if len(text) > _MOST_BYTES:
            return None
        place = hashlib.sha256(text).digest()
        grant = self._known.get(place)
        if grant is None:
            grant = self._verify(text)
            if grant is not None:
                self._known[place] = grant
                if len(self._known) > _MOST_TOKENS:
                    self._known.popitem(last=False)
        return grant

    def _verify(self, text: bytes) -> Grant | None:
        try:
            header = extract_compact(text).headers()
            if header.get("alg") not in self._rules.algorithms:
                return None
            key = self._issuer.find(header.get("kid"))
            if key is None:
                if self._issuer.may_refresh:
                    raise KeysNeeded
                return None
            claims = jwt.decode(text, key, algorithms=list(self._rules.algorithms)).claims
            self._claims.validate(claims)
        except (JoseError, ValueError, TypeError, RecursionError, OverflowError):
            return None
        return self._grant(claims)

    def _grant(self, claims: Mapping[str, Any]) -> Grant | None:
        expires = float(claims["exp"]) + _LEEWAY_SECONDS
        name = claims.get(self._rules.client_claim)
        if not isfinite(expires) or not is_client(name):
            return None
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = LimitedClient(name, _LABEL, self._rules.limits)
            if len(self._clients) > _MOST_CLIENTS:
                self._clients.popitem(last=False)
        self._clients.move_to_end(name)
        return Grant(client, self._scopes(claims), expires)

    def _scopes(self, claims: Mapping[str, Any]) -> Iterator[Scope]:
        found: object = claims
        for name in self._rules.scopes_claim.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        given = found.split(" ") if isinstance(found, str) else found
        if isinstance(given, list):
            known: tuple[Scope, ...] = get_args(Scope)
            for scope in known:
                if self._rules.scope_prefix + scope in given:
                    yield scope


def is_client(name: object) -> TypeGuard[str]:
    """Whether a claim can name a client in logs: visible ASCII, not too long."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= _MOST_CHARACTERS
        and all("!" <= character <= "~" for character in name)
    )
