"""The predictions of one request by column: what a store takes without a record for each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from bentos.records.record import Record, RecordedWarning, Value, encode

T = TypeVar("T")


class RecordedRequest(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The predictions of one request under one model version, or of requests of one row each.

    `names`: of the features that may be stored, each once; `rows`: their values in this order,
    one sequence for each id. `request_ids` and `stages` (decode, queue, predict and encode in
    microseconds) are of single rows: they stand in place of the request's own. Every other
    sequence has one entry for each id too; None where no row has such a thing. What the fields
    mean is said at `Record`.
    """

    request_id: str
    model: str
    version: str
    contract: str
    environment: str
    names: tuple[str, ...]
    ids: Sequence[str]
    rows: Sequence[Sequence[Value]]
    score: Sequence[float | None]
    label: Sequence[str | None]
    threshold: float | None = None
    consumer: str | None = None
    subject: str | None = None
    subject_key: str | None = None
    decode_us: int = 0
    queue_us: int = 0
    predict_us: int = 0
    encode_us: int = 0
    request_ids: Sequence[str] | None = None
    stages: Sequence[tuple[int, int, int, int]] | None = None
    scores: Sequence[dict[str, float] | None] | None = None
    warnings: Sequence[tuple[RecordedWarning, ...]] | None = None
    reasons: Sequence[tuple[str, ...] | None] | None = None
    shadow: Sequence[str | None] | None = None

    def records(self) -> list[Record]:
        """The same as records. Raises ValueError where the columns are not of one length."""
        # An empty sequence has to be of the same length as any other: only None stands for none.
        rows = len(self.ids)
        stages = (self.decode_us, self.queue_us, self.predict_us, self.encode_us)
        columns = zip(
            self.ids,
            [self.request_id] * rows if self.request_ids is None else self.request_ids,
            [stages] * rows if self.stages is None else self.stages,
            self.rows,
            self.score,
            self.label,
            _fill(self.scores, None, self.ids),
            _fill(self.warnings, (), self.ids),
            _fill(self.reasons, None, self.ids),
            _fill(self.shadow, None, self.ids),
            strict=True,
        )
        return [
            Record(
                prediction_id,
                request_id,
                self.model,
                self.version,
                self.contract,
                self.environment,
                write_features(self.names, row),
                score,
                scores,
                label,
                self.threshold,
                self.consumer,
                self.subject,
                self.subject_key,
                decode_us,
                queue_us,
                predict_us,
                encode_us,
                warnings,
                reasons,
                shadow,
            )
            for (
                prediction_id,
                request_id,
                (decode_us, queue_us, predict_us, encode_us),
                row,
                score,
                label,
                scores,
                warnings,
                reasons,
                shadow,
            ) in columns
        ]


def write_features(names: Sequence[str], values: Sequence[Value]) -> msgspec.Raw:
    """Write features as a JSON object. Raises ValueError where one has no name."""
    return msgspec.Raw(encode(dict(zip(names, values, strict=True))))


def unpack(requests: Sequence[RecordedRequest]) -> list[Record]:
    """The records of requests, in their order."""
    return [record for request in requests for record in request.records()]


def _fill(column: Sequence[T] | None, empty: T, ids: Sequence[str]) -> Sequence[T]:
    return [empty] * len(ids) if column is None else column
