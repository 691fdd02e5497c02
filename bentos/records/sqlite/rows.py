"""Records and requests as the rows of blocks, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, NamedTuple

import msgspec

from bentos.errors import RowsRefused
from bentos.records.record import Record, encode
from bentos.records.request import RecordedRequest
from bentos.records.sqlite.blocks import Head, Row, Rows, StoredRow


class Source(NamedTuple):
    """What is the same for row after row, and stored once. `names`: of features, as JSON."""

    model: str
    version: str
    contract: str
    environment: str
    threshold: float | None
    names: str | None


# The rows of one source, and whether they are a shadow's.
Kind = tuple[Source, bool]


_NOTHING_RARE = (None,) * 4

_decode_values = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_names = msgspec.json.Decoder(list[str]).decode


def of_records(records: Iterable[Record]) -> dict[Kind, Rows]:
    """Records as rows of each kind."""
    kinds: dict[Kind, Rows] = {}
    rows = Rows()
    last_kind = last_head = None
    for record in records:
        kind = (
            record.model,
            record.version,
            record.contract,
            record.environment,
            record.threshold,
            record.shadow is not None,
        )
        head = (
            record.request_id,
            record.decode_us,
            record.queue_us,
            record.predict_us,
            record.encode_us,
            record.consumer,
            record.subject,
            record.subject_key,
        )
        if kind != last_kind:
            rows = kinds.setdefault((Source(*kind[:5], None), kind[5]), Rows())
            last_kind, last_head = kind, None
        if head != last_head:
            rows.heads.append(head)
            last_head = head
        rows.ids.append(record.id)
        rows.rows.append(_to_row(len(rows.heads) - 1, record))
    return kinds


def of_requests(requests: Iterable[RecordedRequest]) -> dict[Kind, Rows]:
    """Requests as rows of each kind. Raises RowsRefused where columns differ in length."""
    kinds: dict[Kind, Rows] = {}
    rows = Rows()
    last: RecordedRequest | None = None
    for request in requests:
        if not request.ids:
            continue
        try:
            heads = _to_heads(request)
            if request.shadow is not None:
                _add_shadows(kinds, request, heads)
                continue
            if last is None or not _is_alike(request, last):
                rows = kinds.setdefault((_find_source(request), False), Rows())
                last = request
            place = len(rows.heads)
            made = _to_rows(
                repeat(place, len(request.ids))
                if len(heads) == 1
                else range(place, place + len(heads)),
                request,
            )
        except ValueError:
            raise RowsRefused("the columns of a request are of different lengths") from None
        rows.heads += heads
        rows.ids += request.ids
        rows.rows += made
    return kinds


def to_records(source: Source, block: Rows, start: int, stop: int) -> Iterator[Record]:
    """Stored rows of a source as records. Raises ValueError for what is no row."""
    write = _FeatureWriter(source.names)
    for name, row in zip(block.ids[start:stop], block.rows[start:stop], strict=True):
        if not isinstance(row, StoredRow):
            raise TypeError("only what was stored is read")
        head = block.heads[row.request]
        request_id, decode_us, queue_us, predict_us, encode_us, consumer, subject, key = head
        yield Record(
            name,
            request_id,
            source.model,
            source.version,
            source.contract,
            source.environment,
            write(row.features),
            row.score,
            row.scores,
            row.label,
            source.threshold,
            consumer,
            subject,
            key,
            decode_us,
            queue_us,
            predict_us,
            encode_us,
            row.warnings or (),
            row.reasons,
            row.shadow,
        )


class _FeatureWriter:
    """Gives the features of a row as an object, whether its names are beside it or in it."""

    def __init__(self, names: str | None) -> None:
        self._members = None if names is None else _to_members(names)

    def __call__(self, features: msgspec.Raw) -> msgspec.Raw:
        if self._members is None:
            # The text without the block around it, which would be kept for as long as the record.
            return msgspec.Raw(bytes(features))
        values = zip(self._members, _decode_values(features), strict=True)
        return msgspec.Raw(b"{" + b",".join([name + bytes(value) for name, value in values]) + b"}")


@lru_cache(maxsize=64)
def _write_names(names: tuple[str, ...]) -> str:
    return encode(names).decode()


@lru_cache(maxsize=64)
def _to_members(names: str) -> list[bytes]:
    return [encode(name) + b":" for name in _decode_names(names)]


def _to_row(place: int, record: Record) -> Row:
    if (
        record.scores is None
        and not record.warnings
        and record.reasons is None
        and record.shadow is None
    ):
        return (place, record.features, record.score, record.label)
    return (
        place,
        record.features,
        record.score,
        record.label,
        record.scores,
        record.warnings or None,
        record.reasons,
        record.shadow,
    )


def _to_heads(request: RecordedRequest) -> list[Head]:
    """The head of a request, or one for each row where they came in as many."""
    whom = (request.consumer, request.subject, request.subject_key)
    stages = (request.decode_us, request.queue_us, request.predict_us, request.encode_us)
    if request.request_ids is None and request.stages is None:
        return [(request.request_id, *stages, *whom)]
    rows = len(request.ids)
    names = [request.request_id] * rows if request.request_ids is None else request.request_ids
    times = [stages] * rows if request.stages is None else request.stages
    heads: list[Head] = [(name, *time, *whom) for name, time in zip(names, times, strict=True)]
    if len(heads) != rows:
        raise ValueError("there are more or fewer requests than ids")
    return heads


def _to_rows(places: Iterable[int], request: RecordedRequest) -> list[tuple[Any, ...]]:
    values, count = request.rows, len(request.ids)
    if set(map(len, values)) != {len(request.names)} or len(values) != count:
        raise ValueError("a feature has no name, or a name no feature")
    common = (places, values, request.score, request.label)
    rare = (request.scores, request.warnings, request.reasons, request.shadow)
    if rare == _NOTHING_RARE:
        return list(zip(*common, strict=True))
    filled = [repeat(None, count) if column is None else column for column in rare]
    return list(zip(*common, *filled, strict=True))


def _add_shadows(kinds: dict[Kind, Rows], request: RecordedRequest, heads: Sequence[Head]) -> None:
    source = _find_source(request)
    heads = heads if len(heads) > 1 else list(heads) * len(request.ids)
    made = _to_rows(repeat(0, len(heads)), request)
    for head, name, row in zip(heads, request.ids, made, strict=True):
        rows = kinds.setdefault((source, row[-1] is not None), Rows())
        if not rows.heads or rows.heads[-1] != head:
            rows.heads.append(head)
        rows.ids.append(name)
        rows.rows.append((len(rows.heads) - 1, *row[1:]))


def _find_source(request: RecordedRequest) -> Source:
    return Source(
        request.model,
        request.version,
        request.contract,
        request.environment,
        request.threshold,
        _write_names(request.names),
    )


def _is_alike(one: RecordedRequest, other: RecordedRequest) -> bool:
    # The text of the names is long, and mostly one object.
    return (
        one.names is other.names
        and one.version == other.version
        and one.model == other.model
        and one.contract == other.contract
        and one.environment == other.environment
        and one.threshold == other.threshold
    )
