"""`tabserve explore`: a table before anything is learned from it, as one HTML page.

The page is skrub's TableReport (types, missing values, distributions, associations), in one file
that loads nothing from other hosts. What a model's owner asks first stands in front of it: the
contract that a model of this table would have, rows that occur twice, and columns that say the
target almost alone.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bentos.training import TrainingError

if TYPE_CHECKING:
    import pandas as pd

    from bentos.training.data import Dataset
    from bentos.training.relation import Proposal

# Associations and pictures of more columns take minutes.
_MAX_COLUMNS = 100
# More categories of a column are counted, not listed.
_LISTED_CATEGORIES = 12
_LISTED_COLUMNS = 5

_STYLE = """
<style>
.tabserve { font-family: sans-serif; margin: 1rem; font-size: 14px; }
.tabserve h1 { font-size: 20px; } .tabserve h2 { font-size: 16px; }
.tabserve table { border-collapse: collapse; }
.tabserve th, .tabserve td { text-align: left; padding: 3px 12px 3px 0; vertical-align: top;
  border-bottom: 1px solid #ddd; }
.tabserve .fault { color: #a33; }
</style>
"""


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV or Parquet file; default: the packaged reference data.",
)
@click.option("--target", help="Column of --data that a model would predict.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("explore.html"),
    show_default=True,
    help="HTML file to write.",
)
def explore(data: Path | None, target: str | None, output: Path) -> None:
    """Describe a table on one HTML page.

    Shows types, missing values, distributions, associations, and the contract that a model of
    this table would have; with --target also how well each column says the target alone, and
    which of them look like leaks.
    """
    from bentos.training.data import load_reference  # noqa: PLC0415 - --help stays quick
    from bentos.training.reading import read_table  # noqa: PLC0415 - --help stays quick

    if data is None:
        if target is not None:
            raise click.UsageError("--target goes with --data")
        frame, target, title = join(load_reference())
    else:
        frame, title = read_table(data), data.name
        if target is not None and target not in frame.columns:
            raise TrainingError(f"{data.name} has no column {target!r}")
    lines = find_notes(frame, target)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(draw(frame, title, target, lines), encoding="utf-8")
    for line in lines:
        click.echo(line)
    click.echo(f"{output}: {len(frame):,} rows, {frame.shape[1]} columns")


def describe(dataset: Dataset) -> str:
    """The page of a data set that is trained on."""
    frame, target, title = join(dataset)
    return draw(frame, title, target, find_notes(frame, target))


def join(dataset: Dataset) -> tuple[pd.DataFrame, str, str]:
    """Features and target of a data set as one table, the target's name, a title."""
    target = dataset.description.target.name
    return dataset.features.assign(**{target: dataset.labels}), target, dataset.description.title


def find_notes(frame: pd.DataFrame, target: str | None) -> list[str]:
    """What to know before training, a line each; no line holds a value of the table."""
    from bentos.training import relation  # noqa: PLC0415 - --help stays quick

    notes = [f"{int(frame.duplicated().sum()):,} rows are copies of an earlier row"]
    constant = [str(name) for name in frame if frame[name].nunique(dropna=False) < 2]
    if constant:
        notes.append(f"columns of one value: {', '.join(constant)}")
    unfit = [one.name for one in relation.propose(frame, target) if one.fault]
    if unfit:
        notes.append(f"columns that cannot be features as they are: {', '.join(unfit)}")
    if target is None:
        return notes
    features, values = frame.drop(columns=target), frame[target]
    found = relation.rank(features, values)
    if isinstance(found, str):
        return [*notes, f"target {target}: {found}, so columns are not ranked"]
    listed = ", ".join(
        f"{name} {value:.3f}" for name, value in list(found.values.items())[:_LISTED_COLUMNS]
    )
    if listed:
        notes.append(f"columns that say {target} best alone ({found.measure}): {listed}")
    if found.leaks:
        notes.append(f"suspected leaks, leave them out with --drop: {', '.join(found.leaks)}")
    return notes


def draw(frame: pd.DataFrame, title: str, target: str | None, notes: list[str]) -> str:
    """The page: notes and contract, then skrub's report, which shows ten rows of the table."""
    from skrub import TableReport  # noqa: PLC0415 - --help stays quick

    from bentos.training import relation  # noqa: PLC0415 - --help stays quick

    is_narrow = frame.shape[1] <= _MAX_COLUMNS
    report = TableReport(
        frame,
        title=title,
        verbose=0,
        plot_distributions=is_narrow,
        compute_associations=is_narrow,
        open_tab="stats",
    )
    html = str(report.html())
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    rows = "".join(_row(one) for one in relation.propose(frame, target))
    section = (
        f'{_STYLE}<section class="tabserve"><h1>{escape(title)}</h1><ul>{listed}</ul>'
        "<h2>The contract of a model of this table</h2><table><tr><th>feature</th><th>a client "
        "sends</th><th>missing here</th><th>values</th></tr>"
        f"{rows}</table></section>"
    )
    head, mark, body = html.partition("<body>")
    return head + mark + section + body if mark else section + html


def _row(one: Proposal) -> str:
    sends = f'<span class="fault">{escape(one.fault)}</span>' if one.fault else escape(one.sends)
    values = one.values
    if one.categories is not None:
        shown = ", ".join(one.categories[:_LISTED_CATEGORIES])
        more = len(one.categories) - _LISTED_CATEGORIES
        values = f"{shown}, and {more} more" if more > 0 else shown
    missing = f"{one.missing:.1%}" if one.missing else "none"
    if one.is_nullable:
        missing += "; null is accepted"
    cells = (escape(one.name), sends, missing, escape(values))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
