"""One HTTP request over ASGI: its head, read strictly, and the times of its stages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl

from bentos.errors import Problem
from bentos.ids import new_id
from bentos.protocols.protocol import Need, Reply

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TEXT = b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"

# Clients may bring their own id; anything but these characters could forge a log line.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


# Visible characters only: two spellings of one subject would become two tokens.
_SUBJECT = re.compile(rb"[!-~](?:[ -~]{0,254}[!-~])?")


_NONE: Mapping[str, str] = {}


class Timing:
    """When the stages of one request ended, in seconds of the performance counter."""

    __slots__ = ("decoded", "dispatched", "scored", "started")

    def __init__(self) -> None:
        self.started = perf_counter()
        self.decoded = self.dispatched = self.scored = 0.0

    def restart(self) -> Timing:
        """Give one of the same start and no stage: a thread may still write into this one."""
        timing = Timing()
        timing.started = self.started
        return timing

    def stages(self, now: float) -> tuple[float, float, float, float]:
        """Seconds of decode, queue, predict and encode, which ends now."""
        return (
            self.decoded - self.started,
            self.dispatched - self.decoded,
            self.scored - self.dispatched,
            now - self.scored,
        )

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


class Client:
    """Who sends a request, as far as that is known: this one is anyone, and has no limits.

    `name`: of the key, None for anyone. `label`: the same from a closed set, for metrics.
    `is_limited`: whether the methods do anything.
    """

    __slots__ = ("is_limited", "label", "name")

    def __init__(self, name: str | None = None, label: str = "anonymous") -> None:
        self.name = name
        self.label = label
        self.is_limited = False

    def charge(self, rows: int, now: float) -> None:
        """Count rows against what the client may send. Raises Problem."""

    def charge_in_thread(self, rows: int, now: float) -> None:
        """The same, from any thread but the event loop's."""

    def leave(self) -> None:
        """Count one of its requests out."""

    def write_limits(self, now: float) -> Sequence[tuple[bytes, bytes]]:
        """Headers of an answer that say how much of its limits is left."""
        return ()


ANYONE = Client()


class Request:
    """One HTTP request: its headers, and its body once read."""

    __slots__ = (
        *("client", "headers", "held", "id", "media_type", "needs", "parameters"),
        *("problem", "receive", "route", "rows", "scope", "timing"),
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.receive = receive
        self.timing = Timing()
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id")
        self.id = given.decode() if given and _REQUEST_ID.fullmatch(given) else new_id()
        # What stands in the places of the route's path template.
        self.parameters: Mapping[str, str] = _NONE
        # In lower case, without parameters; known once the body is read.
        self.media_type = b""
        self.rows = 0
        # The label of its metrics, where that is not the route that it came by.
        self.route: str | None = None
        # The kind of problem that answers it; none for a success.
        self.problem: str | None = None
        # Bytes of its body that count against the worker's budget.
        self.held = 0
        self.client = ANYONE
        # What its key is good for; None where no key is asked for.
        self.needs: frozenset[Need] | None = None

    @property
    def announced_bytes(self) -> int:
        """The number in Content-Length; 0 where there is none."""
        announced = self.headers.get(b"content-length")
        return int(announced[:20]) if announced is not None and announced.isdigit() else 0


class Streamed:
    """An answer that is sent as it is made.

    `pieces`: of its body; raises Problem where no more can come. `close`: ends what makes
    them, in any case.
    """

    __slots__ = ("close", "headers", "media_type", "pieces")

    def __init__(
        self,
        media_type: bytes,
        headers: Mapping[str, str],
        pieces: AsyncIterator[bytes],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self.media_type = media_type
        self.headers = headers
        self.pieces = pieces
        self.close = close


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


Handler = Callable[[Request], Awaitable[Reply]]


def read_subject(request: Request) -> str | None:
    """Read the subject of a prediction from the header `X-Subject`. Raises Problem."""
    given = request.headers.get(b"x-subject")
    if given is None:
        return None
    # The dictionary keeps one of two equal headers: using it would be a guess at the subject.
    count = sum(name == b"x-subject" for name, _ in request.scope["headers"])
    if count > 1:
        raise Problem("bad-header", "X-Subject may be sent once")
    if not _SUBJECT.fullmatch(given):
        raise Problem("bad-header", "X-Subject must have 1 to 256 visible ASCII characters")
    return given.decode()


def read_query(request: Request, known: Mapping[str, tuple[str, ...]] | None) -> Mapping[str, str]:
    """Read the query string; `known` gives the values of each parameter. Raises Problem.

    None reads nothing, and lets anything pass.
    """
    raw = request.scope["query_string"]
    if not raw or known is None:
        return _NONE
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
