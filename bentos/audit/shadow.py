"""`tabserve shadow`: what a candidate scored beside the answers, compared with them row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from bentos.audit.opened import OpenedLog, open_log, store_option
from bentos.audit.times import Moment
from bentos.ids import time_of
from bentos.records.record import Record, Window

if TYPE_CHECKING:
    from bentos.audit.comparing import Comparison

# An answer is older than its shadow row by the time that the copy waited: milliseconds, and more
# where the candidate is slow. Answers of this long are held in memory.
_LAG = timedelta(minutes=5)


@click.command()
@store_option
@click.option(
    "--since", type=Moment(), default="1h", show_default=True, help="From when on: ago, or a time."
)
@click.option("--until", type=Moment(), help="Up to when, in the same way.")
@click.option("--model", help="Candidates of this model.")
@click.option("--version", help="The candidate of this version.")
@click.option(
    "--min-rows",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Exit 1 if fewer rows of a candidate could be compared.",
)
@click.option(
    "--max-flipped",
    type=click.FloatRange(0.0, 1.0),
    help="Exit 1 if more than this share of a candidate's rows gets another label.",
)
@click.option("--json", "is_json", is_flag=True, help="One JSON document.")
def shadow(
    url: str | None,
    since: datetime,
    until: datetime | None,
    model: str | None,
    version: str | None,
    min_rows: int,
    max_flipped: float | None,
    is_json: bool,
) -> None:
    """Compare a candidate in shadow mode with the answers.

    Row by row, where the shadow row names its answer. Exits with 1 where nothing could be
    compared, or too little is alike: no data is never good.
    """
    import msgspec  # noqa: PLC0415 - other commands do not wait for it

    from bentos.audit.records import make_window  # noqa: PLC0415 - other commands do not wait for it
    from bentos.audit.replay import describe  # noqa: PLC0415 - other commands do not wait for it

    with open_log(url) as log:
        window = make_window(since, until, model, version, is_shadow=True)
        found = compare(log, log.find_version(window))
    if is_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    for one in () if is_json else found:
        click.echo("\n".join(describe(one)))
    faults = [fault for one in found if (fault := _judge(one, min_rows, max_flipped))]
    if not found:
        faults = ["the log has no shadow row in this window"]
    for fault in faults:
        click.echo(f"exit 1: {fault}", err=True)
    if faults:
        raise click.exceptions.Exit(1)


def compare(log: OpenedLog, window: Window) -> list[Comparison]:
    """Compare the shadow rows of a window with their answers, each version apart."""
    found: dict[tuple[str, str], _Pairs] = {}
    for record, answer in _pair(log, window):
        key = (record.model, record.version)
        pairs = found.get(key) or found.setdefault(key, _Pairs(*key))
        pairs.add(record, answer)
    return [pairs.finish() for _, pairs in sorted(found.items())]


class _Pairs:
    def __init__(self, model: str, version: str) -> None:
        from bentos.audit.quality.shift import Scores  # noqa: PLC0415 - it needs numpy

        self._key = (model, version)
        self._make = Scores
        self._scores: dict[str, Scores] = {}
        self._flips: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._rows = self._scored = 0

    def add(self, record: Record, answer: Record | None) -> None:
        self._rows += 1
        reason = _find_reason(record, answer)
        if reason or answer is None:
            self._reasons[reason] += 1
            return
        self._scored += 1
        flipped = None if record.label is None else record.label != answer.label
        if flipped:
            self._flips[f"{answer.label} -> {record.label}"] += 1
        then, now = _scores(answer), _scores(record)
        for name in then:
            self._scores.setdefault(name, self._make()).add(then[name], now[name], flipped)

    def finish(self) -> Comparison:
        from bentos.audit.comparing import Comparison  # noqa: PLC0415 - it needs BentoML

        shifts = {name: scores.measure() for name, scores in self._scores.items()}
        return Comparison(
            *self._key,
            "in shadow mode",
            rows=self._rows,
            scored=self._scored,
            incomparable=dict(self._reasons.most_common()),
            outputs={name: shift for name, shift in shifts.items() if shift is not None},
            flips=dict(self._flips.most_common()),
        )


def _pair(log: OpenedLog, window: Window) -> Iterator[tuple[Record, Record | None]]:
    # Both come by time, and an answer before its shadow row: what waits is as much as the lag.
    since = max(window.since, Window().since + _LAG) - _LAG
    answers = log.read_beside(Window(since, window.until))
    waiting: dict[str, Record] = {}
    for record in log.read(window):
        for answer in answers:
            waiting[answer.id] = answer
            if answer.id > record.id:
                break
        while waiting and time_of(next(iter(waiting))) < record.time - _LAG:
            del waiting[next(iter(waiting))]
        yield record, waiting.get(record.shadow or "")


def _find_reason(record: Record, answer: Record | None) -> str:
    if not record.shadow:
        return "the row names no answer: it did not come from the service's own mirror"
    if answer is None:
        return "its answer is not in the log"
    if (record.scores or {}).keys() != (answer.scores or {}).keys():
        return "its answer has other classes"
    if (record.label is None) != (answer.label is None):
        return "its answer is of another task"
    return ""


def _scores(record: Record) -> dict[str, float]:
    return dict(record.scores) if record.scores else {"score": float(record.score or 0.0)}


def _judge(found: Comparison, min_rows: int, max_flipped: float | None) -> str:
    tag = f"{found.model}:{found.version}"
    if found.scored < min_rows:
        return f"{tag}: {found.scored:,} rows compared, at least {min_rows:,} are needed"
    if max_flipped is not None and found.changed_share > max_flipped:
        return f"{tag}: {found.changed_share:.2%} of the rows get another label"
    return ""
