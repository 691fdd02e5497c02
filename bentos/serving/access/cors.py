"""Which pages of other origins a browser may let ask: none, unless the settings list them."""

from __future__ import annotations

from collections.abc import Sequence

from bentos.protocols.protocol import Reply
from bentos.serving.http import Request

# What a page may read of an answer, besides its body.
_READABLE = b"ratelimit, ratelimit-policy, retry-after, server-timing, x-request-id"
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    "Access-Control-Allow-Headers": (
        "authorization, content-encoding, content-type, x-api-key, x-request-id, x-subject"
    ),
    # Browsers keep it for two hours at most.
    "Access-Control-Max-Age": "600",
}


class Cors:
    """The origins that may ask. No cookie is ever asked for, so none is allowed either."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def is_preflight(self, request: Request) -> bool:
        """Whether a browser asks for leave, for a page that may have it."""
        headers = request.headers
        return (
            request.scope["method"] == "OPTIONS"
            and b"access-control-request-method" in headers
            and headers.get(b"origin") in self._origins
        )

    def write(self, request: Request) -> Sequence[tuple[bytes, bytes]]:
        """Headers of an answer: who may read it, if who asked may."""
        origin = request.headers.get(b"origin", b"")
        if origin not in self._origins:
            return ((b"vary", b"origin"),)
        return (
            (b"vary", b"origin"),
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _READABLE),
        )


async def give_leave(request: Request) -> Reply:
    """Answer a preflight of a page that may ask."""
    return Reply(b"", b"text/plain", headers=_PREFLIGHT)
