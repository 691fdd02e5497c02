"""What a request brings to show who sends it: one key or token, in one place."""

from __future__ import annotations

from bentos.errors import Problem
from bentos.serving.http import Request

_AUTHORIZATION = b"authorization"
_API_KEY = b"x-api-key"


def read_credentials(request: Request) -> bytes | None:
    """Read the key or token of a request; None where there is none.

    Raises Problem for a header that came twice, and for two keys: which of them counts would
    be a guess, and a proxy in front may have guessed otherwise (RFC 6750, section 2).
    """
    headers = request.headers
    value = headers.get(_AUTHORIZATION)
    own = headers.get(_API_KEY)
    if value is None and own is None:
        return None
    # The dictionary keeps one of two equal headers.
    if len(headers) != len(request.scope["headers"]):
        _require_once(request)
    if value is not None and value[:7].lower() == b"bearer ":
        if own is not None:
            raise Problem("bad-header", "send the key as Authorization or as X-API-Key, not both")
        return value[7:].strip(b" ")
    # Another scheme may be meant for a proxy in front.
    return own


def _require_once(request: Request) -> None:
    names = [name for name, _ in request.scope["headers"]]
    for name, written in ((_AUTHORIZATION, "Authorization"), (_API_KEY, "X-API-Key")):
        if names.count(name) > 1:
            raise Problem("bad-header", f"{written} may be sent once")
