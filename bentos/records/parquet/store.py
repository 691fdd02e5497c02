"""The log in Parquet files by day: for more rows than one PostgreSQL holds.

    schema.json
    predictions/date=2026-11-21/<first ms>-<last ms>-<id of the write>.parquet
    shadows/date=.../...        what candidates scored beside the answers
    outcomes/date=.../...       by the day of the prediction, too
    registrations/, environments/, events/, erasures/

A folder or anything fsspec reaches holds them. Days are those of the ids, UTC. Any engine
reads them; with DuckDB:

    SELECT * FROM 'FOLDER/predictions/*/*.parquet'

A write is one file a day, so the caller gathers rows for a minute first (`gather_seconds`),
and keeps them safe until then. Of a row that a crash left in two files the one that was
written first is read.

Writers need no lock, and readers see whole files only. What no file system promises is
that several files change at once: while `drop_before` or `forget` works, some are done
and some are not, and after a crash it is called again. Two erasures at once are safe for
predictions (`erasure`); run one at a time where their outcomes must go as well.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from operator import attrgetter
from typing import Any

from bentos.errors import ConfigurationError, StoreDown

try:
    import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types
    import pyarrow.compute as pc  # type: ignore[import-untyped]  # the same

    from bentos.records.parquet import documents, erasure
    from bentos.records.parquet import outcomes as outcome_files
    from bentos.records.parquet.erasure import OUTCOMES, PREDICTIONS, SHADOWS
    from bentos.records.parquet.files import Files
    from bentos.records.parquet.merge import (
        Part,
        Selection,
        count_rows,
        list_days,
        list_parts,
        merge,
        write_part,
    )
    from bentos.records.parquet.rows import PREDICTIONS as COLUMNS
    from bentos.records.parquet.rows import SHADOWS as SHADOW_COLUMNS
    from bentos.records.parquet.rows import (
        split_days,
        split_shadows,
        strings,
        to_records,
        to_table,
        values,
    )
except ImportError as error:
    raise ConfigurationError(
        f"a log of Parquet files needs {error.name}: pip install 'tabserve[parquet]'"
    ) from None
from bentos.ids import floor_id, start_of_day, time_of
from bentos.records.missing import no_log
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
from bentos.records.request import RecordedRequest, unpack

_FOLDERS = (
    PREDICTIONS,
    SHADOWS,
    OUTCOMES,
    documents.REGISTRATIONS,
    documents.ENVIRONMENTS,
    documents.EVENTS,
    erasure.MARKS,
)


# Where rows are: answers, and what was scored beside them.
_KINDS = (PREDICTIONS, SHADOWS)


class ParquetStore:
    """A prediction log in a folder, or anywhere fsspec reaches."""

    # About 20 MB as a file.
    max_rows = 100_000

    def __init__(self, location: str, gather_seconds: float = 60.0) -> None:
        self.gather_seconds = gather_seconds
        self._files = Files(location)

    def prepare(self) -> None:
        """Make the folders; bring their schema up to date."""
        self._files.make_folder("")
        found = documents.read_schema(self._files)
        for folder in _FOLDERS:
            self._files.make_folder(folder)
        if found < documents.VERSION:
            # Last: it says that all is there.
            documents.write_schema(self._files)

    def check(self) -> None:
        """Look for a log, and at its schema; make nothing."""
        found = documents.read_schema(self._files)
        if not found:
            raise no_log("in this folder")
        if found < documents.VERSION:
            raise StoreDown("the log's schema is older than this tabserve: run `tabserve migrate`")

    def register(self, registration: Registration, environment: Environment) -> None:
        """Write down a model version and an environment, unless they are known."""
        documents.write_registration(self._files, registration)
        documents.write_environment(self._files, environment)

    def write(self, records: Sequence[Record], *, is_retry: bool) -> None:
        """Store all records or none; what is there by its id stays as it is."""
        table = to_table(records)
        has_subjects = table["subject"].null_count < table.num_rows
        marks = erasure.read_marks(self._files) if has_subjects else {}
        barred = erasure.pick_barred(table, marks)
        if is_retry:
            stored = Selection.of_ids([record.id for record in records])
            parts = [part for kind in _KINDS for part in list_parts(self._files, kind, stored)]
            if barred is not None:
                # The first attempt may have stored them and not lived to look again.
                erasure.settle(self._files, parts)
            for found in merge(self._files, parts, ["id"], stored):
                table = _without(
                    table, pc.is_in(table["id"], value_set=found["id"].combine_chunks())
                )
            barred = erasure.pick_barred(table, marks)
        table = table if barred is None else _without(table, barred)
        written = self._write_days(dict(zip(_KINDS, split_shadows(table), strict=True)))
        if has_subjects:
            erasure.settle(self._files, written, marks)

    def write_requests(self, requests: Sequence[RecordedRequest], *, is_retry: bool) -> None:
        """As `write`: the rows become records first."""
        self.write(unpack(requests), is_retry=is_retry)

    def read(self, window: Window) -> Iterator[Record]:
        """The records of a window by id, streaming."""
        return self._stream(Selection.of_window(window), _kind(window))

    def get(self, prediction_id: str) -> Record | None:
        """One record by its id."""
        return next(self._stream_both(Selection.of_ids(_ids([prediction_id]))), None)

    def versions(self, window: Window) -> list[Version]:
        """Which model versions made predictions in a window, and how many."""
        names = ["model", "version", "contract"]
        counts: dict[tuple[str, str, str], int] = {}
        for table in self._tables(["id", *names], Selection.of_window(window), _kind(window)):
            grouped = table.group_by(names).aggregate([([], "count_all")])
            columns = [values(grouped[name]) for name in (*names, "count_all")]
            for *key, rows in zip(*columns, strict=True):
                counts[tuple(key)] = counts.get(tuple(key), 0) + rows
        return [Version(*key, rows) for key, rows in sorted(counts.items())]

    def sample(self, window: Window, rows: int, seed: int) -> list[Record]:
        """At most so many records of a window, picked by the random end of their ids."""
        start = strings([f"{seed % 2**32:08x}"])[0]
        best: Any = None
        for table in self._tables(["id"], Selection.of_window(window), _kind(window)):
            # The last 32 bits of an id are random: beginning at the seed, round the circle.
            end = pc.utf8_slice_codeunits(table["id"], 28)
            ranked = table.append_column("round", pc.less(end, start)).append_column("end", end)
            best = ranked if best is None else pa.concat_tables([best, ranked])
            order = [(name, "ascending") for name in ("round", "end", "id")]
            best = best.take(pc.sort_indices(best, sort_keys=order)[:rows])
        picked = Selection.of_ids([] if best is None else values(best["id"]))
        return list(self._stream(picked, _kind(window)))

    def registration(self, model: str, version: str) -> Registration | None:
        """What was registered of a model version."""
        return documents.read_registration(self._files, model, version)

    def environment(self, environment_id: str) -> Environment | None:
        """What was registered under an environment's id."""
        return documents.read_environment(self._files, environment_id)

    def find(self, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Model and version of each prediction that is stored, by its id."""
        names = ["id", "model", "version"]
        return {
            name: (model, version)
            for table in self._tables(names, Selection.of_ids(_ids(ids)))
            for name, model, version in zip(
                *(values(table[column]) for column in names), strict=True
            )
        }

    def write_outcomes(self, outcomes: Sequence[tuple[str, str, str]]) -> list[OutcomeStatus]:
        """Store outcomes `(id, outcome, request_id)`; gives for each what became of it.

        One file a day and call: better a list of many outcomes than many calls. No lock keeps
        an erasure from finishing between the look for the predictions and the write: an outcome
        that comes within that moment may stay, under an id that no prediction has.
        """
        return outcome_files.write_outcomes(self._files, outcomes)

    def outcomes(self, window: Window) -> Iterator[Outcome]:
        """The last revision of each outcome of a window's predictions, by id, streaming."""
        return outcome_files.read_outcomes(self._files, window)

    def revisions(self, prediction_id: str) -> list[Outcome]:
        """Every revision of one prediction's outcome, the first one first."""
        known = _ids([prediction_id])
        return outcome_files.read_revisions(self._files, prediction_id) if known else []

    def of_subject(self, tokens: Sequence[str]) -> Iterator[Record]:
        """The records of one subject under any of its tokens, by id."""
        return self._stream_both(Selection(subjects=tokens))

    def forget(self, tokens: Sequence[str], now: datetime) -> dict[str, int]:
        """Erase a subject's rows from every file that has some, and bar late ones."""
        return erasure.erase(self._files, tokens, floor_id(now))

    def scrub(self) -> None:
        """Nothing: `forget` writes the files anew."""

    def drop_before(self, time: datetime) -> dict[str, int]:
        """Remove the folders of the days before the one that `time` is in, UTC."""
        day = start_of_day(time)
        dropped = {PREDICTIONS: 0, OUTCOMES: 0}
        for kind in (OUTCOMES, *_KINDS):
            days = [name for name in list_days(self._files, kind) if name < f"date={day.date()}"]
            for part in list_parts(self._files, kind, Selection(end_id=floor_id(day))):
                # A file that begins at midnight may hold the bound, and is not dropped.
                if part.first < floor_id(day)[: len(part.first)]:
                    counted = OUTCOMES if kind == OUTCOMES else PREDICTIONS
                    dropped[counted] += count_rows(self._files, part)
            for name in days:
                self._files.remove_folder(f"{kind}/{name}")
        erasure.drop_marks(self._files, floor_id(day))
        return dropped

    def note(self, event: Event) -> None:
        """Write down something that was done to the log."""
        documents.write_event(self._files, event)

    def events(self) -> list[Event]:
        """What was done to the log, the first one first."""
        return documents.read_events(self._files)

    def close(self) -> None:
        """Nothing is held between calls."""

    def _write_days(self, tables: Mapping[str, pa.Table]) -> list[Part]:
        written: list[Part] = []
        try:
            for kind, table in tables.items():
                for day in split_days(table):
                    written.append(write_part(self._files, kind, day))
        except BaseException:
            # All or none; where this fails too, the retry finds what is there.
            for part in written:
                with suppress(StoreDown):
                    self._files.remove(part.path)
            raise
        return written

    def _stream(self, selection: Selection, kind: str) -> Iterator[Record]:
        columns = SHADOW_COLUMNS if kind == SHADOWS else COLUMNS
        for table in self._tables(columns.names, selection, kind):
            yield from to_records(table)

    def _stream_both(self, selection: Selection) -> Iterator[Record]:
        streams = [self._stream(selection, kind) for kind in _KINDS]
        return heapq.merge(*streams, key=attrgetter("id"))

    def _tables(
        self, columns: Sequence[str], selection: Selection, kind: str = PREDICTIONS
    ) -> Iterator[pa.Table]:
        parts = list_parts(self._files, kind, selection)
        yield from merge(self._files, parts, columns, selection)


def _kind(window: Window) -> str:
    return SHADOWS if window.is_shadow else PREDICTIONS


def _ids(texts: Sequence[str]) -> list[str]:
    # What is no id is not there; it is no failure to ask for it.
    known = []
    for text in texts:
        with suppress(ValueError):
            time_of(text)
            known.append(text)
    return known


def _without(table: pa.Table, picked: pa.Array) -> pa.Table:
    return table.filter(pc.invert(picked))
