"""One HTTP exchange over ASGI: reading a request strictly, and what goes back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl

from bentos.errors import Problem
from bentos.ids import new_id
from bentos.serving import gzip

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
PROBLEM = b"application/problem+json"
TEXT = b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"

# Clients may bring their own id; anything but these characters could forge a log line.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


# Visible characters: the token of another spelling would be another person.
_SUBJECT = re.compile(rb"[!-~](?:[ -~]{0,254}[!-~])?")


class Timing:
    """When the stages of one request ended, in seconds of the performance counter."""

    __slots__ = ("decoded", "dispatched", "scored", "started")

    def __init__(self) -> None:
        self.started = perf_counter()
        self.decoded = self.dispatched = self.scored = 0.0

    def header(self, now: float) -> bytes:
        """The `Server-Timing` header, durations in milliseconds."""
        if not self.scored:
            return b"total;dur=%.3f" % ((now - self.started) * 1e3)
        return b"decode;dur=%.3f, queue;dur=%.3f, predict;dur=%.3f, total;dur=%.3f" % (
            (self.decoded - self.started) * 1e3,
            (self.dispatched - self.decoded) * 1e3,
            (self.scored - self.dispatched) * 1e3,
            (now - self.started) * 1e3,
        )


class Request:
    """One HTTP request: its headers, and its body once read."""

    __slots__ = ("headers", "held", "id", "receive", "rows", "scope", "timing")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.timing = Timing()
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id", b"")
        self.id = given.decode() if _REQUEST_ID.fullmatch(given) else new_id()
        self.rows = 0
        # Bytes of its body that count against the worker's budget.
        self.held = 0

    @property
    def announced_bytes(self) -> int:
        """What Content-Length says; 0 where it says nothing that is a number."""
        announced = self.headers.get(b"content-length", b"0")
        return int(announced[:20]) if announced.isdigit() else 0


class Reply:
    """What goes back: status, body, media type and headers of its own."""

    __slots__ = ("body", "headers", "media_type", "status")

    def __init__(
        self,
        body: bytes,
        media_type: bytes = JSON,
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.body = body
        self.media_type = media_type
        self.status = status
        self.headers = headers


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


Handler = Callable[[Request], Awaitable[Reply]]


class BodyBudget:
    """How many bytes of bodies one worker may hold at a time, all requests together.

    Bodies that came in one piece are not counted: the server's own buffers bound them.
    """

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes

    def take(self, request: Request, size: int) -> None:
        """Count bytes in. Raises Problem where the budget does not last."""
        request.held += size
        self._left -= size
        if self._left < 0:
            raise Problem(
                "overloaded",
                "this worker holds as many bytes of bodies as it may: try again later",
                headers={"Retry-After": "1", "Connection": "close"},
            )

    def give_back(self, request: Request) -> None:
        """Count a request's bytes out."""
        self._left += request.held
        request.held = 0


async def read_body(
    request: Request, max_bytes: int, timeout_seconds: float, budget: BodyBudget
) -> bytes:
    """Read a JSON body whole, unpacked if it came as gzip.

    Raises Problem for another media type, charset or encoding, for more than `max_bytes`
    (packed or unpacked), and for a body that takes longer than `timeout_seconds`;
    ClientGone where the client left. What `budget` counts in, the caller gives back.
    """
    headers = request.headers
    media_type, _, parameters = headers.get(b"content-type", b"").lower().partition(b";")
    charset = parameters.strip().removeprefix(b"charset=").strip(b'"')
    if media_type.strip() != JSON or charset not in (b"", b"utf-8"):
        raise Problem(
            "unsupported-media-type",
            "send the body as application/json, in UTF-8",
            headers={"Accept": "application/json"},
        )
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b"gzip"):
        raise Problem(
            "unsupported-media-type",
            "send the body as it is, or compressed with gzip",
            headers={"Accept-Encoding": "gzip, identity"},
        )
    if request.announced_bytes > max_bytes:
        raise too_large(max_bytes)
    message = await request.receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body") or message["type"] == "http.disconnect":
        try:
            async with asyncio.timeout(timeout_seconds):
                body = await _rest_of_body(request, message, max_bytes, budget)
        except TimeoutError:
            # What is still to come of the body must not be taken for a next request.
            raise Problem(
                "request-timeout",
                f"the body must arrive within {timeout_seconds:g} seconds",
                headers={"Connection": "close"},
            ) from None
    if len(body) > max_bytes:
        raise too_large(max_bytes)
    if encoding == b"gzip":
        body = gzip.decompress(body, max_bytes)
        budget.take(request, len(body))
    return body


async def _rest_of_body(
    request: Request, message: Message, max_bytes: int, budget: BodyBudget
) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > max_bytes:
            raise too_large(max_bytes)
        budget.take(request, len(parts[-1]))
        if not message.get("more_body"):
            return b"".join(parts)
        message = await request.receive()


def read_subject(request: Request) -> str | None:
    """Read whom a prediction is about, from `X-Subject`. Raises Problem."""
    given = request.headers.get(b"x-subject")
    if given is None:
        return None
    # Of a header that came twice the dictionary has one: whom it is about would be a guess.
    count = sum(name == b"x-subject" for name, _ in request.scope["headers"])
    if count > 1:
        raise Problem("bad-header", "X-Subject may be sent once")
    if not _SUBJECT.fullmatch(given):
        raise Problem("bad-header", "X-Subject must have 1 to 256 visible ASCII characters")
    return given.decode()


def read_query(request: Request, known: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Read the query string; `known` gives the values of each parameter. Raises Problem."""
    raw = request.scope["query_string"]
    if not raw:
        return {}
    query: dict[str, str] = {}
    for number, (name, value) in enumerate(
        parse_qsl(raw.decode("latin-1"), keep_blank_values=True), start=1
    ):
        if name not in known or name in query:
            names = ", ".join(known) or "none"
            raise Problem(
                "bad-query", f"query parameter {number} is not known or repeated; known: {names}"
            )
        if value not in known[name]:
            raise Problem("bad-query", f"{name} must be one of: {', '.join(known[name])}")
        query[name] = value
    return query


def too_large(limit: int) -> Problem:
    """Make the problem of a body beyond the limit."""
    # The rest of the body is not read, so the connection cannot be used again.
    return Problem(
        "too-large", f"the body may have at most {limit} bytes", headers={"Connection": "close"}
    )
