"""Erasing a subject from files, while others write and erase.

First a mark is left that bars the subject's rows made so far, then every file that has
some is replaced. A writer or an erasure that puts a file in place reads the marks afterwards,
and replaces the file again if there are new ones: in every order the file ends without the
rows. An erasure that was interrupted is finished by erasing again.

A mark's name holds a digest of the subject's token, and the millisecond before which its
rows are barred; marks are never changed, only added, and dropped with the days they are of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from hashlib import sha256

import pyarrow as pa  # type: ignore[import-untyped]  # it publishes no types
import pyarrow.compute as pc  # type: ignore[import-untyped]  # the same
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # the same

from bentos.records.parquet.files import Files
from bentos.records.parquet.merge import Part, Selection, list_days, list_parts, merge
from bentos.records.parquet.rows import strings, to_parquet, values

MARKS = "erasures"
PREDICTIONS = "predictions"
SHADOWS = "shadows"
OUTCOMES = "outcomes"

_MARK = re.compile(r"([0-9a-f]{64})-([0-9a-f]{12})\.json")

# Digest of a subject's token -> the first id that is not barred, or the beginning of it.
Marks = Mapping[str, str]


def read_marks(files: Files) -> Marks:
    """Every mark, by one listing."""
    marks: dict[str, str] = {}
    for found in map(_MARK.fullmatch, files.names(MARKS)):
        if found is not None:
            digest, digits = found.groups()
            marks[digest] = max(marks.get(digest, ""), f"{digits[:8]}-{digits[8:]}")
    return marks


def drop_marks(files: Files, end_id: str) -> None:
    """Drop the marks that bar only ids below this one: their days are dropped too."""
    end = end_id[:8] + end_id[9:13]
    for name in files.names(MARKS):
        found = _MARK.fullmatch(name)
        if found is not None and found[2] < end:
            files.remove(f"{MARKS}/{name}")


def pick_barred(table: pa.Table, marks: Marks) -> pa.Array | None:
    """For each row whether a mark bars it; None where none is."""
    if not marks:
        return None
    ends = {
        token: marks[digest]
        for token in values(pa.chunked_array([pc.unique(table["subject"])]))
        if token is not None and (digest := _digest(token)) in marks
    }
    if not ends:
        return None
    barred = [
        pc.and_(_is_one_of(table, "subject", [token]), pc.less(table["id"], strings([end])[0]))
        for token, end in ends.items()
    ]
    picked = reduce(pc.or_, barred)
    return picked if pc.any(picked).as_py() else None


def settle(files: Files, parts: Sequence[Part], known: Marks | None = None) -> None:
    """Take from files what is barred by now; `known` are marks they were made under."""
    if parts and (marks := read_marks(files)) != known:
        for part in parts:
            _replace(files, part, marks, ())


def erase(files: Files, tokens: Sequence[str], end_id: str) -> dict[str, int]:
    """Erase a subject's predictions and outcomes; bar those made before `end_id`.

    Ends when a search finds no more of them. Gives how many rows were erased, by kind.
    """
    for token in tokens:
        files.write(f"{MARKS}/{_digest(token)}-{end_id[:8] + end_id[9:13]}.json", b"{}")
    for kind in (PREDICTIONS, SHADOWS, OUTCOMES):
        for day in list_days(files, kind):
            files.remove_unfinished(f"{kind}/{day}")
    mine = Selection(subjects=tokens)
    erased: set[str] = set()
    outcomes = 0
    while holding := _find(files, mine):
        ids = set[str]().union(*holding.values())
        # Before the predictions: only these say whose the outcomes are.
        outcomes += _erase_outcomes(files, ids)
        for part in holding:
            _replace(files, part, read_marks(files), tokens)
        erased |= ids
    # One may have come just before its prediction went.
    outcomes += _erase_outcomes(files, erased)
    return {"predictions": len(erased), "outcomes": outcomes}


def _find(files: Files, selection: Selection) -> dict[Part, set[str]]:
    holding = {}
    for part in list_parts(files, PREDICTIONS) + list_parts(files, SHADOWS):
        tables = merge(files, [part], ["id"], selection)
        if ids := {name for table in tables for name in values(table["id"])}:
            holding[part] = ids
    return holding


def _erase_outcomes(files: Files, ids: set[str]) -> int:
    erased = 0
    selection = Selection.of_ids(list(ids))
    while parts := [
        part
        for part in list_parts(files, OUTCOMES, selection)
        if next(merge(files, [part], ["id"], selection), None) is not None
    ]:
        for part in parts:
            table = _read(files, part)
            if table is not None:
                gone = _is_one_of(table, "id", selection.ids or ())
                erased += pc.sum(gone).as_py()
                _keep(files, part, table, gone)
    return erased


def _replace(files: Files, part: Part, marks: Marks, tokens: Sequence[str]) -> None:
    while (table := _read(files, part)) is not None:
        gone = _is_one_of(table, "subject", tokens)
        barred = pick_barred(table, marks)
        gone = gone if barred is None else pc.or_(gone, barred)
        if not pc.any(gone).as_py():
            return
        _keep(files, part, table, gone)
        # An erasure that began meanwhile may have replaced the file between our reading
        # and our writing: what it had taken out would be back.
        seen, marks = marks, read_marks(files)
        if marks == seen:
            return


def _keep(files: Files, part: Part, table: pa.Table, gone: pa.Array) -> None:
    kept = table.filter(pc.invert(gone))
    if kept.num_rows:
        files.write(part.path, to_parquet(kept))
    else:
        files.remove(part.path)


def _read(files: Files, part: Part) -> pa.Table | None:
    source = files.open(part.path)
    if source is None:
        return None
    with files.working(), source:
        return pq.ParquetFile(source).read()


def _is_one_of(table: pa.Table, column: str, wanted: Sequence[str]) -> pa.Array:
    # `is_in` is false, not null, for a null that is not among the values.
    return pc.is_in(table[column], value_set=strings(wanted))


def _digest(token: str) -> str:
    return sha256(token.encode(errors="surrogatepass")).hexdigest()
