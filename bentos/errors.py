"""Every error that tabserve raises on purpose.

TabserveError
├── ConfigurationError    a setting is unknown or malformed: the process must not start
├── IntakeError           a model cannot be served, and what to do about it
├── TrainingError         a model cannot be trained (bentos.training)
├── NotAdditive           an explanation is not one of its score (bentos.model.explanation)
├── Abandoned             nobody waits for an explanation any more (bentos.model.explanation)
├── LightGBMError         LightGBM's library is missing or refuses (bentos.model.engines.lightgbm)
├── IntegrityError        files of an imported model are not what was imported
├── StoreDown             the prediction log cannot be reached, or cannot work now
├── RowsRefused           the prediction log can never take a record
└── Problem               an answer to a client, RFC 9457

A problem never carries a value that the client sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Literal

import msgspec


class TabserveError(Exception):
    """Base of all."""


class ConfigurationError(TabserveError):
    """A setting is unknown or malformed."""


class IntakeError(TabserveError):
    """A model cannot be imported; the message says what to do about it."""


class IntegrityError(TabserveError):
    """An imported model's files changed; the message names the file."""


class StoreDown(TabserveError):
    """The prediction log cannot work at the moment; the same call may succeed later.

    The message says what failed, and holds neither a value nor a password.
    """


class StoreReadOnly(StoreDown):
    """The prediction log can be read and not be written: its role, file or mount is read-only."""


class RowsRefused(TabserveError):
    """The prediction log can never take at least one of the records of a write."""


FaultCode = Literal[
    "missing",
    "unknown_feature",
    "unknown_member",
    "unknown_class",
    "unknown_id",
    "not_yet",
    "too_many_changes",
    "duplicate_key",
    "wrong_type",
    "not_nullable",
    "not_finite",
    "out_of_bounds",
    "unknown_category",
    "not_scorable",
    "malformed",
    "too_deep",
    "too_many_rows",
    "empty_batch",
]


# Faults that one answer lists. Ten thousand rows may have a hundred thousand of them, and
# no reader gets that far; the total is still reported.
MAX_LISTED = 1000


class Fault(msgspec.Struct, frozen=True):
    """One thing wrong with a request.

    `pointer`: RFC 6901 pointer to the place, made of feature names and positions only.
    """

    pointer: str
    code: FaultCode
    detail: str


# Each kind of problem: status and title. The type is a URN: it identifies, it is not fetched.
PROBLEMS: dict[str, tuple[HTTPStatus, str]] = {
    "malformed": (HTTPStatus.BAD_REQUEST, "The body is not valid JSON"),
    "bad-query": (HTTPStatus.BAD_REQUEST, "The query string is not valid"),
    "bad-header": (HTTPStatus.BAD_REQUEST, "A header is not valid"),
    "unauthorized": (HTTPStatus.UNAUTHORIZED, "The request brings no valid key"),
    "forbidden": (HTTPStatus.FORBIDDEN, "The key does not have the scope of this route"),
    "rate-limited": (HTTPStatus.TOO_MANY_REQUESTS, "The client has used up what it may use"),
    "issuer-down": (HTTPStatus.SERVICE_UNAVAILABLE, "The issuer of tokens cannot be asked"),
    "bad-http": (HTTPStatus.BAD_REQUEST, "The request is not valid HTTP"),
    "not-found": (HTTPStatus.NOT_FOUND, "There is no such route"),
    "method-not-allowed": (HTTPStatus.METHOD_NOT_ALLOWED, "The route does not take this method"),
    "too-large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large"),
    "unsupported-media-type": (
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "The body has a type or an encoding that this route does not read",
    ),
    "not-acceptable": (
        HTTPStatus.NOT_ACCEPTABLE,
        "The route has no answer in a form that the client accepts",
    ),
    "invalid-features": (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The features do not meet the model's contract",
    ),
    "invalid-outcome": (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The outcome is not one that can be recorded",
    ),
    "unknown-prediction": (HTTPStatus.NOT_FOUND, "The log has no such prediction"),
    "not-yet-logged": (HTTPStatus.SERVICE_UNAVAILABLE, "The prediction is not in the log yet"),
    "no-log": (HTTPStatus.NOT_FOUND, "This service keeps no prediction log"),
    "log-down": (HTTPStatus.SERVICE_UNAVAILABLE, "The prediction log cannot be reached"),
    "request-timeout": (HTTPStatus.REQUEST_TIMEOUT, "The request took too long to arrive"),
    "head-too-large": (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The target and headers of the request are too large",
    ),
    "overloaded": (HTTPStatus.SERVICE_UNAVAILABLE, "The server has too much work at the moment"),
    # No 5xx: the server is well, and would count as failing by what one client asks.
    "not-explainable": (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The scores of this model cannot be explained",
    ),
    "wrong-explanation": (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The explanation is not one of the score",
    ),
    "not-ready": (HTTPStatus.SERVICE_UNAVAILABLE, "The server has no model that it may serve"),
    "timeout": (HTTPStatus.GATEWAY_TIMEOUT, "The answer took too long"),
    "internal": (HTTPStatus.INTERNAL_SERVER_ERROR, "The server made a mistake"),
}


# What ran out where a request is refused to protect the others.
ShedReason = Literal["concurrency", "wait", "memory", "large", "explanations"]


# Why a connection was closed on its client: for the sake of others, or of what came on it.
ClosedReason = Literal[
    "evicted", "full", "slow_head", "slow_body", "slow_reader", "large_head", "bad_http"
]


class Problem(TabserveError):
    """An error that is answered to a client, raised where it is found.

    `kind`: a key of `PROBLEMS`. `faults`: what is wrong with the request, by place. `headers`:
    of the answer. `shed`: what ran out, where the request is refused to protect the others.
    `rows`: how many rows it refuses that nothing else counts.
    The protocol of the request decides what the answer looks like.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        shed: ShedReason | None = None,
        rows: int = 0,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status, self.title = PROBLEMS[kind]
        self.detail = detail
        self.faults = tuple(faults)
        self.headers = dict(headers or {})
        self.shed = shed
        self.rows = rows

    def in_place(self) -> dict[str, object]:
        """Make what stands in the place of one item of a list."""
        error: dict[str, object] = {"code": self.kind, "detail": self.detail}
        return {**error, "errors": self.faults} if self.faults else error

    def document(self, request_id: str) -> dict[str, object]:
        """Make the members of an RFC 9457 problem document."""
        return {
            "type": f"urn:tabserve:problem:{self.kind}",
            "title": self.title,
            "status": int(self.status),
            "detail": self.detail,
            "request_id": request_id,
            "errors": [msgspec.structs.asdict(fault) for fault in self.faults],
        }
