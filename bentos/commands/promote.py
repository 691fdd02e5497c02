"""`tabserve promote`: a registered version becomes the one to serve, if it passes the gate."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bentos.audit.opened import open_log, store_option
from bentos.audit.times import Moment
from bentos.commands.trust import trust_code_option
from bentos.errors import StoreDown

if TYPE_CHECKING:
    from bentos.commands.gate import Finding


@click.command()
@click.argument("name")
@click.argument("version")
@store_option
@click.option("--alias", default="champion", show_default=True, help="Alias to move.")
@click.option(
    "--since",
    type=Moment(),
    default="7d",
    show_default=True,
    help="Start of the recorded rows that are compared: 90s, 15m, 1h, 7d ago, or a time.",
)
@click.option(
    "--max-flipped",
    type=click.FloatRange(0.0, 1.0),
    help="Refuse if more than this share of recorded rows gets another label or is refused.",
)
@trust_code_option
@click.option("--force", is_flag=True, help="Promote even if a condition fails.")
@click.option("--dry-run", is_flag=True, help="Print the findings, and promote nothing.")
def promote(
    name: str,
    version: str,
    url: str | None,
    alias: str,
    since: datetime,
    max_flipped: float | None,
    trusts_code: bool,
    force: bool,
    dry_run: bool,
) -> None:
    """Make a registered version the champion.

    NAME is a registered model of MLflow; VERSION is 4, v4 or @ALIAS. The version is imported and
    compared with the present champion: contract, recorded rows of the prediction log, and
    outcomes where there are some. If a condition fails, nothing changes. Exits with 1 then.
    """
    from bentos.model.intake import tracking  # noqa: PLC0415 - --help stays quick

    # Before anything else of MLflow is imported: it reads its switches then.
    tracking.configure()
    from bentos.commands import gate, inventory  # noqa: PLC0415 - --help stays quick
    from bentos.model.intake import aliases, importing  # noqa: PLC0415 - --help stays quick

    number = aliases.require_version(name, version)
    before = aliases.find(name, alias)
    entries = inventory.read_store("")
    old = inventory.find_tag(entries, name, before)
    imported = importing.import_model(f"models:/{name}/{number}", trusts_code=trusts_code)
    for warning in imported.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{imported.tag} against {old or 'no champion'}")
    findings: list[Finding] = []
    if before is not None and old is None:
        text = f"version {before} was never imported here: contracts are not compared"
        findings.append(gate.Finding("unknown", text))
    if old is not None and old != imported.tag:
        findings += gate.compare_contracts(old, imported.tag)
    try:
        findings += _ask_log(url, since, imported.tag, max_flipped)
    except (click.ClickException, StoreDown) as error:
        text = error.message if isinstance(error, click.ClickException) else str(error)
        findings.append(gate.Finding("unknown", f"no recorded row was compared: {text}"))
    for finding in findings:
        click.echo(f"  {finding.verdict:<8}{finding.text}")
    is_refused = any(finding.verdict == "FAIL" for finding in findings) and not force
    if dry_run or is_refused:
        if before is not None and before != number:
            # NAME:latest is what was imported last: the champion again.
            importing.import_model(f"models:/{name}/{before}", trusts_code=trusts_code)
        if is_refused and not dry_run:
            raise click.ClickException(f"{name} version {number} is not promoted: see FAIL above")
        return
    aliases.move(name, alias, number)
    click.echo(f"{alias} of {name} is version {number}" + (f", was {before}" if before else ""))
    say_restart(imported.tag)


def _ask_log(
    url: str | None, since: datetime, tag: str, max_flipped: float | None
) -> list[Finding]:
    from bentos.audit.records import make_window  # noqa: PLC0415 - --help stays quick
    from bentos.commands import gate  # noqa: PLC0415 - --help stays quick

    window = make_window(since, None, tag.partition(":")[0], None)
    with open_log(url) as log:
        return list(gate.compare_answers(log, window, tag, max_flipped))


def say_restart(tag: str) -> None:
    """Print what has to happen for a service to answer with a model of the Bento store."""
    import bentoml  # noqa: PLC0415 - --help stays quick; an import of a second, which help does not need

    from bentos.model import bundle  # noqa: PLC0415 - --help stays quick
    from bentos.model.layout import MLFLOW_FOLDER  # noqa: PLC0415 - --help stays quick

    name = tag.partition(":")[0]
    click.echo(
        f"restart the service: TABSERVE_MODEL={tag}, or {name}:latest, which is this version now"
    )
    folder = Path(bentoml.models.get(tag).path) / MLFLOW_FOLDER
    if bundle.find(folder, bundle.REFERENCE) is None:
        click.echo("drift: this version has no reference; `tabserve evidence` adds one", err=True)
    else:
        click.echo("drift is measured against this version's own reference from the restart on")
