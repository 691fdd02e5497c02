"""`tabserve export`: everything the log holds about one person, with reasons."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import click
import msgspec

from bentos.audit import streams
from bentos.audit.opened import OpenedLog, open_log, store_option
from bentos.audit.output import open_output, output_option
from bentos.audit.subjects import read_subject, require_keys, subject_options
from bentos.audit.times import iso
from bentos.records.record import Event, Outcome, Record, Registration
from bentos.records.writer.spool import erasure

_encode = msgspec.json.Encoder().encode


@click.command()
@store_option
@subject_options
@output_option
def export(
    url: str | None, subject: str | None, subject_file: TextIO | None, output: Path | None
) -> None:
    """Write one person's predictions as JSON.

    Each has its values, scores, decision, reasons and outcome. What the answer gave as reasons is
    in the log; all others need the model version in the local Bento store. Exits with 1 while
    records of the person wait in the spool: export again once the store has them.
    """
    text = read_subject(subject, subject_file)
    now = datetime.now(UTC)
    with open_log(url) as log:
        keys = require_keys(log.settings)
        tokens = keys.tokens(text)
        # Before the store: what is delivered in between is then in both, and missed by neither.
        waiting = erasure.find(log.spool, tokens)
        count = 0
        with open_output(output) as file:
            file.write(b'{"exported":' + _encode(iso(now)) + b',"predictions":[')
            for document in _documents(log, tokens):
                file.write((b",\n" if count else b"\n") + _encode(document))
                count += 1
            file.write(b"\n]}\n")
        # Neither the subject nor a token: the note must not say whose records there were.
        log.store.note(Event(now, "export", {"predictions": count, "keys": ", ".join(keys.ids)}))
    what = "prediction" if count == 1 else "predictions"
    click.echo(f"{count:,} {what}{'' if output is None else f' in {output.name}'}", err=True)
    if not count:
        click.echo("the log has no record of the subject", err=True)
    if waiting:
        raise click.ClickException(
            f"{waiting:,} of theirs waited in the spool for the store: export again when a service "
            "has delivered them"
        )


def _documents(log: OpenedLog, tokens: list[str]) -> Iterator[dict[str, object]]:
    # Here, so that the list of commands needs neither BentoML nor numpy.
    from bentos.audit import rescoring  # noqa: PLC0415 - other commands do not wait for it
    from bentos.audit.reasons import Reasoner  # noqa: PLC0415 - other commands do not wait for it

    reasoners: dict[tuple[str, str], Reasoner] = {}
    for records in streams.chunk(log.of_subject(tokens)):
        reasons: dict[str, object] = {}
        for key, mine in rescoring.by_version(records).items():
            if key not in reasoners:
                reasoners[key] = Reasoner(log, *key)
            explained = reasoners[key].explain(mine)
            reasons |= dict(zip((record.id for record in mine), explained, strict=True))
        for record in records:
            revisions = log.revisions(record.id)
            yield _document(log, record, revisions, reasons[record.id])


def _given(record: Record, registered: Registration | None) -> list[dict[str, str | None]] | None:
    """The recorded reasons with their sentences; None where no explanation was asked for."""
    if record.reasons is None:
        return None
    known = {} if registered is None else registered.reasons
    return [
        {"code": code, "reason": known[code].sentence if code in known else None}
        for code in record.reasons
    ]


def _document(
    log: OpenedLog, record: Record, revisions: list[Outcome], reasons: object
) -> dict[str, object]:
    registered = log.registration(record.model, record.version)
    return {
        "id": record.id,
        "time": iso(record.time),
        "request_id": record.request_id,
        "consumer": record.consumer,
        "model": {
            "name": record.model,
            "version": record.version,
            "mlflow_run_id": registered.mlflow_run_id if registered else None,
            "contract": record.contract,
        },
        "features": record.features,
        "score": record.score,
        "scores": record.scores,
        "label": record.label,
        "threshold": record.threshold,
        "warnings": record.warnings,
        # What the answer gave, and what the model says of the stored values now.
        "reasons_given": _given(record, registered),
        "reasons": reasons,
        "outcomes": [
            {
                "outcome": one.outcome,
                "revision": one.revision,
                "received": iso(one.received),
            }
            for one in revisions
        ],
    }
