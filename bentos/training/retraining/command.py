"""`tabserve retrain`: another model from the newest labelled rows of the log."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from bentos.audit.opened import OpenedLog, open_log, store_option
from bentos.audit.streams import read_labelled
from bentos.audit.times import Moment
from bentos.errors import TabserveError
from bentos.model.contract import Contract
from bentos.records.opening import open_drift_log
from bentos.records.record import Outcome, Record, Window
from bentos.training.command import train

_OUTCOME = "outcome"
_TIME = "time"
# Runs of the drift job that may still be a reason: a week, as retraining is weekly by default.
_SIGNAL_AGE = timedelta(days=7)


class TooLittle(TabserveError):
    """The log has too little to train on; the message says what it has."""


@click.command()
@click.argument("name")
@store_option
@click.option(
    "--since",
    type=Moment(),
    default="365d",
    show_default=True,
    help="From when on: ago, or a time.",
)
@click.option("--until", type=Moment(), help="Up to when, in the same way.")
@click.option("--logged-as", help="Name of the model in the log; by default NAME.")
@click.option(
    "--max-rows",
    type=click.IntRange(100),
    default=200_000,
    show_default=True,
    help="At most so many, the newest.",
)
@click.option(
    "--min-rows",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="With fewer, nothing is trained.",
)
@click.option(
    "--if-signalled",
    is_flag=True,
    help="Do nothing unless the drift job asks for it, and no version was registered since.",
)
@click.option("--job", default="tabserve_drift", show_default=True, help="Name of the drift job.")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.pass_context
def retrain(
    context: click.Context,
    name: str,
    url: str | None,
    since: datetime,
    until: datetime | None,
    logged_as: str | None,
    max_rows: int,
    min_rows: int,
    if_signalled: bool,
    job: str,
    overrides: tuple[str, ...],
) -> None:
    """Train a model anew on answers whose outcomes are known.

    Registers a version of NAME with its evidence, as `tabserve train --data` does: the earliest
    rows train, the latest test. Rows of a candidate in shadow mode were no answers, and are left
    out.
    """
    logged_as = logged_as or name
    with open_log(url) as log:
        if if_signalled:
            reason = _find_signal(log, url, logged_as, name, job)
            if reason is None:
                click.echo("no signal: nothing to do")
                return
            click.echo(f"the drift job asks for retraining: {reason}")
        base = Window()
        window = Window(since, until or base.until, model=logged_as)
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "labelled.parquet"
            rows = _write(log, window, max_rows, min_rows, table)
            click.echo(f"{rows:,} answers with an outcome")
            context.invoke(
                train, data=table, target=_OUTCOME, time=_TIME, name=name, overrides=overrides
            )


def _write(log: OpenedLog, window: Window, max_rows: int, min_rows: int, path: Path) -> int:
    import pandas as pd  # noqa: PLC0415 - --help stays quick

    newest: deque[dict[str, Any]] = deque(maxlen=max_rows)
    for record, outcome in read_labelled(log, window):
        contract = log.contract(record.model, record.version)
        if outcome is not None and contract is not None:
            newest.append(_to_row(record, outcome, contract))
    if len(newest) < min_rows:
        raise TooLittle(
            f"{len(newest):,} answers of {window.model} have an outcome, {min_rows:,} are needed"
        )
    pd.DataFrame.from_records(list(newest)).to_parquet(path)
    return len(newest)


def _to_row(record: Record, outcome: Outcome, contract: Contract) -> dict[str, Any]:
    values = record.values
    if taken := values.keys() & {_OUTCOME, _TIME}:
        raise TooLittle(f"the model has features named {' and '.join(sorted(taken))}")
    return {**values, _TIME: record.time, _OUTCOME: _read_outcome(outcome.outcome, contract)}


def _read_outcome(text: str, contract: Contract) -> object:
    """An outcome as it was before it became text: one of the classes, or a number."""
    classes: Iterable[object] = contract.classes or ()
    return next((each for each in classes if str(each) == text), None) if classes else float(text)


def _find_signal(
    log: OpenedLog, url: str | None, logged_as: str, name: str, job: str
) -> str | None:
    """Why the drift job's last run of a version asks for retraining; None where none does."""
    now = datetime.now(UTC)
    results = open_drift_log(
        url or log.settings.store_url.get_secret_value(), log.settings.data_dir
    )
    try:
        versions = {
            one.version for one in log.store.versions(Window(now - _SIGNAL_AGE, now, logged_as))
        }
        for version in sorted(versions):
            for last in results.last(job, logged_as, version, 1):
                is_new = last.until > now - _SIGNAL_AGE and not _was_trained(name, last.until)
                if last.retraining and is_new:
                    return f"{version}: {last.retraining}"
    finally:
        results.close()
    return None


def _was_trained(name: str, since: datetime) -> bool:
    """Whether a version of the model was registered after a time."""
    import mlflow  # noqa: PLC0415 - --help stays quick

    from bentos.model.intake.tracking import configure  # noqa: PLC0415 - it imports MLflow

    configure()
    # Quotes end the filter's text; a registered name cannot be looked up with one.
    found = mlflow.MlflowClient().search_model_versions(f"name = '{name.replace(chr(39), '')}'")
    return any(version.creation_timestamp >= since.timestamp() * 1000 for version in found)
