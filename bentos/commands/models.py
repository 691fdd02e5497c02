"""`tabserve models`: what the Bento store and MLflow's registry have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from bentos.errors import ConfigurationError

if TYPE_CHECKING:
    from bentos.commands.inventory import RegistryEntry, StoreEntry


@click.command()
@click.option("--store-only", is_flag=True, help="Leave MLflow's registry out, which takes longer.")
@click.option("--json", "is_json", is_flag=True, help="Write one JSON document.")
def models(store_only: bool, is_json: bool) -> None:
    """List the models of the Bento store and of MLflow.

    A star marks the model that is served by default, that of TABSERVE_MODEL. Evidence that a
    model lacks is named; `tabserve evidence` adds it.
    """
    import msgspec  # noqa: PLC0415 - --help stays quick

    from bentos import logs, settings  # noqa: PLC0415 - --help stays quick
    from bentos.commands import inventory  # noqa: PLC0415 - --help stays quick
    from bentos.model import naming  # noqa: PLC0415 - --help stays quick

    try:
        default = naming.resolve(settings.read().model)
    except ConfigurationError:
        default = ""
    entries = inventory.read_store(default)
    registry, asked = None, ""
    if not store_only:
        from bentos.model.intake import tracking  # noqa: PLC0415 - --help stays quick

        asked = logs.hide_password(tracking.configure())
        registry = inventory.read_registry(entries)
    if is_json:
        document = {"store": entries, "mlflow": asked, "registry": registry}
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2))
        return
    click.echo("\n".join(_store_lines(entries)))
    if registry is not None:
        click.echo("\n" + "\n".join(_registry_lines(registry, asked)))


def _store_lines(entries: list[StoreEntry]) -> Iterator[str]:
    if not entries:
        yield "Bento store: no models; `tabserve import models:/NAME@ALIAS` brings one in"
        return
    width = max(len(entry.tag) for entry in entries)
    yield f"  {'Bento store':<{width}}  {'task':<10}  {'engine':<7}  {'MLflow':<18}  evidence"
    for entry in entries:
        star = "*" if entry.is_default else " "
        if entry.evidence is None:
            yield f"{star} {entry.tag:<{width}}  {entry.problem}"
            continue
        lacking = entry.evidence.missing
        evidence = f"without {', '.join(lacking)}" if lacking else "complete"
        latest = ", latest" if entry.is_latest else ""
        yield (
            f"{star} {entry.tag:<{width}}  {entry.task:<10}  {entry.engine:<7}  "
            f"{entry.registry or '-':<18}  {evidence}{latest}"
        )


def _registry_lines(entries: list[RegistryEntry], asked: str) -> Iterator[str]:
    yield f"MLflow registry ({asked})"
    if not entries:
        yield "  no models"
    width = max((len(f"{entry.name}/{entry.version}") for entry in entries), default=0)
    for entry in entries:
        name = f"{entry.name}/{entry.version}"
        aliases = " ".join(f"@{alias}" for alias in entry.aliases)
        where = ", ".join(entry.tags) or "not imported"
        yield f"  {name:<{width}}  {aliases:<12}  {where}"
