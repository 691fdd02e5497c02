"""What the request path hands over to the log."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bentos.model.scoring import Scored
from bentos.model.validation import EncodedRow


class ScoredRequest(msgspec.Struct, frozen=True, gc=False):
    """The scored rows of one request, as the request path hands them over.

    `ids`, `rows` and `scored` are of the same length. `subject`: the text that the client
    sent. The stages are in seconds. `consumer`: the name of the client's key. `answers`: for a
    shadow, of the same length too: the id of the answer that each row was scored beside, or
    an empty text. `reasons`: codes of the reasons that each row got; empty where no explanation
    was asked for.
    """

    request_id: str
    ids: Sequence[str]
    rows: Sequence[EncodedRow]
    scored: Sequence[Scored]
    subject: str | None = None
    decode: float = 0.0
    queue: float = 0.0
    predict: float = 0.0
    encode: float = 0.0
    consumer: str | None = None
    answers: Sequence[str] | None = None
    reasons: Sequence[tuple[str, ...] | None] = ()
