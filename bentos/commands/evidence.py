"""`tabserve evidence`: what a model that is logged already needs for everything to work."""

from __future__ import annotations

from pathlib import Path

import click

from bentos.commands.trust import trust_code_option


@click.command()
@click.argument("uri")
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="CSV or Parquet file of rows like those of training, which did not train the model.",
)
@click.option("--target", help="Column of --data with the outcomes.")
@click.option(
    "--threshold",
    type=click.FloatRange(0.0, 1.0),
    help="Threshold of a binary model; by default the best of --data by Youden's J.",
)
@click.option(
    "--reasons",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file with the reasons for a refusal, by feature.",
)
@trust_code_option
def evidence(
    uri: str,
    data: Path,
    target: str | None,
    threshold: float | None,
    reasons: Path | None,
    trusts_code: bool,
) -> None:
    """Add evidence to a model that MLflow has.

    URI is that of `tabserve import`. Adds a reference (training ranges, drift), golden rows
    (the proof of the scores at start) and, with --target, a threshold and the metrics that
    performance drift compares with. --reasons is checked and added as it is.
    From Python: bentos.commands.evidence_log.log(...).
    """
    from bentos.model.intake import tracking, uris  # noqa: PLC0415 - --help stays quick

    # Before MLflow and pandas are imported, which takes ten seconds on a busy machine.
    uris.parse(uri)
    # Before anything else of MLflow is imported: it reads its switches then.
    tracking.configure()
    from bentos.commands import evidence_log  # noqa: PLC0415 - --help stays quick

    logged = evidence_log.log(
        uri, data, target, threshold, reasons_file=reasons, trusts_code=trusts_code
    )
    click.echo(f"{logged.rows:,} rows of {data.name} scored by the model itself")
    if logged.refused:
        click.echo(
            f"warning: {logged.refused:,} rows left out: without an outcome, against the model's "
            "contract, or refused by the model itself",
            err=True,
        )
    click.echo(f"logged with {uri}: {', '.join(logged.files)}")
    if logged.threshold is not None:
        click.echo(f"threshold {logged.threshold:.4f}")
    for name, value in logged.metrics.items():
        click.echo(f"{name} {value:,.0f}" if name == "test_rows" else f"{name} {value:.4f}")
    click.echo(f"next: tabserve import {uri}")
