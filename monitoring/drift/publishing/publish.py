"""Where the results of a run go, and in which order: one that fails keeps no other from its turn.

The store comes first (in `job`); then the results as JSON, Pushgateway, Grafana, and last the
reports, which have the most to go wrong. A place that cannot be reached, or a picture that cannot
be drawn, never fails the run: its result is in the store, and a line of the log names what is
missing.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from monitoring.drift.decision import findings
from monitoring.drift.job import Compared
from monitoring.drift.publishing import annotate, push
from monitoring.drift.publishing.failure import describe, to_line
from monitoring.drift.report import page as report
from monitoring.drift.settings import Settings

LOGGER = logging.getLogger("tabserve.drift")


def publish(done: Sequence[Compared], settings: Settings, duration_seconds: float) -> None:
    """Print, write, push and annotate what a run found. Never raises for one that fails."""
    entries = [findings.make_writable(item.entry) for item in done]
    with _saying("the results could not be printed"):
        for entry in entries:
            _print(summarise(entry))
        sys.stdout.flush()
    if settings.json is not None:
        _write(settings.json, entries)
    if settings.report is not None:
        _write(settings.report / report.name_results(settings.job_name), entries)
    if settings.pushgateway:
        _push(entries, settings, duration_seconds)
    if settings.grafana:
        for entry, item in zip(entries, done, strict=True):
            _annotate(entry, item.previous, settings)
    if settings.report is not None:
        for item in done:
            if item.entry.model is not None:
                _report(settings.report, settings.job_name, item)


def summarise(entry: findings.Entry) -> str:
    """One line for a person."""
    who = f"{entry.model} {entry.version}" if entry.model is not None else "no model version"
    line = f"{who}: {entry.outcome}, {entry.rows:,} rows, {entry.sampled:,} compared"
    if entry.reason:
        line += f": {entry.reason}"
    return to_line(line + ("; retraining is asked for" if entry.retraining.needed else ""))


def _print(line: str) -> None:
    # A terminal may know less than UTF-8.
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _write(path: Path, entries: list[findings.Entry]) -> None:
    with _saying(f"the results could not be written to {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(findings.dump(entries))


def _report(folder: Path, job: str, item: Compared) -> None:
    entry = item.entry
    with _saying(f"the report of {entry.model} {entry.version} could not be written to {folder}"):
        report.write(folder, job, entry, item.contract, item.reference, item.window)


def _push(entries: Sequence[findings.Entry], settings: Settings, duration_seconds: float) -> None:
    gateway, job, timeout = settings.pushgateway, settings.job_name, settings.timeout_seconds
    ended = datetime.now(UTC).timestamp()
    for model in sorted({entry.model for entry in entries if entry.model is not None}):
        with _saying(f"the results of {model} were not pushed"):
            mine = [entry for entry in entries if entry.model == model]
            push.push_results(gateway, job, model, mine, ended, timeout)
    outcomes = [entry.outcome for entry in entries]
    named = tuple(entry.outcome for entry in entries if entry.model is not None)
    with _saying("the state of the run was not pushed"):
        state = push.Run(push.summarise(outcomes), named, ended, duration_seconds)
        push.push_run(gateway, job, state, timeout)


def _annotate(entry: findings.Entry, previous: str | None, settings: Settings) -> None:
    if entry.model is None or not annotate.is_change(previous, entry.outcome):
        return
    with _saying(f"the change of {entry.model} {entry.version} was not annotated"):
        link = ""
        if settings.report is not None:
            link = report.link(settings.report_url, settings.job_name, entry)
        annotate.annotate(
            settings.grafana,
            settings.grafana_token,
            entry,
            previous,
            link,
            settings.timeout_seconds,
        )


@contextmanager
def _saying(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Of any kind: the others still get the results, and the exit code is the outcome's.
        LOGGER.warning("%s: %s", to_line(what), describe(error))
