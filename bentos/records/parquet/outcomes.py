"""Outcomes in files: added, never changed.

Writers on several machines do not wait for each other. Each numbers a new outcome after
those that it finds; where two did so at once, the order is that of (revision, time
received, time-ordered id of the write), the same for every reader. Readers drop what
repeats the outcome before it and number the rest from 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter

import msgspec

from bentos.ids import from_milliseconds, is_id, milliseconds
from bentos.records.parquet.erasure import OUTCOMES, PREDICTIONS, SHADOWS
from bentos.records.parquet.files import Files
from bentos.records.parquet.merge import Selection, list_parts, merge, write_part
from bentos.records.parquet.rows import OUTCOMES as SCHEMA
from bentos.records.parquet.rows import outcomes_to_table, split_days, to_outcomes, values
from bentos.records.record import MOST_REVISIONS, Outcome, OutcomeStatus, Window


def write_outcomes(files: Files, outcomes: Sequence[tuple[str, str, str]]) -> list[OutcomeStatus]:
    """Store outcomes `(id, outcome, request_id)`; gives for each what became of it."""
    now_ms = milliseconds(datetime.now(UTC))
    now = from_milliseconds(now_ms)
    # Refused before anything is read: these can never be stored.
    offered = [Outcome(name, outcome, 1, now, request) for name, outcome, request in outcomes]
    outcomes_to_table(offered, now_ms)
    selection = Selection.of_ids([outcome.id for outcome in offered])
    last = {revisions[-1].id: revisions[-1] for revisions in _read(files, selection)}
    # The predictions last: as little time as can be for an erasure to come between.
    known = set(_read_ids(files, selection)) if offered else set()
    news: list[Outcome] = []
    taken: list[OutcomeStatus] = []
    for outcome in offered:
        before = last.get(outcome.id)
        if outcome.id not in known:
            taken.append("unknown")
        elif before is not None and before.outcome == outcome.outcome:
            taken.append("unchanged")
        elif before is not None and before.revision >= MOST_REVISIONS:
            taken.append("too_many")
        else:
            taken.append("recorded")
            revision = 1 if before is None else before.revision + 1
            last[outcome.id] = msgspec.structs.replace(outcome, revision=revision)
            news.append(last[outcome.id])
    for table in split_days(outcomes_to_table(news, now_ms)):
        write_part(files, OUTCOMES, table)
    return taken


def read_revisions(files: Files, prediction_id: str) -> list[Outcome]:
    """Every revision of one prediction's outcome, the first one first."""
    return next(_read(files, Selection.of_ids([prediction_id])), [])


def read_outcomes(files: Files, window: Window) -> Iterator[Outcome]:
    """The last revision of each outcome of a window's predictions, by id, streaming."""
    if window.is_shadow:
        yield from _read_of_shadows(files, window)
        return
    selection = Selection.of_window(window)
    wanted = msgspec.structs.replace(window, model=None, version=None)
    predictions = _read_ids(files, selection)
    prediction = next(predictions, None)
    for revisions in _read(files, Selection.of_window(wanted)):
        while prediction is not None and prediction < revisions[-1].id:
            prediction = next(predictions, None)
        if prediction == revisions[-1].id:
            yield revisions[-1]


def _read_of_shadows(files: Files, window: Window) -> Iterator[Outcome]:
    # Each under its own id, with the outcome of the answer that it names. In memory: a shadow
    # runs for hours, not for months.
    selection = Selection.of_window(window)
    own: dict[str, list[str]] = {}
    for table in merge(files, list_parts(files, SHADOWS, selection), ["id", "shadow"], selection):
        for shadow, answer in zip(values(table["id"]), values(table["shadow"]), strict=True):
            if is_id(answer):
                own.setdefault(answer, []).append(shadow)
    found = [
        msgspec.structs.replace(revisions[-1], id=shadow)
        for revisions in _read(files, Selection.of_ids(list(own)))
        for shadow in own[revisions[-1].id]
    ]
    yield from sorted(found, key=attrgetter("id"))


def _read_ids(files: Files, selection: Selection) -> Iterator[str]:
    parts = list_parts(files, PREDICTIONS, selection)
    for table in merge(files, parts, ["id"], selection):
        yield from values(table["id"])


def _read(files: Files, selection: Selection) -> Iterator[list[Outcome]]:
    parts = list_parts(files, OUTCOMES, selection)
    tables = merge(files, parts, SCHEMA.names, selection, is_unique=False)
    rows = (outcome for table in tables for outcome in to_outcomes(table))
    for _, revisions in groupby(rows, attrgetter("id")):
        yield _number(revisions)


def _number(outcomes: Iterable[Outcome]) -> list[Outcome]:
    # Stable: the last criterion is the order in which files were merged, by their age.
    ordered = sorted(outcomes, key=attrgetter("revision", "received"))
    different = [
        outcome
        for place, outcome in enumerate(ordered)
        if place == 0 or outcome.outcome != ordered[place - 1].outcome
    ]
    return [
        msgspec.structs.replace(outcome, revision=number)
        for number, outcome in enumerate(different, start=1)
    ]
