"""`tabserve serve`: the service in the foreground, for this machine alone by default."""

from __future__ import annotations

from pathlib import Path

import click

from bentos.errors import ConfigurationError


@click.command()
@click.argument("model", required=False)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=3000,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--workers", type=click.IntRange(1, 128), help="Worker processes, each with the model."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 opens the service to the network.",
)
@click.option(
    "--ssl-certfile",
    "certificate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificate with its chain, PEM: HTTPS instead of HTTP.",
)
@click.option(
    "--ssl-keyfile",
    "key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Key of the certificate, PEM.",
)
def serve(
    model: str | None,
    port: int,
    workers: int | None,
    host: str,
    certificate: Path | None,
    key: Path | None,
) -> None:
    """Serve a model over HTTP on this machine.

    MODEL is NAME or NAME:VERSION of the Bento store; by default the one of TABSERVE_MODEL.
    Prints the address once the model has proved itself; stops with Ctrl-C or SIGTERM. Logs are
    on standard error, settings are TABSERVE_* variables.
    """
    from bentos import settings  # noqa: PLC0415 - --help stays quick
    from bentos.commands.foreground import (  # noqa: PLC0415 - --help stays quick
        Foreground,
        check_address,
        check_certificate,
    )

    overrides = {} if workers is None else {settings.variable("workers"): str(workers)}
    chosen = settings.read()
    from bentos.model import naming  # noqa: PLC0415 - --help stays quick

    tag = naming.resolve(model or chosen.model)
    port = check_address(host, port)
    project = find_project()
    overrides[settings.variable("model")] = tag
    overrides[settings.variable("data_dir")] = str(chosen.data_dir.resolve())
    if chosen.keys_file:
        overrides[settings.variable("keys_file")] = str(Path(chosen.keys_file).resolve())
    tls = check_certificate(certificate, key)
    raise click.exceptions.Exit(Foreground(project, host, port, tag, overrides, tls).run())


def find_project() -> Path:
    """The folder of service.py: the current one, or the one that bentos was installed from."""
    for folder in (Path.cwd(), Path(__file__).resolve().parents[2]):
        if (folder / "service.py").is_file() and (folder / "bentos").is_dir():
            return folder
    raise ConfigurationError(
        "service.py is not here: run this in tabserve's folder, or install tabserve from a clone "
        "with `pip install -e .`"
    )
