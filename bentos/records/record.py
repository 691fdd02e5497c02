"""What the log holds: predictions, outcomes, and the models that made the predictions.

A prediction's time is the one inside its id (UUIDv7, RFC 9562, section 5.7): one clock,
read once, so an id alone says which day to look in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from bentos.ids import EPOCH, floor_id, from_milliseconds, time_of

Value = float | int | bool | str | None

# 48 bits of milliseconds: the year 10889, beyond what datetime can hold.
_LAST = datetime.max.replace(tzinfo=UTC)


class RecordedWarning(msgspec.Struct, frozen=True, gc=False):
    """A warning that went out with an answer: where (RFC 6901 pointer) and what."""

    pointer: str
    code: str


class Record(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One prediction.

    `features`: the features that may be stored, as a JSON object of named values, typed
    by the contract and verbatim: numbers come back to the last bit. `score`: float64, the
    probability of the second class or the value of a regression; `scores`: probability
    by class, multiclass only. `label`: the class decided for, as text. `contract`: the
    contract's hash. `environment`: id of the `Environment` that computed it. `subject`:
    HMAC-SHA256 of whom it is about, as hexadecimal text, made with the key `subject_key`.
    Latencies are of the whole request, in microseconds. `reasons`: codes of the reasons that
    the answer gave for a refusal, the strongest first; none where it gave none, None where
    nobody asked for an explanation. `shadow`: None for an answer. A row
    that a candidate scored beside the answer has the answer's id here, or an empty text where
    that is not known.
    """

    id: str
    request_id: str
    model: str
    version: str
    contract: str
    environment: str
    features: msgspec.Raw
    score: float | None = None
    scores: dict[str, float] | None = None
    label: str | None = None
    threshold: float | None = None
    consumer: str | None = None
    subject: str | None = None
    subject_key: str | None = None
    decode_us: int = 0
    queue_us: int = 0
    predict_us: int = 0
    encode_us: int = 0
    warnings: tuple[RecordedWarning, ...] = ()
    reasons: tuple[str, ...] | None = None
    shadow: str | None = None

    @property
    def time(self) -> datetime:
        """When it was made, UTC, to the millisecond."""
        return time_of(self.id)

    @property
    def values(self) -> dict[str, Value]:
        """The stored features by name."""
        values: dict[str, Value] = msgspec.json.decode(self.features)
        return values


# What a store did with an outcome.
OutcomeStatus = Literal["recorded", "unchanged", "unknown", "too_many"]

# How often an outcome may change: more revisions are a mistake, or an attempt to fill the log.
MOST_REVISIONS = 100


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What turned out to be true of one prediction.

    `outcome`: the class as text, or a number's shortest text. `revision`: 1 for the first
    that came, one more for each that differed from the one before.
    """

    id: str
    outcome: str
    revision: int
    received: datetime
    request_id: str


class RegisteredReason(msgspec.Struct, frozen=True):
    """What a reason's code stands for in one model version: a sentence, and its features."""

    sentence: str
    features: tuple[str, ...]


class Registration(msgspec.Struct, frozen=True):
    """A model version that has answered or may answer: what its records are read with.

    `document`: the contract as JSON. `reference`: the sample of training rows with the
    model's scores, as Parquet (`bentos.model.bundle`). `importance`: gain by feature. `reasons`:
    by their codes.
    """

    model: str
    version: str
    contract: str
    document: msgspec.Raw
    digest: str
    mlflow_run_id: str = ""
    metrics: dict[str, float] = {}
    importance: dict[str, float] = {}
    reference: bytes | None = None
    reasons: dict[str, RegisteredReason] = {}

    @property
    def bare(self) -> Registration:
        """The same without the reference, which is megabytes of bytes and not text."""
        return msgspec.structs.replace(self, reference=None)


class Environment(msgspec.Struct, frozen=True):
    """What computed the scores: `id` is a digest of `document`, a JSON object."""

    id: str
    document: msgspec.Raw


class Window(msgspec.Struct, frozen=True):
    """Predictions from `since` on, before `until`; of one model and version where named.

    Answers alone, or with `is_shadow` what candidates scored beside them alone: never both.
    """

    since: datetime = EPOCH
    until: datetime = _LAST
    model: str | None = None
    version: str | None = None
    is_shadow: bool = False

    @property
    def first_id(self) -> str:
        """The least id that may be in the window."""
        return floor_id(self.since)

    @property
    def end_id(self) -> str:
        """The least id after the window."""
        return floor_id(self.until)


class Version(msgspec.Struct, frozen=True):
    """How many predictions of a window one model version made under one contract."""

    model: str
    version: str
    contract: str
    rows: int


class Event(msgspec.Struct, frozen=True):
    """Something that was done to the log itself: `retention`, `forget`, `export`."""

    time: datetime
    action: str
    details: dict[str, str | int]


def to_outcome(row: Sequence[Any]) -> Outcome:
    """An outcome of the columns id, outcome, revision, received (in milliseconds), request id."""
    name, outcome, revision, received_ms, request_id = row
    return Outcome(name, outcome, revision, from_milliseconds(received_ms), request_id)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)

encode = _encoder.encode


def encode_lines(records: Iterable[Record]) -> bytes:
    """Write records as JSON lines."""
    return _encoder.encode_lines(records)


def decode_lines(data: bytes) -> list[Record]:
    """Read JSON lines; blank ones are skipped. Raises ValueError for anything else."""
    try:
        return [_decoder.decode(line) for line in data.splitlines() if line.strip()]
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a record: {error}") from None
