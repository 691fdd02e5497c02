"""`tabserve keys`: make, list and revoke API keys. A key is shown once; the file has its hash."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bentos.audit.times import parse_duration

if TYPE_CHECKING:
    from bentos.serving.access.keys import Key

_SCOPES = ("predict", "feedback", "explain", "admin")

_file = click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The keys file; by default that of TABSERVE_KEYS_FILE.",
)


class Scopes(click.ParamType[Any]):
    """A click option that is a list of scopes."""

    name = "scope,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Read scopes, separated by commas, in the order of the known ones."""
        given = {one.strip() for one in str(value).split(",")}
        if not given <= set(_SCOPES):
            self.fail(f"known scopes are {', '.join(_SCOPES)}", param, ctx)
        return tuple(scope for scope in _SCOPES if scope in given)


class Expiry(click.ParamType[Any]):
    """A click option that is a time to come."""

    name = "when"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Read in how long, or an ISO 8601 time; one without a zone is UTC."""
        now = datetime.now(UTC)
        text = str(value).strip()
        try:
            moment = now + parse_duration(text)
        except (ValueError, OverflowError):
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                self.fail("must be in how long (12h, 90d, 26w) or a date", param, ctx)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if moment <= now:
            self.fail("must be a time to come", param, ctx)
        return moment.astimezone(UTC).replace(microsecond=0)


@click.group()
def keys() -> None:
    """Make, list and revoke the API keys of a keys file.

    A service with TABSERVE_KEYS_FILE answers only requests with a key of that file, and reads it
    again when it changes.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--scopes",
    type=Scopes(),
    required=True,
    help="What the key is good for, separated by commas: predict, feedback, explain, admin.",
)
@click.option("--expires", type=Expiry(), help="In how long (90d), or when; never by default.")
@click.option(
    "--requests-per-second", type=click.FloatRange(0, 1e9), default=0.0, help="Of each worker."
)
@click.option(
    "--rows-per-second", type=click.FloatRange(0, 1e9), default=0.0, help="Of each worker."
)
@click.option(
    "--burst",
    type=click.FloatRange(0.001, 86_400),
    default=1.0,
    show_default=True,
    help="Seconds' worth of the two rates that may be used at once.",
)
@click.option(
    "--concurrency", type=click.IntRange(0), default=0, help="Requests at a time, of each worker."
)
@_file
def create(
    name: str,
    scopes: tuple[Any, ...],
    expires: datetime | None,
    requests_per_second: float,
    rows_per_second: float,
    burst: float,
    concurrency: int,
    path: Path | None,
) -> None:
    """Make a key for the client NAME, and show it once.

    NAME is what logs, metrics and the prediction log call the client. A client may have two keys
    of one name, so that it can change over from one to the other.
    """
    from bentos.commands import keys_file  # noqa: PLC0415 - --help stays quick
    from bentos.serving.access import keys as access  # noqa: PLC0415 - --help stays quick

    if not access.is_name(name):
        raise click.BadParameter(
            "must have 1 to 63 of a-z, 0-9, dot, dash and underscore", param_hint="NAME"
        )
    limits = access.KeyLimits(requests_per_second, rows_per_second, burst, concurrency)
    if not access.are_limits(limits):
        # The ranges of the options let NaN pass.
        raise click.BadParameter("--requests-per-second and --rows-per-second must be numbers")
    key, text = access.make(name, scopes, expires, limits)
    with keys_file.changing(path) as known:
        known.append(key)
    click.echo(text)
    click.echo(f"This is the key of {name}; it is not shown again (id {key.id}).", err=True)


@keys.command(name="list")
@_file
def list_(path: Path | None) -> None:
    """List the keys: id, name, scopes, expiry and limits."""
    from bentos.commands import keys_file  # noqa: PLC0415 - --help stays quick

    found = keys_file.read(path)
    rows: list[tuple[str, ...]] = [("ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "LIMITS")]
    rows += [_to_row(key) for key in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


@keys.command()
@click.argument("key")
@click.option("--all", "is_all", is_flag=True, help="Every key of that name, if there are several.")
@_file
def revoke(key: str, is_all: bool, path: Path | None) -> None:
    """Remove KEY, the id or the name of a key. Services refuse it within two seconds."""
    from bentos.commands import keys_file  # noqa: PLC0415 - --help stays quick

    with keys_file.changing(path, is_new=False) as known:
        found = [one for one in known if key in (one.id, one.name)]
        if not found:
            raise click.BadParameter("no key has this id or name", param_hint="KEY")
        if len(found) > 1 and not is_all:
            ids = ", ".join(one.id for one in found)
            raise click.BadParameter(f"{len(found)} keys have it: name one of {ids}, or use --all")
        known[:] = [one for one in known if one not in found]
    for one in found:
        click.echo(f"revoked {one.id} of {one.name}")


def _to_row(key: Key) -> tuple[str, ...]:
    limits = key.limits
    parts = [
        f"{value:g} {what}"
        for value, what in (
            (limits.requests_per_second, "requests/s"),
            (limits.rows_per_second, "rows/s"),
            (limits.concurrency, "at a time"),
        )
        if value
    ]
    expires = "never"
    if key.expires is not None:
        expires = f"{key.expires:%Y-%m-%d %H:%M}"
        if key.expires <= datetime.now(UTC):
            expires += " (over)"
    return (
        key.id,
        key.name,
        ",".join(key.scopes),
        f"{key.created:%Y-%m-%d}",
        expires,
        ", ".join(parts) or "none",
    )
