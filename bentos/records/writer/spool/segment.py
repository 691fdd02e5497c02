"""A segment of the log: rows on their way to the store, on disk, in memory, or both.

Two formats: packed rows (`.rows`), and records as JSON lines (`.jsonl`), which an earlier
tabserve left and which are delivered and erased all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final

import msgspec

from bentos.ids import check_id
from bentos.records.record import Record, decode_lines
from bentos.records.request import RecordedRequest
from bentos.records.writer.spool import frames
from bentos.records.writer.spool.source import RecordSource
from bentos.records.writer.spool.unpacking import Unpacker

PACKED: Final = ".rows"
LINES: Final = ".jsonl"
ENDINGS = (PACKED, LINES)


class Segment:
    """Rows that are not in the store yet.

    `data`: None where they are only on disk. `path`: None where they are only in memory.
    `is_retry`: the store may have them already. `is_adopted`: a worker that is no more left it.
    `number`: which one of a living worker.
    """

    __slots__ = (
        "data",
        "ending",
        "first_id",
        "is_adopted",
        "is_retry",
        "number",
        "path",
        "rows",
        "size",
        "source",
    )

    def __init__(
        self,
        data: bytes | None,
        *,
        rows: int,
        first_id: str,
        source: RecordSource,
        path: Path | None = None,
        size: int = 0,
        ending: str = PACKED,
        is_retry: bool = False,
        is_adopted: bool = False,
        number: int = 0,
    ) -> None:
        self.data = data
        self.rows = rows
        self.first_id = first_id
        self.source = source
        self.path = path
        self.size = size
        self.ending = ending
        self.is_retry = is_retry
        self.is_adopted = is_adopted
        self.number = number


def reader_of(
    ending: str, source: RecordSource
) -> Callable[[bytes], list[Record] | list[RecordedRequest]]:
    """What reads a source's segments: records of lines, else requests. Raises ValueError."""
    return decode_lines if ending == LINES else Unpacker(source).unpack


def count(ending: str, data: bytes) -> tuple[int, str]:
    """How many rows a segment has, and the id of the first, empty where there is none.

    Raises ValueError for what is no segment.
    """
    if ending == PACKED:
        packed = frames.decode(data)
        rows = sum(map(frames.count, packed))
        first = frames.first_id(packed[0]) if packed else ""
    else:
        lines = [line for line in data.splitlines() if line.strip()]
        rows = len(lines)
        first = msgspec.json.decode(lines[0], type=Record).id if lines else ""
    if first:
        check_id(first)
    return rows, first


def erase(ending: str, data: bytes, tokens: Collection[str]) -> Iterator[tuple[int, bytes, int]]:
    """What to write over the rows of a subject: where, the bytes, and how many rows they are."""
    if ending == PACKED:
        yield from frames.erase(data, tokens)
        return
    marks = [f'"subject":"{token}"'.encode() for token in tokens]
    start = 0
    for line in data.splitlines(keepends=True):
        text = line.rstrip(b"\n")
        # The mark is quick to look for; the record itself decides.
        if any(mark in line for mark in marks) and _subject(line) in tokens:
            yield start, b" " * len(text), 1
        start += len(line)


def _subject(line: bytes) -> str | None:
    return msgspec.json.decode(line, type=Record).subject
