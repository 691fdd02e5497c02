"""`tabserve records`: the log read back, as it is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import click

from bentos.audit import columns, formats, streams
from bentos.audit.columns import NoTable, Row
from bentos.audit.opened import OpenedLog, open_log, store_option
from bentos.audit.output import open_output, output_option
from bentos.audit.times import Moment
from bentos.ids import check_id, time_of
from bentos.records.record import Record, Window


@click.command()
@store_option
@click.option("--since", type=Moment(), help="Start: 90s, 15m, 1h, 7d ago, or a time.")
@click.option("--until", type=Moment(), help="End, in the same way.")
@click.option("--id", "prediction_id", help="Only this prediction.")
@click.option("--model", help="Only of this model: NAME or NAME:VERSION.")
@click.option("--version", help="Only of this version: v3, 3 or its full name.")
@click.option("--shadow", "is_shadow", is_flag=True, help="What candidates scored beside answers.")
@click.option("--outcomes", "has_outcomes", is_flag=True, help="Add the outcome of each.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["jsonl", "csv", "parquet"]),
    default="jsonl",
    show_default=True,
    help="Form of the output: JSON lines, CSV or Parquet.",
)
@output_option
def records(
    url: str | None,
    since: datetime | None,
    until: datetime | None,
    prediction_id: str | None,
    model: str | None,
    version: str | None,
    is_shadow: bool,
    has_outcomes: bool,
    kind: str,
    output: Path | None,
) -> None:
    """Write predictions of the log, oldest first.

    Times without a zone are UTC. CSV has a column a feature; a text that a spreadsheet
    would take for a formula gets an apostrophe in front, as does one that has it. A window
    without records is no failure: a line on standard error says so.
    """
    if kind == "parquet" and output is None:
        raise click.UsageError("--format parquet needs --output")
    if prediction_id is not None and (since or until or model or version or is_shadow):
        raise click.UsageError("--id stands alone: it says which prediction")
    window = make_window(since, until, model, version, is_shadow=is_shadow)
    with open_log(url) as log, open_output(output) as file:
        window = log.find_version(window)
        if prediction_id is not None:
            record = _get(log, prediction_id)
            own = time_of(record.id)
            revisions = log.revisions(record.id) if has_outcomes else []
            rows: Iterable[Row] = [(record, revisions[-1] if revisions else None)]
            window = Window(own, own, record.model, record.version, record.shadow is not None)
            versions = {(record.model, record.version)}
        else:
            versions = set()
            if kind != "jsonl":
                versions = {(one.model, one.version) for one in log.store.versions(window)}
            rows = (
                streams.read_labelled(log, window)
                if has_outcomes
                else ((record, None) for record in log.read(window))
            )
        count = _write(log, rows, versions, kind, file, has_outcomes)
    if not count:
        # An empty log and a misspelt model look alike otherwise.
        click.echo("no record in this window", err=True)
    if output is not None:
        click.echo(f"{count:,} {'record' if count == 1 else 'records'} in {output.name}", err=True)


def make_window(
    since: datetime | None,
    until: datetime | None,
    model: str | None,
    version: str | None,
    *,
    is_shadow: bool = False,
) -> Window:
    """Make a window of what was given; what was not leaves it open.

    `model`: also NAME:VERSION. Raises UsageError for one that ends before it begins
    (`--since 1m --until 5m`), and for two versions.
    """
    model, _, named = (model or "").partition(":")
    if named and version:
        raise click.UsageError("--model names a version already: leave --version out")
    model, version = model or None, version or named or None
    if since is not None and until is not None and since >= until:
        raise click.UsageError("the window ends before it begins: --since must be before --until")
    window = Window()
    return Window(since or window.since, until or window.until, model, version, is_shadow)


def _get(log: OpenedLog, prediction_id: str) -> Record:
    try:
        check_id(prediction_id)
    except ValueError as error:
        raise click.UsageError(f"--id: {error}") from None
    record = log.store.get(prediction_id)
    if record is None:
        raise click.ClickException("the log has no prediction of this id")
    return record


def _write(
    log: OpenedLog,
    rows: Iterable[Row],
    versions: set[tuple[str, str]],
    kind: str,
    file: BinaryIO,
    has_outcomes: bool,
) -> int:
    if kind == "jsonl":
        return formats.write_jsonl(rows, file)
    contracts = []
    for model, version in sorted(versions):
        contract = log.contract(model, version)
        if contract is None:
            raise NoTable(
                f"{model}:{version} was never registered, so its columns are not known: "
                "take --format jsonl"
            )
        contracts.append(contract)
    kinds = columns.find_kinds(contracts)
    write = formats.write_csv if kind == "csv" else formats.write_parquet
    return write(rows, file, kinds, has_outcomes=has_outcomes)
