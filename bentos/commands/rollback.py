"""`tabserve rollback`: the version before the last promotion is the one to serve again."""

from __future__ import annotations

import click

from bentos.commands.trust import trust_code_option


@click.command()
@click.argument("name")
@click.option("--alias", default="champion", show_default=True, help="Alias to move back.")
@trust_code_option
def rollback(name: str, alias: str, trusts_code: bool) -> None:
    """Make the previous champion the champion again.

    NAME is a registered model of MLflow. Moves the alias back to the version that had it before
    the last promotion, and imports that version, so that NAME:latest is it. Several rollbacks
    go back several promotions.
    """
    from bentos.model.intake import tracking  # noqa: PLC0415 - --help stays quick

    # Before anything else of MLflow is imported: it reads its switches then.
    tracking.configure()
    from bentos.commands.promote import say_restart  # noqa: PLC0415 - --help stays quick
    from bentos.model.intake import aliases, importing  # noqa: PLC0415 - --help stays quick

    before = aliases.find(name, alias)
    if before is None:
        raise click.ClickException(f"MLflow has no version of {name} with the alias {alias}")
    number = aliases.find_previous(name, alias)
    # First the import: where it fails, the alias stays where it is.
    imported = importing.import_model(f"models:/{name}/{number}", trusts_code=trusts_code)
    aliases.move_back(name, alias)
    click.echo(f"{alias} of {name} is version {number} again, was {before}")
    say_restart(imported.tag)
