"""`tabserve explain`: what moves a model's scores, as a page for its model card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bentos.model.explanation.overall import Dependence
    from bentos.model.loading import LoadedModel
    from bentos.model.validation import EncodedRow

# Rows that are explained: at a millisecond each, a few seconds.
MOST_ROWS = 2000


@click.command()
@click.argument("model")
@click.option(
    "--global",
    "is_global",
    is_flag=True,
    required=True,
    help="Explain the model over many rows; POST /v1/explain explains one.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV or Parquet file of rows; by default the reference that was logged with the model.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("explanation.html"),
    show_default=True,
    help="HTML file to write.",
)
def explain(model: str, is_global: bool, data: Path | None, output: Path) -> None:
    """Draw which features move a model's scores, and how.

    MODEL is NAME or NAME:VERSION of the Bento store. The page has the mean absolute contribution of
    each feature, and how it depends on the feature's value; groups of rows, never single ones.
    """
    from bentos import settings  # noqa: PLC0415 - --help stays quick
    from bentos.audit import rescoring  # noqa: PLC0415 - --help stays quick
    from bentos.errors import TabserveError  # noqa: PLC0415 - --help stays quick
    from bentos.model import naming  # noqa: PLC0415 - --help stays quick
    from bentos.model.explanation import page  # noqa: PLC0415 - --help stays quick

    served = rescoring.open_served(naming.resolve(model), settings.read())
    if served.explainer.obstacle is not None:
        raise TabserveError(f"the model's scores are not explained: {served.explainer.obstacle}")
    rows, source = _read(served, data)
    found = _summarize(served, rows)
    stored = served.stored
    title = f"{stored.name}:{stored.version}"
    unit = str(served.explainer.describe()["unit"])
    output.write_text(page.draw(title, unit, len(rows), source, found))
    click.echo(f"{output}: {len(rows):,} rows of {source}")
    for one in found[:5]:
        click.echo(f"{one.importance:10.4f}  {one.feature}")


def _read(served: LoadedModel, data: Path | None) -> tuple[list[EncodedRow], str]:
    from bentos.commands import tables  # noqa: PLC0415 - --help stays quick
    from bentos.errors import TabserveError  # noqa: PLC0415 - --help stays quick
    from bentos.model import bundle  # noqa: PLC0415 - --help stays quick

    path = data or bundle.find(served.stored.folder, bundle.REFERENCE)
    if path is None:
        raise TabserveError("no reference was logged with the model: give rows with --data")
    frame = tables.read_table(path, served.contract)
    # Spread over the file, the same rows each time: files are often in some order.
    step = max(1, len(frame) // MOST_ROWS)
    read = tables.read_rows(frame.iloc[::step][:MOST_ROWS], served.contract, served.reader)
    rows = [row for row in read if isinstance(row, tuple)]
    if not rows:
        raise TabserveError(f"{path.name} has no row that the model's contract accepts")
    return rows, "the logged reference" if data is None else path.name


def _summarize(served: LoadedModel, rows: list[EncodedRow]) -> list[Dependence]:
    import numpy as np  # noqa: PLC0415 - --help stays quick

    from bentos.model.explanation import overall  # noqa: PLC0415 - --help stays quick
    from bentos.model.explanation.contributions import check_sum  # noqa: PLC0415 - --help stays quick

    contributor = served.explainer.contributor
    matrix = contributor.frame(rows)
    parts, raw = contributor.compute(matrix)
    check_sum(parts, raw)
    # Of several classes, those of the likeliest: what a row was decided by.
    chosen = np.argmax(raw, axis=1)
    own = parts[np.arange(len(rows)), chosen, :-1]
    features = served.contract.features
    labels = [
        None if one.categories is None else [str(label) for label in one.categories]
        for one in features
    ]
    columns = [matrix[:, place] for place in range(len(features))]
    return overall.summarize(served.contract.names, columns, labels, own)
