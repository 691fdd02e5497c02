"""The body of a request: read whole, within the limits of one request and of the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bentos.errors import Problem
from bentos.protocols import media_type
from bentos.protocols.formats import negotiation
from bentos.serving import gzip
from bentos.serving.connections.run import in_task
from bentos.serving.http import ClientGone, Message, Request


class BodyBudget:
    """How many bytes of bodies one worker may hold at a time, all requests together.

    Bodies that came in one piece are not counted: the server's own buffers bound them.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = self._left = max_bytes

    @property
    def held_bytes(self) -> int:
        """What all requests hold together at this moment."""
        return self._max_bytes - self._left

    def take(self, request: Request, size: int) -> None:
        """Count bytes in. Raises Problem where the budget does not last."""
        request.held += size
        self._left -= size
        if self._left < 0:
            raise Problem(
                "overloaded",
                "this worker holds as many bytes of bodies as it may: try again later",
                headers={"Retry-After": "1", "Connection": "close"},
                shed="memory",
            )

    def give_back(self, request: Request) -> None:
        """Count a request's bytes out."""
        self._left += request.held
        request.held = 0


class BodyReader:
    """Reads the bodies of one worker's requests within its settings' limits."""

    def __init__(self, max_bytes: int, timeout_seconds: float, budget: BodyBudget) -> None:
        self._max_bytes = max_bytes
        self._timeout_seconds = timeout_seconds
        self._budget = budget

    async def read(self, request: Request, media_types: Sequence[bytes]) -> bytes:
        """Read a body of one of `media_types` whole, unpacked if it came as gzip.

        Raises Problem for another media type, charset or encoding, for a body that is too
        large (packed or unpacked) or takes too long to arrive; ClientGone where the client
        left. What it counts into the budget, `give_back` counts out.
        """
        max_bytes = self._max_bytes
        given = request.headers.get(b"content-type", b"")
        # As most clients write it: nothing to look at more closely.
        if given not in media_types:
            given, parameters = media_type.parse(given)
            if given not in media_types or not negotiation.is_plain(parameters):
                raise _unsupported(media_types)
        request.media_type = given
        encoding = _encoding(request)
        if request.announced_bytes > max_bytes:
            raise too_large(max_bytes)
        message = await request.receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body") or message["type"] == "http.disconnect":
            body = await self._read_rest(request, message)
        if len(body) > max_bytes:
            raise too_large(max_bytes)
        if encoding == b"gzip":
            body = gzip.decompress(body, max_bytes)
            self._budget.take(request, len(body))
        return body

    def open_encoding(self, request: Request) -> gzip.Unpacker | None:
        """What unpacks a body as it arrives; None where it comes as it is. Raises Problem."""
        return gzip.Unpacker() if _encoding(request) == b"gzip" else None

    def hold(self, request: Request, size: int) -> None:
        """Count a request with so many bytes from now on. Raises Problem."""
        self._budget.take(request, size - request.held)

    def give_back(self, request: Request) -> None:
        """Count out what an answered request's body took of the worker's budget."""
        self._budget.give_back(request)

    async def _read_rest(self, request: Request, message: Message) -> bytes:
        await in_task()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._read_parts(request, message)
        except TimeoutError:
            # What is still to come of the body must not be taken for a next request.
            raise Problem(
                "request-timeout",
                f"the body must arrive within {self._timeout_seconds:g} seconds",
                headers={"Connection": "close"},
            ) from None

    async def _read_parts(self, request: Request, message: Message) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_bytes:
                raise too_large(self._max_bytes)
            self._budget.take(request, len(parts[-1]))
            if not message.get("more_body"):
                return b"".join(parts)
            message = await request.receive()


def _encoding(request: Request) -> bytes:
    encoding = request.headers.get(b"content-encoding")
    if encoding is None:
        return b"identity"
    encoding = encoding.strip().lower()
    if encoding not in (b"identity", b"gzip"):
        raise Problem(
            "unsupported-media-type",
            "send the body as it is, or compressed with gzip",
            headers={"Accept-Encoding": "gzip, identity"},
        )
    return encoding


def _unsupported(media_types: Sequence[bytes]) -> Problem:
    accepted = [one.decode() for one in media_types if one]
    return Problem(
        "unsupported-media-type",
        f"send the body as {' or '.join(accepted)}, in UTF-8",
        headers={"Accept": ", ".join(accepted)},
    )


def too_large(limit: int) -> Problem:
    """Make the problem of a body beyond the limit."""
    # The rest of the body is not read, so the connection cannot be used again.
    return Problem(
        "too-large", f"the body may have at most {limit} bytes", headers={"Connection": "close"}
    )
