"""Who hears of a run, and in which order: whatever one of them does, the others hear too.

The store comes first (in `job`); then files, Pushgateway, Grafana. A place that cannot be
reached never fails the run: its result is in the store, and what was not told is said.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from monitoring.drift import annotate, findings, push, report
from monitoring.drift.job import Compared
from monitoring.drift.settings import Settings

LOGGER = logging.getLogger("tabserve.drift")


def tell(done: Sequence[Compared], settings: Settings, duration_seconds: float) -> None:
    """Print, write, push and annotate what a run found. Never raises for a place that is down."""
    entries = [item.entry for item in done]
    for entry in entries:
        sys.stdout.write(summarise(entry) + "\n")
    if settings.json is not None:
        _write(settings.json, entries)
    if settings.report is not None:
        for item in done:
            if item.entry.model is not None:
                _report(settings.report, item)
        _write(settings.report / "drift.json", entries)
    if settings.pushgateway:
        _push(entries, settings, duration_seconds)
    if settings.grafana:
        for item in done:
            _annotate(item, settings)


def summarise(entry: findings.Entry) -> str:
    """One line for a person."""
    who = f"{entry.model} {entry.version}" if entry.model is not None else "no model version"
    line = f"{who}: {entry.outcome}, {entry.rows:,} rows, {entry.sampled:,} compared"
    if entry.reason:
        line += f": {entry.reason}"
    return line + ("; retraining is asked for" if entry.retraining.needed else "")


def _write(path: Path, entries: list[findings.Entry]) -> None:
    with _saying(f"the results could not be written to {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(findings.dump(entries))


def _report(folder: Path, item: Compared) -> None:
    with _saying(f"a report could not be written to {folder}"):
        report.write(folder, item.entry, item.reference, item.window)


def _push(entries: Sequence[findings.Entry], settings: Settings, duration_seconds: float) -> None:
    gateway, job, timeout = settings.pushgateway, settings.job_name, settings.timeout_seconds
    for model in sorted({entry.model for entry in entries if entry.model is not None}):
        with _saying(f"the results of {model} were not pushed"):
            mine = [entry for entry in entries if entry.model == model]
            push.push_results(gateway, job, model, mine, timeout)
    outcomes = [entry.outcome for entry in entries]
    named = tuple(entry.outcome for entry in entries if entry.model is not None)
    with _saying("the state of the run was not pushed"):
        state = push.Run(
            push.summarise(outcomes), named, datetime.now(UTC).timestamp(), duration_seconds
        )
        push.push_run(gateway, job, state, timeout)


def _annotate(item: Compared, settings: Settings) -> None:
    entry = item.entry
    if entry.model is None or not annotate.is_change(item.previous, entry.outcome):
        return
    link = report.link(settings.report_url, entry) if settings.report is not None else ""
    with _saying(f"the change of {entry.model} {entry.version} was not annotated"):
        annotate.annotate(
            settings.grafana,
            settings.grafana_token,
            entry,
            item.previous,
            link,
            settings.timeout_seconds,
        )


@contextmanager
def _saying(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, push.PushFailed, annotate.AnnotationFailed) as error:
        LOGGER.warning("%s: %s", what, error)
