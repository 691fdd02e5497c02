"""`tabserve migrate`: the log's owner brings its schema up to date."""

from __future__ import annotations

import click

from bentos.audit.opened import open_owned, store_option
from bentos.errors import TabserveError


@click.command()
@store_option
def migrate(url: str | None) -> None:
    """Create the log's schema, or bring it up to date.

    Run it as the log's owner. Several may run at once: one does the work, the others wait.
    """
    try:
        store = open_owned(url)
        try:
            store.prepare()
        finally:
            store.close()
    except TabserveError as error:
        raise click.ClickException(str(error)) from None
    click.echo("the log's schema is up to date")
