"""Many files as one stream by id, in bounded memory.

A file is sorted by id and its name says from which millisecond to which its ids are, so a
file is opened when the stream comes to it, and of each file that is open one row group is
held. What a selection does not want is skipped by name, by the statistics of row groups,
and by the few columns that decide, before any other column is read.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types
import pyarrow.compute as pc  # type: ignore[import-untyped]  # the same
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # the same

from bentos.ids import from_milliseconds, new_id
from bentos.records.parquet.files import Files
from bentos.records.parquet.rows import (
    complete,
    count_below,
    sort,
    sort_unique,
    strings,
    to_parquet,
)
from bentos.records.record import Window

_FILE = re.compile(r"([0-9a-f]{12})-([0-9a-f]{12})-([0-9a-f-]{36})\.parquet")
_DAY = re.compile(r"date=(\d{4}-\d{2}-\d{2})")

# An id begins with its millisecond: twelve digits and a hyphen.
_PREFIX = 13

# Above every id: "g" follows the last hexadecimal digit.
_NO_END = "g"


class Part(NamedTuple):
    """One file: its ids begin with `first` to `last`; `written` orders files by age."""

    path: str
    first: str
    last: str
    written: str


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which rows: all that meet every condition that is given.

    `ids`: sorted. `first_id` is the least id, `end_id` the one after the last.
    """

    first_id: str = ""
    end_id: str = _NO_END
    model: str | None = None
    version: str | None = None
    ids: Sequence[str] | None = None
    subjects: Sequence[str] | None = None

    @classmethod
    def of_window(cls, window: Window) -> Selection:
        """The rows of a window."""
        return cls(
            first_id=window.first_id,
            end_id=window.end_id,
            model=window.model,
            version=window.version,
        )

    @classmethod
    def of_ids(cls, ids: Sequence[str]) -> Selection:
        """The rows that have one of these ids."""
        ordered = sorted(set(ids))
        if not ordered:
            return cls(ids=(), end_id="")
        return cls(ids=ordered, first_id=ordered[0], end_id=ordered[-1] + "~")

    def may_hold(self, low: str, high: str) -> bool:
        """Whether there may be a row between two ids, or their beginnings, both included."""
        if low >= self.end_id or high < self.first_id[: len(high)]:
            return False
        return self.ids is None or bool(self._between(low, high))

    def is_whole(self, low: str, high: str) -> bool:
        """Whether every row between two ids, both included, is wanted."""
        others = (self.model, self.version, self.ids, self.subjects)
        return self.first_id <= low and high < self.end_id and others == (None,) * 4

    @property
    def columns(self) -> list[str]:
        """The columns that `pick` looks at."""
        conditions = {"model": self.model, "version": self.version, "subject": self.subjects}
        return ["id", *(name for name, wanted in conditions.items() if wanted is not None)]

    def pick(self, table: pa.Table, low: str, high: str) -> pa.Array:
        """For each row of a table, whose ids are from `low` to `high`, whether it is wanted."""
        ids = table["id"]
        picked = pc.and_(
            pc.greater_equal(ids, strings([self.first_id])[0]),
            pc.less(ids, strings([self.end_id])[0]),
        )
        sets = {
            "id": None if self.ids is None else self._between(low, high),
            "model": None if self.model is None else [self.model],
            "version": None if self.version is None else [self.version],
            "subject": self.subjects,
        }
        for name, wanted in sets.items():
            if wanted is not None:
                picked = pc.and_(picked, pc.is_in(table[name], value_set=strings(wanted)))
        return picked

    def _between(self, low: str, high: str) -> Sequence[str]:
        ids = self.ids or ()
        return ids[bisect_left(ids, low) : bisect_right(ids, high + "~")]


def list_parts(files: Files, kind: str, selection: Selection = Selection()) -> list[Part]:
    """The files of a kind that may have a row of the selection."""
    first_day, end_day = _day(selection.first_id), _day(selection.end_id)
    return [
        part
        for folder in list_days(files, kind)
        if first_day <= folder <= end_day
        for name in files.names(f"{kind}/{folder}")
        if (part := _parse(f"{kind}/{folder}", name)) and selection.may_hold(part.first, part.last)
    ]


def list_days(files: Files, kind: str) -> list[str]:
    """The folders of a kind, `date=YYYY-MM-DD`, the first day first."""
    return [name for name in files.names(kind) if _DAY.fullmatch(name)]


def write_part(files: Files, kind: str, table: pa.Table) -> Part:
    """Write a table, sorted by id and of one day, as a new file of that day."""
    first, last = (table["id"][place].as_py()[:_PREFIX] for place in (0, -1))
    written = new_id()
    name = f"{first.replace('-', '')}-{last.replace('-', '')}-{written}.parquet"
    part = Part(f"{kind}/{_day(first)}/{name}", first, last, written)
    files.write(part.path, to_parquet(table))
    return part


def merge(
    files: Files,
    parts: Sequence[Part],
    columns: Sequence[str],
    selection: Selection,
    *,
    is_unique: bool = True,
) -> Iterator[pa.Table]:
    """The selected rows of files as tables that follow each other by id.

    Of rows with the same id only that of the oldest file, if `is_unique`; else all of
    them, the oldest file's first.
    """
    waiting = deque(sorted(parts, key=lambda part: part.first))
    runs: list[_Run] = []
    try:
        while waiting or runs:
            # Up to the horizon every row is at hand: of all files that may have one.
            while waiting and (
                not runs or waiting[0].first <= min(run.last_id for run in runs)[:_PREFIX]
            ):
                runs.append(_Run(files, waiting.popleft(), columns, selection))
                if not runs[-1].advance():
                    runs.pop()
            if not runs:
                break
            horizon = min(run.last_id for run in runs)
            runs.sort(key=lambda run: run.written)
            table = pa.concat_tables([run.take_to(horizon) for run in runs])
            runs = [run for run in runs if run.table.num_rows or run.advance()]
            yield (sort_unique if is_unique else sort)(table)
    finally:
        for run in runs:
            run.close()


def count_rows(files: Files, part: Part) -> int:
    """How many rows a file has, by its footer."""
    # The footer of a hundred thousand rows is 21 kB.
    for last_bytes in (1 << 16, None):
        content = files.read(part.path, last_bytes)
        if content is None:
            return 0
        with files.working():
            try:
                rows: int = pq.read_metadata(pa.BufferReader(content)).num_rows
                return rows
            except pa.ArrowInvalid:
                if last_bytes is None:
                    raise
    return 0


class _Run:
    """One file on its way through a merge: `table` is what was read and not yet given."""

    def __init__(
        self, files: Files, part: Part, columns: Sequence[str], selection: Selection
    ) -> None:
        self._files = files
        self._columns = list(columns)
        self._selection = selection
        self._source = files.open(part.path)
        self._groups = self._read()
        self.written = part.written
        self.table: Any = None
        self.last_id = ""

    def advance(self) -> bool:
        """Read on; False at the end of the file, which is then closed."""
        with self._files.working():
            self.table = next(self._groups, None)
        if self.table is None:
            self.close()
            return False
        self.last_id = self.table["id"][-1].as_py()
        return True

    def take_to(self, horizon: str) -> pa.Table:
        """Take the rows up to an id, itself included."""
        count = count_below(self.table, horizon + "~")
        taken, self.table = self.table[:count], self.table[count:]
        return taken

    def close(self) -> None:
        """Let go of the file."""
        if self._source is not None:
            self._source.close()

    def _read(self) -> Iterator[pa.Table]:
        # Dropped or erased since it was listed: then it has no rows.
        if self._source is None:
            return
        file = pq.ParquetFile(self._source)
        place = file.schema_arrow.names.index("id")
        for number in range(file.num_row_groups):
            known = file.metadata.row_group(number).column(place).statistics
            if not self._selection.may_hold(known.min, known.max):
                continue
            if self._selection.is_whole(known.min, known.max):
                yield complete(file.read_row_group(number, self._columns), self._columns)
                continue
            deciding = file.read_row_group(number, self._selection.columns)
            picked = self._selection.pick(deciding, known.min, known.max)
            if pc.any(picked).as_py():
                table = file.read_row_group(number, self._columns).filter(picked)
                yield complete(table, self._columns)


def _parse(folder: str, name: str) -> Part | None:
    found = _FILE.fullmatch(name)
    if found is None:
        return None
    first, last, written = found.groups()
    return Part(f"{folder}/{name}", f"{first[:8]}-{first[8:]}", f"{last[:8]}-{last[8:]}", written)


def _day(prediction_id: str) -> str:
    # Of the beginning of an id, too; what is no id bounds nothing.
    if prediction_id in ("", _NO_END):
        return prediction_id and "date=~"
    count = int(prediction_id[:8] + prediction_id[9:_PREFIX], 16)
    return f"date={from_milliseconds(count).date().isoformat()}"
