"""Packed requests as records, where the rows are delivered."""

from __future__ import annotations

import msgspec

from bentos.model import contract as contracts
from bentos.records.record import Record, RecordedWarning
from bentos.records.writer.spool import frames
from bentos.records.writer.spool.features import Features
from bentos.records.writer.spool.frames import PackedRows
from bentos.records.writer.spool.source import RecordSource


class Unpacker:
    """Makes records of the packed requests of one source."""

    def __init__(self, source: RecordSource) -> None:
        registration = source.registration
        contract = contracts.load(bytes(registration.document))
        self._made_by = (
            registration.model,
            registration.version,
            registration.contract,
            source.environment.id,
        )
        self._names = tuple(str(label) for label in contract.classes or ())
        self._threshold = contract.threshold
        self._write = Features(contract, source.listed).write

    def unpack(self, data: bytes) -> list[Record]:
        """The records of a segment. Raises ValueError for what is no segment of this source."""
        records: list[Record] = []
        for packed in frames.decode(data):
            try:
                self._append(packed, records)
            except (TypeError, LookupError, OverflowError, msgspec.MsgspecError):
                raise ValueError("not rows of this contract") from None
        return records

    def _append(self, packed: PackedRows, records: list[Record]) -> None:
        model, version, contract, environment = self._made_by
        write, names, threshold = self._write, self._names, self._threshold
        consumer, subject, key_id = packed.consumer, packed.subject, packed.subject_key
        rows = len(packed.ids)
        nothing = (None,) * rows
        # Of one request, or of as many as there are rows.
        request_ids, stages = packed.request_ids, packed.stages
        if len(request_ids) < rows:
            request_ids = request_ids * rows
        if len(stages) < rows:
            stages = stages * rows
        for place, (one_id, row, score, label, request_id, seconds, codes, shadow) in enumerate(
            zip(
                packed.ids,
                packed.rows,
                packed.scores,
                packed.labels or nothing,
                request_ids,
                stages,
                packed.reasons or nothing,
                packed.shadow or nothing,
                strict=True,
            )
        ):
            is_several = isinstance(score, list)
            decode, queue, predict, encode = seconds
            records.append(
                Record(
                    one_id,
                    request_id,
                    model,
                    version,
                    contract,
                    environment,
                    write(row),
                    None if is_several else score,
                    dict(zip(names, score, strict=True)) if is_several else None,
                    None if label is None else str(label),
                    threshold,
                    consumer,
                    subject,
                    key_id,
                    int(decode * 1e6),
                    int(queue * 1e6),
                    int(predict * 1e6),
                    int(encode * 1e6),
                    _warnings(packed.warnings, place) if packed.warnings else (),
                    codes,
                    shadow,
                )
            )


def _warnings(noted: dict[int, list[tuple[str, str]]], place: int) -> tuple[RecordedWarning, ...]:
    return tuple(RecordedWarning(pointer, code) for pointer, code in noted.get(place, ()))
