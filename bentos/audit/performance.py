"""`tabserve performance`: how good the answers were, as far as outcomes are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import click

from bentos.audit.opened import open_log, store_option
from bentos.audit.times import Moment

if TYPE_CHECKING:
    from bentos.audit.quality.judging import Figure, Judgement


@click.command()
@store_option
@click.option(
    "--since",
    type=Moment(),
    default="7d",
    show_default=True,
    help="Start: 90s, 15m, 1h, 7d ago, or a time.",
)
@click.option("--until", type=Moment(), help="End, in the same way.")
@click.option("--model", help="Only of this model: NAME or NAME:VERSION.")
@click.option("--version", help="Only of this version: v3, 3 or its full name.")
@click.option(
    "--shadow", "is_shadow", is_flag=True, help="Of candidates, on their answers' outcomes."
)
@click.option(
    "--resamples",
    type=click.IntRange(100, 10_000),
    default=500,
    show_default=True,
    help="Bootstrap resamples for the 95 % intervals.",
)
@click.option("--json", "is_json", is_flag=True, help="Write one JSON document.")
def performance(
    url: str | None,
    since: datetime,
    until: datetime | None,
    model: str | None,
    version: str | None,
    is_shadow: bool,
    resamples: int,
    is_json: bool,
) -> None:
    """Measure model versions on known outcomes.

    Each version is also estimated without outcomes, from its scores alone.
    """
    # Here, so that the list of commands needs no numpy.
    import msgspec  # noqa: PLC0415 - other commands do not wait for it

    from bentos.audit import streams  # noqa: PLC0415 - other commands do not wait for it
    from bentos.audit.quality import collecting, estimate, judging  # noqa: PLC0415 - other commands do not wait for it
    from bentos.audit.records import make_window  # noqa: PLC0415 - other commands do not wait for it

    with open_log(url) as log:
        window = log.find_version(make_window(since, until, model, version, is_shadow=is_shadow))
        found, unknown = collecting.collect(log, streams.read_labelled(log, window))
        judged = [judging.judge(*key, found[key], resamples) for key in sorted(found)]
    if is_json:
        document = {
            "since": window.since,
            "until": until or datetime.now(window.since.tzinfo),
            "interval": {
                "level": 0.95,
                "method": "percentile bootstrap; of ks, Smirnov's margin",
                "resamples": resamples,
            },
            "estimate": {
                "method": "confidence-based performance estimation",
                "assumptions": estimate.ASSUMPTIONS,
            },
            "versions": judged,
            "unregistered": {f"{name}:{tag}": rows for (name, tag), rows in unknown.items()},
        }
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2))
        return
    if not judged and not unknown:
        click.echo("the log has no prediction in this window")
    for one in judged:
        click.echo("\n".join(_lines(one)) + "\n")
    for (name, tag), rows in unknown.items():
        click.echo(f"{name}:{tag}: {rows:,} rows, but it was never registered: not judged\n")
    if judged:
        click.echo(
            f"intervals: 95 %, percentile bootstrap of {resamples} resamples, fixed seed; "
            "of ks, Smirnov's margin"
        )
    if any(one.estimated for one in judged):
        click.echo("the estimate (CBPE) assumes:")
        for assumption in estimate.ASSUMPTIONS:
            click.echo(f"  - {assumption}")


def _lines(one: Judgement) -> Iterator[str]:
    about = [one.task]
    if one.score_class is not None:
        about.append(f"score = chance of {one.score_class}")
    if one.thresholds:
        about.append("threshold " + ", ".join(f"{value:g}" for value in one.thresholds))
    yield f"{one.model}:{one.version} ({'; '.join(about)})"
    yield f"  {one.rows:,} rows, {one.labelled:,} with an outcome ({one.share_labelled:.1%})"
    if one.too_few:
        yield f"  too few outcomes to measure: {one.too_few}"
    names = list(dict.fromkeys([*one.measured, *one.estimated]))
    if names:
        heads = f"{'measured':>10}  {'95 % interval':<20}{'estimated':>10}{'on labelled':>13}"
        yield " " * 20 + heads
    for name in names:
        yield (
            f"  {name:<18}{_figure(one.measured.get(name))}"
            f"{_estimate(one.estimated, name):>10}"
            f"{_estimate(one.estimated_on_labelled, name):>13}"
        ).rstrip()
    if one.calibration:
        yield "  calibration, by score:  " + f"{'rows':>8}{'mean score':>12}{'observed':>10}"
        for number, group in enumerate(one.calibration, start=1):
            yield (
                f"  {number:>22}  {group.rows:>8,}{group.mean_score:>12.4f}"
                f"{group.observed_rate:>10.4f}"
            )
    if one.calibration_p_values:
        values = ", ".join(f"{name} {p:.3g}" for name, p in one.calibration_p_values.items())
        yield f"  calibration holds with p-values: {values}"
    for note in one.notes:
        yield f"  note: {note}"


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return f"{'':>10}  {'':<20}"
    interval = ""
    if figure.low is not None and figure.high is not None:
        interval = f"{figure.low:.4f} to {figure.high:.4f}"
    return f"{_number(figure.value):>10}  {interval:<20}"


def _estimate(values: Mapping[str, float | None], name: str) -> str:
    return _number(values[name]) if name in values else ""


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
