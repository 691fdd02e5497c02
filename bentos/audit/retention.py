"""`tabserve retention`: removes days that are older than allowed, and notes it in the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from bentos.audit.opened import open_log, store_option
from bentos.audit.times import Duration, iso
from bentos.ids import start_of_day
from bentos.records.record import Event, Window


@click.command()
@store_option
@click.option(
    "--keep", type=Duration(), required=True, help="How long records are kept: 180d, 26w."
)
@click.option("--dry-run", is_flag=True, help="Print what would be dropped, and drop nothing.")
def retention(url: str | None, keep: timedelta, dry_run: bool) -> None:
    """Drop days of the log that are older than --keep.

    Days are those of UTC; a day goes as a whole, with its outcomes.
    """
    if keep < timedelta(days=1):
        # 180s is a slip of the finger for 180d, and what is dropped does not come back.
        raise click.UsageError("--keep must be at least 1d: only whole days are dropped")
    now = datetime.now(UTC)
    try:
        day = start_of_day(now - keep)
    except OverflowError:
        raise click.UsageError("--keep goes back beyond the year 1") from None
    with open_log(url) as log:
        if dry_run:
            window = Window(until=day)
            both = (window, Window(until=day, is_shadow=True))
            dropped = {
                "predictions": sum(
                    version.rows for one in both for version in log.store.versions(one)
                ),
                "outcomes": sum(1 for _ in log.outcomes(window)),
            }
        else:
            dropped = log.store.drop_before(day)
            log.store.note(Event(now, "retention", {"before": iso(day), **dropped}))
    verb = "would drop" if dry_run else "dropped"
    counts = ", ".join(f"{count:,} {kind}" for kind, count in dropped.items()) or "nothing"
    click.echo(f"{verb} what is before {day:%Y-%m-%d} UTC: {counts}")
