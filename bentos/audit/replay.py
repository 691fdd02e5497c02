"""`tabserve replay`: recorded rows scored again, by the same model or by another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from bentos.audit.opened import open_log, store_option
from bentos.audit.times import Moment

if TYPE_CHECKING:
    from bentos.audit.comparing import Comparison
    from bentos.audit.quality.shift import Shift
    from bentos.audit.verifying import Verdict


@click.command()
@store_option
@click.option(
    "--since",
    type=Moment(),
    default="1h",
    show_default=True,
    help="Start: 90s, 15m, 1h, 7d ago, or a time.",
)
@click.option("--until", type=Moment(), help="End, in the same way.")
@click.option(
    "--model", "tag", help="Score with this model of the Bento store: NAME or NAME:VERSION."
)
@click.option("--recorded", help="Only what this model answered: NAME or NAME:VERSION.")
@click.option("--segment", help="Show the shift by this feature: its values, or quartiles.")
@click.option(
    "--max-flipped",
    type=click.FloatRange(0.0, 1.0),
    help="With --model: the largest share of rows that may get another label or be refused.",
)
@click.option("--json", "is_json", is_flag=True, help="Write one JSON document.")
def replay(
    url: str | None,
    since: datetime,
    until: datetime | None,
    tag: str | None,
    recorded: str | None,
    segment: str | None,
    max_flipped: float | None,
    is_json: bool,
) -> None:
    """Score recorded rows again.

    Without --model each row goes to the model version that answered it. Exits with 1 unless
    every score and label is the recorded one to the last bit, and shows what changed.
    With --model it shows how scores and decisions would shift, and exits with 1 if no row could
    be scored.
    """
    if tag is None and (segment is not None or max_flipped is not None):
        raise click.UsageError("--segment and --max-flipped go with --model")
    # Here, so that the list of commands needs neither BentoML nor numpy.
    import msgspec  # noqa: PLC0415 - other commands do not wait for it

    from bentos.audit import comparing, verifying  # noqa: PLC0415 - other commands do not wait for it
    from bentos.audit.records import make_window  # noqa: PLC0415 - other commands do not wait for it
    from bentos.model import naming  # noqa: PLC0415 - other commands do not wait for it

    model, _, version = (recorded or "").partition(":")
    window = make_window(since, until, model or None, version or None)
    with open_log(url) as log:
        window = log.find_version(window)
        found: Comparison | list[Verdict]
        if tag is None:
            found = verifying.verify(log, window)
            is_good = bool(found) and all(verdict.is_same for verdict in found)
            lines = _verdicts(found)
        else:
            found = comparing.compare(log, window, naming.resolve(tag), segment)
            is_good = found.scored > 0 and (
                max_flipped is None or found.changed_share <= max_flipped
            )
            lines = describe(found)
    if is_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    else:
        click.echo("\n".join(lines))
    if not is_good:
        click.echo(f"exit 1: {_explain(found, max_flipped)}", err=True)
        raise click.exceptions.Exit(1)


def _explain(found: Comparison | list[Verdict], max_flipped: float | None) -> str:
    """Why a replay is no success."""
    if isinstance(found, list):
        return "nothing was replayed" if not found else "not every answer is the recorded one"
    if not found.scored:
        return "no row could be scored"
    return (
        f"{found.changed_share:.2%} of the rows get another label or are refused, more than the "
        f"{max_flipped or 0.0:.2%} of --max-flipped"
    )


def _verdicts(verdicts: list[Verdict]) -> Iterator[str]:
    if not verdicts:
        yield "the log has no prediction in this window"
    for one in verdicts:
        yield f"{one.model}:{one.version}: {one.rows:,} rows"
        if one.absent:
            yield f"  not replayed: {one.absent}"
            continue
        yield f"  {one.equal:,} equal to the last bit, {one.different:,} different ({one.engine})"
        if one.not_stored:
            yield f"  {one.not_stored:,} not replayed: not all their features were stored"
        if one.refused:
            yield f"  {one.refused:,} not replayed: the contract refuses them now"
        for change in one.changes:
            yield f"  changed: {change}"
        for different in one.differences:
            yield f"  {different.id}: {different.recorded} then, {different.now} now"


def describe(found: Comparison) -> Iterator[str]:
    """The lines that say how far a comparison is from what was answered."""
    yield f"{found.model}:{found.version} ({found.engine}): {found.rows:,} recorded rows"
    for reason, rows in found.incomparable.items():
        yield f"  {rows:,} not compared: {reason}"
    if found.refused_rows:
        yield f"  {found.refused_rows:,} refused by its contract:"
        for reason, rows in found.refused.items():
            yield f"    {rows:,} {reason}"
    yield f"  {found.scored:,} scored"
    if not found.rows:
        yield "  the log has no prediction in this window"
    if found.outputs:
        width = max(map(len, [*found.outputs, *found.segments])) + 2
        yield _head(width)
        for name, shift in found.outputs.items():
            yield _row(name, width, shift)
        if found.segments:
            yield f"  by {found.segment_by}, {next(iter(found.outputs))}:"
        for name, shift in found.segments.items():
            yield _row(name, width, shift)
    for flip, rows in found.flips.items():
        yield f"  label {flip}: {rows:,} rows ({rows / found.scored:.2%})"


def _head(width: int) -> str:
    return (
        f"  {'':{width}}{'rows':>9}{'KS':>8}{'mean then':>12}{'now':>12}{'change':>12}"
        f"{'largest':>12}{'flipped':>9}"
    )


def _row(name: str, width: int, shift: Shift) -> str:
    flipped = "" if shift.flipped is None else f"{shift.flipped:.2%}"
    return (
        f"  {name:{width}}{shift.rows:>9,}{shift.ks:>8.4f}{shift.mean_old:>12.6g}"
        f"{shift.mean_new:>12.6g}{shift.mean_change:>12.4g}{shift.largest_change:>12.4g}"
        f"{flipped:>9}"
    ).rstrip()
