"""Packed rows as requests for a store, where they are delivered."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from math import isnan
from typing import Any, Literal, TypeVar

import msgspec

from bentos.model import contract as contracts
from bentos.model.contract import Feature
from bentos.records.record import RecordedWarning, Value
from bentos.records.request import RecordedRequest
from bentos.records.writer.spool import frames
from bentos.records.writer.spool.frames import ID_LENGTH, PackedRows, PackedTable
from bentos.records.writer.spool.source import RecordSource, find_stored

T = TypeVar("T")

# One number a row, or one a class.
_SCORE_TYPES = frozenset({float, int, list, array, type(None)})


class Unpacker:
    """Makes requests of the packed rows of one source."""

    def __init__(self, source: RecordSource) -> None:
        registration = source.registration
        contract = contracts.load(bytes(registration.document))
        self._model, self._version = registration.model, registration.version
        self._contract = registration.contract
        self._environment = source.environment.id
        self._threshold = contract.threshold
        self._classes = tuple(str(label) for label in contract.classes or ())
        stored = [contract.features[position] for position in find_stored(contract, source.listed)]
        self._names = tuple(feature.name for feature in stored)
        # Values as they are logged, of values as they are encoded.
        self._typed = [_typing_of(feature) for feature in stored]
        self._coded = [
            (place, _by_code(feature)) for place, feature in enumerate(stored) if feature.categories
        ]

    def unpack(self, data: bytes) -> list[RecordedRequest]:
        """The requests of a segment. Raises ValueError for what is no segment of this source."""
        requests: list[RecordedRequest] = []
        try:
            for packed in frames.decode(data):
                if isinstance(packed, PackedTable):
                    requests.append(self._of_table(packed))
                else:
                    requests.append(self._of_rows(packed))
        except (TypeError, LookupError, OverflowError, msgspec.MsgspecError):
            raise ValueError("not rows of this contract") from None
        return requests

    def _of_rows(self, packed: PackedRows) -> RecordedRequest:
        rows = [self._name_categories(row) for row in packed.rows]
        labels = [None if label is None else str(label) for label in packed.labels]
        made = self._make(
            packed,
            packed.request_ids[0],
            packed.stages[0],
            packed.ids,
            rows,
            packed.scores,
            labels or [None] * len(rows),
        )
        if len(packed.request_ids) == len(packed.stages) == 1:
            return made
        return msgspec.structs.replace(
            made,
            request_ids=_spread(packed.request_ids, len(rows)),
            stages=_spread([_to_microseconds(*stages) for stages in packed.stages], len(rows)),
        )

    def _of_table(self, packed: PackedTable) -> RecordedRequest:
        text = packed.ids.decode()
        ids = [text[start : start + ID_LENGTH] for start in range(0, len(text), ID_LENGTH)]
        count, classes = len(ids), self._classes
        numbers = _cast(packed.numbers, "d")
        width = len(self._typed) - len(packed.texts)
        if width * count != len(numbers):
            raise ValueError("not rows of this contract")
        columns: list[Sequence[Value]] = []
        first = 0
        for place, typed in enumerate(self._typed):
            if place in packed.texts:
                columns.append(packed.texts[place])
            else:
                columns.append(typed(list(numbers[first::width])))
                first += 1
        rows = list(zip(*columns, strict=True)) if columns else [()] * count
        scores: list[object] = list(_cast(packed.scores, "d"))
        if len(scores) != count:
            each = len(classes)
            scores = [scores[start : start + each] for start in range(0, len(scores), each)]
        labels: list[str | None] = [classes[place] for place in _cast(packed.decided, "q")]
        labels = labels or [None] * count
        return self._make(packed, packed.request_id, packed.stages, ids, rows, scores, labels)

    def _make(
        self,
        packed: PackedRows | PackedTable,
        request_id: str,
        stages: tuple[float, float, float, float],
        ids: list[str],
        rows: Sequence[Sequence[Value]],
        scores: Sequence[object],
        labels: list[str | None],
    ) -> RecordedRequest:
        # A store would keep what it cannot read again, or be asked for ever to take it.
        lengths = {len(scores), len(rows), len(labels)}
        lengths |= {len(column) for column in (packed.reasons, packed.shadow) if column}
        if lengths != {len(ids)} or not _SCORE_TYPES.issuperset(map(type, scores)):
            raise ValueError("not rows of this contract")
        decode_us, queue_us, predict_us, encode_us = _to_microseconds(*stages)
        is_several = isinstance(scores[0], list)
        return RecordedRequest(
            request_id=request_id,
            model=self._model,
            version=self._version,
            contract=self._contract,
            environment=self._environment,
            names=self._names,
            ids=ids,
            rows=rows,
            score=[None] * len(ids) if is_several else scores,  # type: ignore[arg-type]  # numbers, then
            label=labels,
            threshold=self._threshold,
            consumer=packed.consumer,
            subject=packed.subject,
            subject_key=packed.subject_key,
            decode_us=decode_us,
            queue_us=queue_us,
            predict_us=predict_us,
            encode_us=encode_us,
            scores=[dict(zip(self._classes, one, strict=True)) for one in scores]  # type: ignore[call-overload]  # lists, then
            if is_several
            else None,
            warnings=_notes(packed.warnings, len(ids)) if packed.warnings else None,
            reasons=packed.reasons or None,
            shadow=packed.shadow or None,
        )

    def _name_categories(self, row: tuple[Value, ...]) -> Sequence[Value]:
        if len(row) != len(self._names):
            raise ValueError("not rows of this contract")
        if not self._coded:
            return row
        values = list(row)
        for place, names in self._coded:
            values[place] = names[values[place]]
        return values


def _cast(data: bytes, kind: Literal["d", "q"]) -> array[Any]:
    numbers: array[Any] = array(kind)
    numbers.frombytes(data)
    return numbers


def _to_microseconds(
    decode: float, queue: float, predict: float, encode: float
) -> tuple[int, int, int, int]:
    return int(decode * 1e6), int(queue * 1e6), int(predict * 1e6), int(encode * 1e6)


def _spread(column: list[T], rows: int) -> list[T]:
    return column * rows if len(column) == 1 else column


def _notes(
    warnings: dict[int, list[tuple[str, str]]], rows: int
) -> list[tuple[RecordedWarning, ...]]:
    return [
        tuple(RecordedWarning(pointer, code) for pointer, code in warnings.get(place, ()))
        for place in range(rows)
    ]


def _by_code(feature: Feature) -> dict[Value, Value]:
    # A code as an encoded row has it: the place as a float, None for missing.
    names: dict[Value, Value] = {None: None}
    names.update((float(code), name) for code, name in enumerate(feature.categories or ()))
    return names


def _typing_of(feature: Feature) -> Callable[[list[float]], Sequence[Value]]:
    """What makes the values of a column, whose NaN is missing."""
    kinds: dict[str, Callable[[float], Value]] = {"integer": int, "boolean": bool}
    to_value = kinds.get(feature.kind)
    if feature.categories:
        categories = feature.categories
        to_value = lambda code: categories[int(code)]  # noqa: E731 - one of three

    def typed(column: list[float]) -> Sequence[Value]:
        # One that is missing makes the sum NaN; so may others, which costs a closer look.
        has_gaps = isnan(sum(column))
        if to_value is None:
            return [None if isnan(one) else one for one in column] if has_gaps else column
        if has_gaps:
            return [None if isnan(one) else to_value(one) for one in column]
        return list(map(to_value, column))

    return typed
