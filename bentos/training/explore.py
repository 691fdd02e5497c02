"""`tabserve explore`: a table before anything is learned from it, as one HTML page.

The page is skrub's TableReport (types, missing values, distributions, associations), in one file
that loads nothing from other hosts. What a model's owner asks first stands in front of it: rows
that occur twice, and columns that say the target almost alone.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bentos.training import TrainingError

if TYPE_CHECKING:
    import pandas as pd

# A single column with such an area under the curve is rarely known before the outcome.
LEAK_AUC = 0.95
# Associations and pictures of more columns take minutes.
_MAX_COLUMNS = 100


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="CSV or Parquet file.",
)
@click.option("--target", help="Column of --data that a model would predict.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("explore.html"),
    show_default=True,
    help="HTML file to write.",
)
def explore(data: Path, target: str | None, output: Path) -> None:
    """Describe a table on one HTML page.

    Shows types, missing values, distributions and associations; with --target also how well
    each column separates a binary target alone, and which of them look like leaks.
    """
    from bentos.training.data import read_table  # noqa: PLC0415 - --help stays quick

    frame = read_table(data)
    if target is not None and target not in frame.columns:
        raise TrainingError(f"{data.name} has no column {target!r}")
    lines = find_notes(frame, target)
    output.write_text(draw(frame, data.name, lines))
    for line in lines:
        click.echo(line)
    click.echo(f"{output}: {len(frame):,} rows, {frame.shape[1]} columns")


def find_notes(frame: pd.DataFrame, target: str | None) -> list[str]:
    """What to know before training, a line each; no line holds a value of the table."""
    notes = [f"{int(frame.duplicated().sum()):,} rows are copies of an earlier row"]
    constant = [str(name) for name in frame if frame[name].nunique(dropna=False) < 2]
    if constant:
        notes.append(f"columns of one value: {', '.join(constant)}")
    if target is None:
        return notes
    values = frame[target]
    if values.nunique() != 2 or values.isna().any():
        return [*notes, f"target {target}: not binary, so columns are not ranked"]
    ranked = rank(frame.drop(columns=target), values)
    listed = ", ".join(f"{name} {area:.3f}" for name, area in list(ranked.items())[:5])
    notes.append(f"columns that separate {target} best alone (ROC-AUC): {listed}")
    leaks = [name for name, area in ranked.items() if area >= LEAK_AUC]
    if leaks:
        notes.append(f"suspected leaks, leave them out with --drop: {', '.join(leaks)}")
    return notes


def rank(features: pd.DataFrame, target: pd.Series) -> dict[str, float]:
    """ROC-AUC of each column alone against a binary target, the largest first.

    Numbers by their order, in either direction; text by the rate of its category on the other
    half of the rows, so that a column of names does not describe itself. A missing value is a
    value of its own.
    """
    import numpy as np  # noqa: PLC0415 - --help stays quick
    import pandas as pd  # noqa: PLC0415 - --help stays quick
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 - --help stays quick

    outcomes = (target == sorted(target.unique())[1]).to_numpy(dtype=np.float64)
    halves = np.arange(len(outcomes)) % 2
    found: dict[str, float] = {}
    for name in features:
        values = features[name]
        if pd.api.types.is_numeric_dtype(values.dtype):
            numbers = values.astype("float64")
            scores = numbers.fillna(numbers.min() - 1.0).to_numpy()
        else:
            text = values.astype(str)
            scores = np.full(len(outcomes), outcomes.mean())
            for half in (0, 1):
                rates = (
                    pd.Series(outcomes[halves != half])
                    .groupby(text.to_numpy()[halves != half])
                    .mean()
                )
                mine = halves == half
                known = text[mine].map(rates).fillna(outcomes.mean())
                scores[mine] = known.to_numpy(dtype=np.float64)
        area = float(roc_auc_score(outcomes, scores))
        found[str(name)] = max(area, 1.0 - area)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def draw(frame: pd.DataFrame, title: str, notes: list[str]) -> str:
    """The page: notes, then skrub's report, which shows ten rows of the table."""
    from skrub import TableReport  # noqa: PLC0415 - --help stays quick

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
    section = f'<section style="font-family:sans-serif;margin:1rem"><ul>{listed}</ul></section>'
    head, mark, body = html.partition("<body>")
    return head + mark + section + body if mark else section + html
