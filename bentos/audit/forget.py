"""`tabserve forget`: one person's records erased, and the proof that they are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TextIO

import click

from bentos.audit.opened import OpenedLog, open_log, store_option
from bentos.audit.subjects import read_subject, require_keys, subject_options
from bentos.errors import StoreDown, TabserveError
from bentos.records.record import Event
from bentos.records.writer.spool import erasure

# Workers may bring rows to the spool that they had in memory; the store bars them, and
# each pass takes what came since the last one.
_PASSES = 10

_OUT_OF_REACH = (
    "not reached from here: backups, replicas that lag, archived write-ahead logs, free space in "
    "PostgreSQL's files and its write-ahead log until it writes over them, spools on other "
    "machines, files made with `tabserve records` or `tabserve export`, training data, and rows "
    "under keys that are no longer in TABSERVE_SUBJECT_KEYS"
)


class NotForgotten(TabserveError):
    """Something of the subject is still there."""


@click.command()
@store_option
@subject_options
def forget(url: str | None, subject: str | None, subject_file: TextIO | None) -> None:
    """Erase one person's predictions and outcomes.

    They leave the store and the spool. Rows of the person that were made before now and arrive
    late are not stored either.
    """
    text = read_subject(subject, subject_file)
    with open_log(url) as log:
        keys = require_keys(log.settings)
        tokens = keys.tokens(text)
        now = datetime.now(UTC)
        erased = log.store.forget(tokens, now)
        erased["spooled"] = _blank(log, tokens)
        # Neither the subject nor a token: the note must not say whose records there were.
        log.store.note(Event(now, "forget", {**erased, "keys": ", ".join(keys.ids)}))
        counts = ", ".join(f"{count:,} {kind}" for kind, count in erased.items())
        click.echo(f"erased under the keys {', '.join(keys.ids)}: {counts}")
        if not any(erased.values()):
            click.echo("there was no record of the subject: is it named as the client named it?")
        _prove(log, tokens)
        place = "" if log.spool.is_dir() else ", which is not there"
        click.echo(
            f"proved: no record of the subject in the store, nor in the spool {log.spool}{place}"
        )
        click.echo(_OUT_OF_REACH)


def _blank(log: OpenedLog, tokens: list[str]) -> int:
    count = 0
    for _ in range(_PASSES):
        found = erasure.blank(log.spool, tokens)
        count += found
        if not found:
            break
    return count


def _prove(log: OpenedLog, tokens: list[str]) -> None:
    try:
        log.store.scrub()
    except StoreDown as error:
        raise NotForgotten(f"NOT forgotten yet: {error}; run the command again") from None
    left = sum(1 for _ in log.of_subject(tokens))
    waiting = erasure.find(log.spool, tokens)
    if left or waiting:
        raise NotForgotten(
            f"NOT forgotten: {left:,} records are still in the store and {waiting:,} in the "
            "spool; run the command again"
        )
