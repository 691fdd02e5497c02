"""What the key of a request is good for."""

from __future__ import annotations

from bentos.errors import Problem
from bentos.protocols.protocol import Need
from bentos.serving.http import Request

REALM = 'Bearer realm="tabserve"'


def require(request: Request, need: Need) -> None:
    """Raise Problem where the key of a request is not good for something.

    Where no key is asked for, everything is open.
    """
    if request.needs is not None and need not in request.needs:
        challenge = f'{REALM}, error="insufficient_scope", scope="{need}"'
        raise Problem(
            "forbidden",
            f"this needs a key with the scope {need}",
            headers={"WWW-Authenticate": challenge},
        )
