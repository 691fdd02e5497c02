"""`tabserve predict`: a file of rows scored on the spot, as requests would be."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bentos.audit.output import open_output, output_option

if TYPE_CHECKING:
    from bentos.errors import Fault
    from bentos.model.contract import Contract
    from bentos.model.scoring import Scored


@click.command()
@click.argument("model")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output_option
def predict(model: str, file: Path, output: Path | None) -> None:
    """Score a CSV or Parquet file without a server.

    MODEL is NAME or NAME:VERSION of the Bento store. Writes CSV, one line a row of FILE: its
    number, score and label, or its faults. Rows go the way of a request: same checks, same
    scores to the last bit; nothing enters the prediction log. FILE is read in parts, so it may be
    larger than memory. Exits with 1 if no row was scored.
    """
    from bentos import settings  # noqa: PLC0415 - --help stays quick
    from bentos.audit import rescoring  # noqa: PLC0415 - --help stays quick
    from bentos.commands import tables  # noqa: PLC0415 - --help stays quick
    from bentos.model import naming  # noqa: PLC0415 - --help stays quick

    served = rescoring.open_served(naming.resolve(model), settings.read())
    made = served.contract
    scored, refused = 0, 0
    first = ""
    with open_output(output) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        for part in tables.read_parts(file, made):
            if not scored + refused:
                # Not before the file has shown that it can be read.
                writer.writerow(["row", *_head(made), "faults"])
            rows = list(tables.read_rows(part, made, served.reader))
            good = [row for row in rows if isinstance(row, tuple)]
            answers = iter(served.scorer.score(good).scored if good else ())
            for number, row in enumerate(rows, scored + refused):
                if isinstance(row, tuple):
                    writer.writerow([number, *_cells(made, next(answers)), ""])
                else:
                    writer.writerow([number, *[""] * len(_head(made)), _faults(row)])
                    # The codes of the column say which rule, not what would meet it.
                    first = first or f"row {number}: {row[0].pointer} {row[0].detail}"
            scored += len(good)
            refused += len(rows) - len(good)
        text.detach()
    click.echo(f"{scored:,} rows scored, {refused:,} refused", err=True)
    if first:
        click.echo(f"the first refused is {first}", err=True)
    if not scored:
        raise click.exceptions.Exit(1)


def _head(made: Contract) -> list[str]:
    if made.task == "multiclass":
        return [*(f"score_{label}" for label in made.classes or ()), "label"]
    return ["score", "label"] if made.task == "binary" else ["score"]


def _cells(made: Contract, scored: Scored) -> Iterator[object]:
    # repr gives every bit of a score back.
    if made.task == "multiclass":
        yield from (repr(score) for score in scored.scores or ())
    else:
        yield repr(scored.score)
    if made.task != "regression":
        yield scored.label


def _faults(faults: list[Fault]) -> str:
    return "; ".join(f"{fault.pointer} {fault.code}".strip() for fault in faults)
