"""The command line: bring a model in, and work with the log of what it answered."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import ClassVar

import click

from bentos.errors import TabserveError
from bentos.model import compatibility, contract
from bentos.model.contract import Contract


class LazyGroup(click.Group):
    """Imports a command's module when it is called: most need what others do not."""

    # The commands of the log share their modules' names.
    lazy: ClassVar = {"train": ("bentos.training.command", "train")} | {
        name: (f"bentos.audit.{name}", name)
        for name in (
            "export",
            "forget",
            "migrate",
            "performance",
            "records",
            "replay",
            "retention",
        )
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self.lazy])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, name = self.lazy[cmd_name]
        try:
            command: click.Command = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            raise click.ClickException(_needs("train", error)) from None
        return command


def _needs(extra: str, error: ModuleNotFoundError) -> str:
    return f"this command needs {error.name}: pip install 'tabserve[{extra}]'"


@click.group(cls=LazyGroup)
@click.version_option(package_name="tabserve")
def main() -> None:
    """From an MLflow model to a typed scoring service."""


@main.command("import")
@click.argument("uri")
@click.option("--name", help="Name of the Bento model; by default the registered name.")
def import_(uri: str, name: str | None) -> None:
    """Bring the MLflow model at URI into the Bento store.

    URI is models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID/PATH or a local folder.
    """
    try:
        from bentos.model.intake import tracking

        # Before anything else of MLflow is imported: it reads its switches then.
        tracking.configure()
        from bentos.model.intake import importing
    except ModuleNotFoundError as error:
        raise click.ClickException(_needs("mlflow", error)) from None
    try:
        imported = importing.import_model(uri, name)
    except TabserveError as error:
        raise click.ClickException(str(error)) from None
    for warning in imported.warnings:
        click.echo(f"warning: {warning}", err=True)
    made = imported.contract
    verb = "imported" if imported.is_new else "already in the store:"
    click.echo(
        f"{verb} {imported.tag} ({made.task}, {len(made.features)} features, "
        f"{made.engine}, contract {made.hash[:12]})"
    )
    click.echo(f"serve it: TABSERVE_MODEL={imported.tag} bentoml serve .")


@main.command()
@click.argument("old")
@click.argument("new")
def diff(old: str, new: str) -> None:
    """Compare two contracts; exit 1 if a client of OLD could break with NEW.

    Each is a Bento model tag or the path of a contract.json.
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
            import bentoml

            from bentos.model.store import CONTRACT, FOLDER, MLFLOW_FOLDER

            stored = bentoml.models.get(source)
            path = Path(stored.path) / MLFLOW_FOLDER / FOLDER / CONTRACT
        return contract.load(path.read_bytes())
    except Exception as error:
        # Exit 1 means "breaking": what cannot be read is a usage error, exit 2.
        raise click.UsageError(
            f"{source} is neither a contract file nor a model of the Bento store "
            f"({type(error).__name__})"
        ) from None


if __name__ == "__main__":
    main()
