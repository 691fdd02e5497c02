"""What a request brings to show who sends it: one key or token, in one place."""

from __future__ import annotations

from bentos.errors import Problem
from bentos.serving.http import Request

AUTHORIZATION = b"authorization"
_API_KEY = b"x-api-key"


def is_plain(request: Request) -> bool:
    """Whether Authorization, if it is there, is the only place that may hold a key, and once."""
    # The dictionary keeps one of two equal headers.
    return _API_KEY not in request.headers and len(request.headers) == len(request.scope["headers"])


def read_credentials(request: Request) -> tuple[bytes, bytes]:
    """Read the key or token of a request, and the Authorization header if it stands there.

    Both are empty where the request has none. Raises Problem for a header that came twice, and
    for two keys: which of them counts would be a guess, and a proxy in front may have guessed
    otherwise (RFC 6750, section 2).
    """
    value = request.headers.get(AUTHORIZATION, b"")
    own = request.headers.get(_API_KEY)
    if not is_plain(request):
        _require_once(request)
    if value[:7].lower() == b"bearer ":
        if own is not None:
            raise Problem("bad-header", "send the key as Authorization or as X-API-Key, not both")
        return value[7:].strip(b" "), value
    # Another scheme may be meant for a proxy in front.
    return own or b"", b""


def _require_once(request: Request) -> None:
    names = [name for name, _ in request.scope["headers"]]
    for name, written in ((AUTHORIZATION, "Authorization"), (_API_KEY, "X-API-Key")):
        if names.count(name) > 1:
            raise Problem("bad-header", f"{written} may be sent once")
