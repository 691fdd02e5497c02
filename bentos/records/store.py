"""The interface of a prediction log. `opening` says which store a URL names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from bentos.records.record import (
    Environment,
    Event,
    Outcome,
    OutcomeStatus,
    Record,
    Registration,
    Version,
    Window,
)
from bentos.records.request import RecordedRequest


class Store(Protocol):
    """One prediction log. An instance belongs to one thread at a time.

    Every method raises StoreDown where the store cannot be reached or cannot work at the
    moment, and may then be called again: a lost connection is made anew.
    """

    # How many rows one `write` should bring, and how long to gather them for it.
    max_rows: int
    gather_seconds: float

    def prepare(self) -> None:
        """Connect; make or update the schema, once, however many start together.

        For the service and `tabserve migrate`. Raises StoreDown also where the schema is too
        new for this tabserve, damaged, or older and not ours to change.
        """

    def check(self) -> None:
        """Connect, and change nothing. For commands that read the log.

        Raises StoreDown also where there is no log, or one whose schema is too new or too old
        for this tabserve.
        """

    def register(self, registration: Registration, environment: Environment) -> None:
        """Write down a model version and an environment, unless they are known."""

    def write(self, records: Sequence[Record], *, is_retry: bool) -> None:
        """Store all records or none. What is stored already by its id stays as it is.

        `is_retry`: they may be there already. Records of a subject that was erased after
        they were made are not stored. Raises RowsRefused where a record can never be.
        """

    def write_requests(self, requests: Sequence[RecordedRequest], *, is_retry: bool) -> None:
        """As `write`, all requests or none; rows come by column, and cost less so in SQLite.

        Raises RowsRefused where a row can never be, which is found by `write` of fewer records.
        """

    def read(self, window: Window) -> Iterator[Record]:
        """The records of a window by id, that is by time, streaming.

        Answers, or shadow rows: `Window.is_shadow` says which, here and in all that takes a
        window.
        """

    def get(self, prediction_id: str) -> Record | None:
        """One record by its id, an answer or a shadow row."""

    def versions(self, window: Window) -> list[Version]:
        """Which model versions made predictions in a window, and how many."""

    def sample(self, window: Window, rows: int, seed: int) -> list[Record]:
        """At most so many records of a window, picked by the random end of their ids.

        The same seed picks the same records; the store does the picking. By id.
        """

    def registration(self, model: str, version: str) -> Registration | None:
        """What was registered of a model version."""

    def environment(self, environment_id: str) -> Environment | None:
        """What was registered under an environment's id."""

    def find(self, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Model and version of each answer that is stored, by its id; never of a shadow row."""

    def write_outcomes(self, outcomes: Sequence[tuple[str, str, str]]) -> list[OutcomeStatus]:
        """Store outcomes `(id, outcome, request_id)`, now.

        Gives for each what became of it: one equal to the last changes nothing, another one
        becomes a new revision, up to MOST_REVISIONS; one whose prediction is not stored, no
        longer, or was no answer but a shadow row, is not stored either.
        """

    def outcomes(self, window: Window) -> Iterator[Outcome]:
        """The last revision of each outcome of a window's predictions, by id, streaming.

        A shadow row has the outcome of the answer that it names, under the shadow row's own id.
        """

    def revisions(self, prediction_id: str) -> list[Outcome]:
        """Every revision of one prediction's outcome, the first one first."""

    def of_subject(self, tokens: Sequence[str]) -> Iterator[Record]:
        """The records of one subject under any of its tokens, shadow rows too, by id."""

    def forget(self, tokens: Sequence[str], now: datetime) -> dict[str, int]:
        """Erase a subject's predictions and outcomes, and bar late ones made before `now`.

        Gives how many rows were erased, by kind; of_subject finds none afterwards.
        """

    def scrub(self) -> None:
        """Take what `forget` erased out of the store's own files as far as it can.

        Raises StoreDown where that must be tried again.
        """

    def drop_before(self, time: datetime) -> dict[str, int]:
        """Drop what is older, whole days only. Gives what was dropped, by kind."""

    def note(self, event: Event) -> None:
        """Write down something that was done to the log."""

    def events(self) -> list[Event]:
        """What was done to the log, the first one first."""

    def close(self) -> None:
        """Close the store; idempotent."""
