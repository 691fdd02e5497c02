"""An ASGI callable that does nothing: what uvicorn itself costs, and the most it can answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

# As long as one real answer, so that the same number of bytes goes back.
_BODY = b'{"score":0.12345678901234567,"label":0,"padding":"' + b"." * 110 + b'"}'
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))],
}
_END = {"type": "http.response.body", "body": _BODY}

Event = MutableMapping[str, Any]


async def app(
    scope: Event, receive: Callable[[], Awaitable[Event]], send: Callable[[Event], Awaitable[None]]
) -> None:
    """Answer every request alike."""
    if scope["type"] == "http":
        await send(_START)
        await send(_END)
        return
    while scope["type"] == "lifespan":
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
