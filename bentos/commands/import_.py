"""`tabserve import`: an MLflow model into the Bento store."""

from __future__ import annotations

import click

from bentos.commands.trust import trust_code_option


@click.command("import")
@click.argument("uri")
@click.option("--name", help="Name of the Bento model; by default the registered name.")
@trust_code_option
@click.option(
    "--require-reasons",
    "requires_reasons",
    is_flag=True,
    help="Refuse a model that cannot give a reason for each of its features.",
)
def import_(uri: str, name: str | None, trusts_code: bool, requires_reasons: bool) -> None:
    """Bring an MLflow model into the Bento store.

    URI is models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME/latest, models:/m-ID,
    runs:/RUN_ID/PATH or a local folder. MLFLOW_TRACKING_URI names the MLflow server that is
    asked; by default it is a file in the data directory.
    """
    from bentos.model.intake import tracking, uris  # noqa: PLC0415 - --help stays quick

    # Before MLflow and pandas are imported, which takes ten seconds on a busy machine.
    uris.parse(uri)
    # Before anything else of MLflow is imported: it reads its switches then.
    tracking.configure()
    from bentos.model.intake import importing  # noqa: PLC0415 - --help stays quick

    imported = importing.import_model(
        uri, name, trusts_code=trusts_code, requires_reasons=requires_reasons
    )
    for warning in imported.warnings:
        click.echo(f"warning: {warning}", err=True)
    made = imported.contract
    verb = "imported" if imported.is_new else "already in the store:"
    click.echo(
        f"{verb} {imported.tag} ({made.task}, {len(made.features)} features, "
        f"{made.engine}, contract {made.hash[:12]})"
    )
    click.echo(f"next: tabserve serve {imported.tag}")
