"""What the request path hands over to the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.model.frame import FeatureWarning
from bentos.model.scoring import Scored
from bentos.model.tables.table import Table
from bentos.model.validation import EncodedRow


class ScoredRequest(msgspec.Struct, frozen=True, gc=False):
    """The scored rows of one request, as the request path hands them over.

    `ids`, `rows` and `scored` are of the same length. `subject`: the text that the client
    sent. `stages`: seconds of decode, queue, predict and encode. `consumer`: the name of the
    client's key. `answers`: for a shadow, of the same length too: the id of the answer that each
    row was scored beside, or an empty text. `reasons`: codes of the reasons that each row got;
    empty where no explanation was asked for.
    """

    request_id: str
    ids: Sequence[str]
    rows: Sequence[EncodedRow]
    scored: Sequence[Scored]
    subject: str | None = None
    stages: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    consumer: str | None = None
    answers: Sequence[str] | None = None
    reasons: Sequence[tuple[str, ...] | None] = ()

    @property
    def first_id(self) -> str:
        """The id of the first row."""
        return self.ids[0]


class ScoredTable(msgspec.Struct, frozen=True, gc=False):
    """The same by column: the rows of one request that got a score.

    `ids`: ASCII of shape (rows,), ascending. `scores`: float64 of shape (rows,) or (rows,
    classes). `decided`: the place of each row's label among the classes; None where there is
    none. `warnings`: by the row's place. All else is as in `ScoredRequest`.
    """

    request_id: str
    ids: NDArray[np.bytes_]
    table: Table
    scores: NDArray[np.float64]
    decided: NDArray[np.intp] | None
    warnings: Mapping[int, Sequence[FeatureWarning]]
    subject: str | None = None
    stages: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    consumer: str | None = None
    answers: Sequence[str] | None = None
    reasons: Sequence[tuple[str, ...] | None] = ()

    @property
    def first_id(self) -> str:
        """The id of the first row."""
        return str(self.ids[0], "ascii")
