"""The rows that a window is compared with: those of training, or those of a part of the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from monitoring.drift.decision import repeats
from monitoring.drift.decision.sample import Sample
from monitoring.drift.reading import read_records, read_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bentos.model.contract import Contract
    from bentos.records.drift import DriftResult
    from bentos.records.record import Record, Registration, Window
    from monitoring.drift.choice import Choice


class Log(Protocol):
    """What a reference needs of the prediction log."""

    def sample(self, window: Window, rows: int, seed: int) -> list[Record]: ...


class History(Protocol):
    """What a reference needs of earlier results."""

    def conclusive(
        self, job: str, model: str, version: str, until: datetime | None = None
    ) -> Iterator[DriftResult]: ...


class NotComparable(Exception):
    """There is nothing to compare a version with; the message says what to do."""


@dataclass(frozen=True)
class Reference:
    """A reference: its rows, what they are in words, and which rows show how alike rows are.

    `natural`: rows that no client sent; where the model brings none, the rows themselves.
    """

    rows: Sample
    about: str
    natural: Sample


def find_reference(
    choice: Choice,
    window: Window,
    contract: Contract,
    registration: Registration,
    log: Log,
    history: History,
    *,
    job: str,
    sample_rows: int,
    seed: int,
) -> Reference:
    """Find the reference of a version's window.

    Raises NotComparable where there is none, SampleError where it breaks the contract.
    """
    training = (
        None if registration.reference is None else read_reference(registration.reference, contract)
    )
    if choice.kind == "training":
        if training is None:
            raise NotComparable(
                "the version has no reference: log the model with a reference.parquet, or compare "
                "with the log (--reference)"
            )
        return Reference(training, "training", training)
    spans = choice.list_spans(window.since, window.until)
    about = str(choice)
    if choice.kind == "accepted":
        accepted = find_accepted(history, job, window)
        spans = [(accepted.since, accepted.until)]
        about = f"accepted {accepted.since.isoformat()}/{accepted.until.isoformat()}"
    records: list[Record] = []
    for since, until in spans:
        part = msgspec.structs.replace(window, since=since, until=until)
        records += log.sample(part, -(-sample_rows // len(spans)), seed)
    if not records:
        raise NotComparable(f"the log has no predictions of the version in the reference {about}")
    rows = read_records(records, contract)
    rows = repeats.drop(rows, rows if training is None else training).rows
    return Reference(rows, about, rows if training is None else training)


def find_accepted(history: History, job: str, window: Window) -> DriftResult:
    """The last window before this one that had no drift, or that a person accepted.

    Raises NotComparable where there is none.
    """
    results = history.conclusive(job, str(window.model), str(window.version), window.since)
    for result in results:
        if result.accepted or result.outcome == "no_drift":
            return result
    raise NotComparable(
        "no window before this one was accepted: run this job with --accept on one that is normal"
    )
