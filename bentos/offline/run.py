"""One run over one file: planned, its parts scored, joined; what a kill left is taken up again.

OUTPUT.parts/manifest.json   what is scored with what, in which parts
OUTPUT.parts/000000          the results of one part; there whole or not at all
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from bentos.errors import TabserveError
from bentos.model.loading import LoadedModel
from bentos.offline import planning, reading, writing
from bentos.offline.files import File
from bentos.offline.planning import Part, Plan
from bentos.serving.http import Timing
from bentos.serving.scored.table import score_table


class Occupied(TabserveError):
    """Where the results should go, there is something else; the message says what to do."""


class Manifest(msgspec.Struct, frozen=True):
    """What a run scores: another one may not take up its parts."""

    source: str
    size: int
    changed: str
    model: str
    digest: str
    unknown_category: str
    plan: Plan


class Counts(msgspec.Struct, frozen=True):
    """How many rows of a part were scored, and how many were not."""

    scored: int
    refused: int


def prepare(
    model: LoadedModel, source: File, target: File, unknown_category: str, part_rows: int
) -> tuple[Manifest, list[Part]]:
    """Plan a run, or take up one that was killed: what it is, and the parts still to do.

    Raises BadFile, Occupied.
    """
    if target.system.exists(target.path):
        raise Occupied(f"{target.name} is there already: remove it, or name another file")
    plan = planning.make(source, part_rows)
    about = source.system.info(source.path)
    stored = model.stored
    manifest = Manifest(
        source.name,
        int(about["size"]),
        str(about.get("mtime") or about.get("ETag") or about.get("LastModified") or ""),
        f"{stored.name}:{stored.version}",
        stored.provenance.digest,
        unknown_category,
        plan,
    )
    folder = target.beside(".parts")
    path = f"{folder}/manifest.json"
    if target.system.exists(path):
        if target.system.cat_file(path) != msgspec.json.encode(manifest):
            raise Occupied(
                f"{target.name}.parts is of another run: the file, the model or a setting changed. "
                "Remove it to begin anew"
            )
    else:
        target.system.makedirs(folder, exist_ok=True)
        target.replace(path, msgspec.json.encode(manifest))
    exists = target.system.exists
    return manifest, [part for part in plan.parts if not exists(path_of(target, part))]


def path_of(target: File, part: Part) -> str:
    """Where the results of a part are."""
    return f"{target.beside('.parts')}/{part.number:06d}"


def score_part(model: LoadedModel, source: File, target: File, plan: Plan, part: Part) -> Counts:
    """Score one part and write its results. Raises BadFile, OSError."""
    table = reading.read(model, source, plan, part)
    results = score_table(model, table, part.first, Timing()).results
    target.replace(path_of(target, part), writing.write_part(model, target, results))
    return Counts(len(table) - len(results.problems), len(results.problems))


def score_parts(
    model: LoadedModel, source: File, target: File, plan: Plan, parts: Iterable[Part]
) -> Iterator[tuple[Part, Counts]]:
    """Score parts one after the other in this process. Raises BadFile, OSError."""
    for part in parts:
        yield part, score_part(model, source, target, plan, part)


def finish(model: LoadedModel, target: File, plan: Plan) -> None:
    """Join the parts into the file, and remove them. Raises OSError."""
    writing.join(model, target, [path_of(target, part) for part in plan.parts])
    target.system.rm(target.beside(".parts"), recursive=True)
