"""Scored requests as frames of the spool: where rows were scored, and at a small part of the cost.

What may not be stored is left out here: it reaches no disk, and no other process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from bentos.logs import LOGGER
from bentos.model.contract import Contract
from bentos.model.frame import FeatureWarning
from bentos.model.scoring import Scored
from bentos.model.validation import EncodedRow, escape_pointer
from bentos.records.record import Registration
from bentos.records.subject import Keys
from bentos.records.writer.scored_request import ScoredRequest, ScoredTable
from bentos.records.writer.spool import frames
from bentos.records.writer.spool.frames import PackedRows, PackedTable
from bentos.records.writer.spool.source import find_stored

# A frame is read whole: a request of a million rows is many frames.
_FRAME_ROWS = 4096


@dataclass(frozen=True)
class Storable:
    """What of an answer may be stored.

    `listed`: names of features; None for all. `keys`: what makes a token of a subject; None
    where there is no key. `is_shadow`: the rows are no answers.
    """

    listed: Sequence[str] | None = None
    keys: Keys | None = None
    is_shadow: bool = False


class PackedSegment(msgspec.Struct):
    """A segment of packed requests. `failed`: what kept a request out, and its rows."""

    data: bytearray
    rows: int
    first_id: str
    failed: list[tuple[int, Exception]]


class Packer:
    """Packs the scored requests of one worker."""

    def __init__(self, contract: Contract, registration: Registration, storable: Storable) -> None:
        listed = storable.listed
        stored = find_stored(contract, listed)
        self._stored = stored
        self._positions = None if len(stored) == len(contract.features) else stored
        # What a warning about one of them points to.
        self._pointers = frozenset(
            f"/{escape_pointer(contract.features[position].name)}" for position in stored
        )
        # A reason says that its features spoke against a person: it is stored where they may be.
        self._codes = find_storable(registration, listed)
        self._keys = storable.keys
        # What every row of a shadow is marked with, however it came.
        self._is_shadow = storable.is_shadow
        self._has_warned = False

    def pack(self, requests: Sequence[ScoredRequest | ScoredTable]) -> PackedSegment:
        """Pack requests. One that cannot be packed is left out whole, and takes no other along."""
        packed = PackedSegment(bytearray(), 0, "", [])
        # A frame costs as much as some rows: single rows share one.
        single: dict[str | None, list[ScoredRequest]] = {}
        for answered in requests:
            if (
                isinstance(answered, ScoredRequest)
                and len(answered.ids) == 1
                and answered.subject is None
                and answered.answers is None
                and not answered.reasons
            ):
                single.setdefault(answered.consumer, []).append(answered)
            else:
                self._add(packed, answered)
        for consumer, several in single.items():
            try:
                frames.append(packed.data, self._join(several, consumer))
            except Exception:
                for answered in several:
                    self._add(packed, answered)
            else:
                packed.rows += len(several)
                packed.first_id = packed.first_id or several[0].first_id
        return packed

    def _add(self, packed: PackedSegment, answered: ScoredRequest | ScoredTable) -> None:
        start, rows = len(packed.data), len(answered.ids)
        try:
            for first in range(0, rows, _FRAME_ROWS):
                part = slice(first, first + _FRAME_ROWS)
                one = (
                    self._make(answered, part)
                    if isinstance(answered, ScoredRequest)
                    else self._make_table(answered, part)
                )
                self._mark(one, answered, part)
                frames.append(packed.data, one)
        except Exception as error:
            del packed.data[start:]
            packed.failed.append((rows, error))
        else:
            packed.rows += rows
            packed.first_id = packed.first_id or answered.first_id

    def _join(self, several: Sequence[ScoredRequest], consumer: str | None) -> PackedRows:
        # Every microsecond here is taken from the answers: one interpreter does both.
        packed = self._pack_rows(
            [one.ids[0] for one in several],
            [one.rows[0] for one in several],
            [one.scored[0] for one in several],
        )
        packed.request_ids = [one.request_id for one in several]
        packed.stages = [one.stages for one in several]
        packed.consumer = consumer
        if self._is_shadow:
            packed.shadow = [""] * len(several)
        return packed

    def _make(self, answered: ScoredRequest, part: slice) -> PackedRows:
        packed = self._pack_rows(
            list(answered.ids[part]), answered.rows[part], answered.scored[part]
        )
        packed.request_ids = [answered.request_id]
        packed.stages = [answered.stages]
        if answered.answers is None and self._is_shadow:
            packed.shadow = [""] * len(packed.ids)
        return packed

    def _make_table(self, answered: ScoredTable, part: slice) -> PackedTable:
        table, decided = answered.table, answered.decided
        ids = answered.ids[part]
        numbers = table.matrix[part]
        if self._positions is not None or table.texts:
            numbers = numbers[:, [place for place in self._stored if place not in table.texts]]
        packed = PackedTable(
            ids.tobytes(),
            numbers.tobytes(),
            {
                place: list(table.texts[position][part])
                for place, position in enumerate(self._stored)
                if position in table.texts
            },
            np.ascontiguousarray(answered.scores[part]).tobytes(),
            b"" if decided is None else decided[part].astype(np.int64, copy=False).tobytes(),
            answered.request_id,
            answered.stages,
        )
        first, end = part.start, part.start + len(ids)
        packed.warnings = {
            place - first: noted
            for place, found in answered.warnings.items()
            if first <= place < end and (noted := self._storable_of(found))
        }
        if answered.answers is None and self._is_shadow:
            packed.shadow = [""] * len(ids)
        return packed

    def _mark(
        self, packed: PackedRows | PackedTable, answered: ScoredRequest | ScoredTable, part: slice
    ) -> None:
        """Add what a request may have for all of its rows, whichever way they came."""
        packed.consumer = answered.consumer
        if answered.subject is not None:
            packed.subject_key, packed.subject = self._token(answered.subject)
        if answered.reasons:
            packed.reasons = [
                None if codes is None else tuple(filter(self._codes.__contains__, codes))
                for codes in answered.reasons[part]
            ]
        if answered.answers is not None:
            packed.shadow = list(answered.answers[part])

    def _pack_rows(
        self, ids: list[str], rows: Sequence[EncodedRow], scored: Sequence[Scored]
    ) -> PackedRows:
        labels = [one.label for one in scored]
        packed = PackedRows(
            ids,
            self._rows(rows),
            [one.score if one.scores is None else one.scores for one in scored],
            [] if labels.count(None) == len(labels) else labels,
            [],
            [],
        )
        if any([one.warnings for one in scored]):  # noqa: C419 - a generator costs twice as much here
            packed.warnings = self._note(scored)
        return packed

    def _rows(self, rows: Sequence[EncodedRow]) -> list[EncodedRow]:
        if self._positions is None:
            return list(rows)
        return [tuple([row[position] for position in self._positions]) for row in rows]

    def _note(self, scored: Sequence[Scored]) -> dict[int, list[tuple[str, str]]]:
        return {
            place: noted
            for place, one in enumerate(scored)
            if one.warnings and (noted := self._storable_of(one.warnings))
        }

    def _storable_of(self, warnings: Sequence[FeatureWarning]) -> list[tuple[str, str]]:
        return [(one.pointer, one.code) for one in warnings if one.pointer in self._pointers]

    def _token(self, subject: str) -> tuple[str | None, str | None]:
        if self._keys is not None:
            return self._keys.token(subject)
        if not self._has_warned:
            self._has_warned = True
            LOGGER.warning("X-Subject is not stored: TABSERVE_SUBJECT_KEYS has no key")
        return None, None


def find_storable(registration: Registration, listed: Sequence[str] | None) -> frozenset[str]:
    """The codes of a model's reasons that may be stored: all of whose features are listed."""
    return frozenset(
        code
        for code, reason in registration.reasons.items()
        if listed is None or all(name in listed for name in reason.features)
    )
