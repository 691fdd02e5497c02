"""`tabserve diff`: what a client would notice between two model versions."""

from __future__ import annotations

from pathlib import Path

import click

from bentos.errors import TabserveError
from bentos.model import compatibility, contract
from bentos.model.contract import Contract


@click.command()
@click.argument("old")
@click.argument("new")
def diff(old: str, new: str) -> None:
    """Compare the contracts of two model versions.

    OLD and NEW are models of the Bento store (NAME, NAME:VERSION) or files named contract.json.
    Exits with 1 if a client of OLD could break with NEW.
    """
    changes = compatibility.compare(_read_contract(old), _read_contract(new))
    if not changes:
        click.echo("no change that a client could notice")
    for change in changes:
        click.echo(f"{'BREAKING' if change.is_breaking else 'ok':8}  {change.place}: {change.what}")
    if any(change.is_breaking for change in changes):
        raise click.exceptions.Exit(1)


def _read_contract(source: str) -> Contract:
    path = Path(source)
    try:
        if not path.is_file():
            # Here, because BentoML takes a second to import and files do not need it.
            import bentoml  # noqa: PLC0415 - --help stays quick

            from bentos.model import naming  # noqa: PLC0415 - --help stays quick
            from bentos.model.layout import CONTRACT, FOLDER, MLFLOW_FOLDER  # noqa: PLC0415 - --help stays quick

            stored = bentoml.models.get(naming.resolve(source))
            path = Path(stored.path) / MLFLOW_FOLDER / FOLDER / CONTRACT
        return contract.load(path.read_bytes())
    except (TabserveError, OSError, ValueError) as error:
        # Exit 1 means "breaking": what cannot be read is a usage error, exit 2.
        raise click.UsageError(
            f"{source} is neither a contract file nor a model: {error}"
        ) from None
