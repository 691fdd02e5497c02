"""One run: a window of the log, version by version, each against its own reference.

This module reads the log and writes down what was found; what happened is decided in
`detect`, and who hears of it in `__main__`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import msgspec

from bentos.errors import StoreDown, TabserveError
from bentos.model import contract as contracts
from bentos.model.contract import Contract
from bentos.records.drift import DriftLog, DriftResult, FeatureResult
from bentos.records.opening import open_drift_log, open_store
from bentos.records.record import Outcome, Record, Registration, Version, Window
from monitoring.drift import detect, retraining
from monitoring.drift.decide import StatisticError
from monitoring.drift.findings import Entry, Findings, Retraining, Span
from monitoring.drift.sample import Sample, SampleError, read_records, read_reference
from monitoring.drift.settings import Settings

LOGGER = logging.getLogger("tabserve.drift")


class Log(Protocol):
    """What a run needs of the prediction log (`bentos.records.store`)."""

    def versions(self, window: Window) -> list[Version]: ...

    def sample(self, window: Window, rows: int, seed: int) -> list[Record]: ...

    def registration(self, model: str, version: str) -> Registration | None: ...

    def outcomes(self, window: Window) -> Iterator[Outcome]: ...


@dataclass(frozen=True)
class Compared:
    """One version of a run: what was found, and the rows that the report draws.

    `previous`: the outcome of the run before, None where there was none. `importance`:
    gain by feature.
    """

    entry: Entry
    previous: str | None = None
    contract: Contract | None = None
    reference: Sample | None = None
    window: Sample | None = None


class CannotCompare(Exception):
    """What was stored of a version contradicts itself; the message says how."""


class NotComparable(Exception):
    """There is nothing to compare a version with; the message says what to do."""


def work(settings: Settings, now: datetime, name: str) -> list[Compared]:
    """Do one run. A log that cannot be used is an outcome, `failed`, and not an exception.

    Where the log breaks in the middle, what was compared before is kept beside that outcome.
    """
    done: list[Compared] = []
    try:
        log = open_store(settings.store, settings.data_dir)
        results = open_drift_log(settings.store, settings.data_dir)
        try:
            log.check()
            results.prepare()
            for item in run(log, results, settings, now, name):
                done.append(item)
        finally:
            log.close()
            results.close()
    except TabserveError as error:
        done.append(fail(settings, now, name, str(error)))
    except Exception as error:
        # Whatever it is, somebody must hear of it: not only whoever reads the log.
        LOGGER.exception("the run broke")
        done.append(fail(settings, now, name, f"the run broke: {type(error).__name__}"))
    return done


def run(
    log: Log, results: DriftLog, settings: Settings, now: datetime, name: str
) -> Iterator[Compared]:
    """Compare every version of the window; give each, then write its result down.

    `now`: the end of the window where the settings name none. `name`: id of the run.
    Raises StoreDown where the log cannot be read or written: after what was compared was given.
    """
    until = settings.until or now
    window = Window(until - settings.window, until, settings.model or None)
    span = Span(window.since, window.until)
    is_empty = True
    groups = _group(log.versions(window))
    # Versions of too few rows are not tested, and take nothing of the level.
    tested = sum(
        sum(part.rows for part in parts) >= settings.limits.min_rows for parts in groups.values()
    )
    settings = replace(settings, limits=settings.limits.share_out(tested))
    for (model, version), parts in groups.items():
        mine = msgspec.structs.replace(window, model=model, version=version)
        last = results.last(settings.job_name, model, version, 1)
        found = _compare_version(log, mine, parts, settings)
        ruling = retraining.judge(
            found.findings,
            span,
            results.conclusive(settings.job_name, model, version),
            importance=settings.retraining_importance,
            runs=settings.retraining_runs,
        )
        entry = _describe(found, parts, ruling, span, settings, name)
        previous = last[0].outcome if last else None
        is_empty = False
        yield Compared(entry, previous, found.contract, found.reference, found.window)
        try:
            results.write(_to_result(entry, settings.job_name, now))
        except TabserveError as error:
            raise StoreDown(
                f"the result of {model} {version} could not be stored: {error}"
            ) from error
    if is_empty:
        nothing = Findings(outcome="insufficient_data", reason="no predictions in the window")
        entry = _describe(_Found(nothing), [], Retraining(), span, settings, name)
        yield Compared(entry)


def fail(settings: Settings, now: datetime, name: str, reason: str) -> Compared:
    """What a run comes to that the log did not let finish."""
    until = settings.until or now
    found = _Found(Findings(outcome="failed", reason=reason))
    span = Span(until - settings.window, until)
    return Compared(_describe(found, [], Retraining(), span, settings, name))


@dataclass(frozen=True)
class _Found:
    findings: Findings
    contract: Contract | None = None
    reference: Sample | None = None
    window: Sample | None = None


def _compare_version(
    log: Log, window: Window, parts: Sequence[Version], settings: Settings
) -> _Found:
    try:
        return _compare(log, window, parts, settings)
    except NotComparable as error:
        return _Found(Findings(outcome="not_comparable", reason=str(error)))
    except (CannotCompare, SampleError, StatisticError) as error:
        return _Found(Findings(outcome="failed", reason=str(error)))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # A mistake of ours with one version must not keep the others from being compared.
        LOGGER.exception("%s %s: the comparison broke", window.model, window.version)
        return _Found(
            Findings(outcome="failed", reason=f"the comparison broke: {type(error).__name__}")
        )


def _compare(log: Log, window: Window, parts: Sequence[Version], settings: Settings) -> _Found:
    registration = log.registration(str(window.model), str(window.version))
    if registration is None:
        raise NotComparable("the version is not registered in the log: serve it once with this log")
    if any(part.contract != registration.contract for part in parts):
        raise CannotCompare("predictions were made under another contract than the registered one")
    if registration.reference is None:
        raise NotComparable("the version has no reference: log the model with a reference.parquet")
    try:
        contract = contracts.load(bytes(registration.document))
    except ValueError as error:
        raise CannotCompare(str(error)) from None
    reference = read_reference(registration.reference, contract)
    records = log.sample(window, settings.sample_rows, settings.seed)
    sample = read_records(records, contract)
    ids = set(sample.ids)
    findings = detect.compare(
        reference,
        sample,
        contract,
        limits=settings.limits,
        seed=settings.seed,
        importance=registration.importance,
        outcomes={item.id: item.outcome for item in log.outcomes(window) if item.id in ids},
        training=registration.metrics,
    )
    return _Found(findings, contract, reference, sample)


def _group(versions: Sequence[Version]) -> dict[tuple[str, str], list[Version]]:
    groups: dict[tuple[str, str], list[Version]] = {}
    for version in versions:
        groups.setdefault((version.model, version.version), []).append(version)
    return groups


def _describe(
    found: _Found,
    parts: Sequence[Version],
    ruling: Retraining,
    span: Span,
    settings: Settings,
    name: str,
) -> Entry:
    findings = found.findings
    return Entry(
        model=parts[0].model if parts else None,
        version=parts[0].version if parts else None,
        outcome=findings.outcome,
        reason=findings.reason,
        rows=sum(part.rows for part in parts),
        sampled=0 if found.window is None else len(found.window),
        distinct=findings.distinct,
        reference_rows=0 if found.reference is None else len(found.reference),
        window=span,
        run=name,
        seed=settings.seed,
        alpha=settings.limits.alpha,
        score=findings.score,
        joint=findings.joint,
        performance=findings.performance,
        retraining=ruling,
        features=findings.features,
    )


def _to_result(entry: Entry, job: str, now: datetime) -> DriftResult:
    return DriftResult(
        run=entry.run,
        time=now,
        job=job,
        model=str(entry.model),
        version=str(entry.version),
        outcome=entry.outcome,
        reason=entry.reason,
        since=entry.window.since,
        until=entry.window.until,
        rows=entry.rows,
        sampled=entry.sampled,
        seed=entry.seed,
        signal=entry.retraining.signal,
        retraining=entry.retraining.reason if entry.retraining.needed else "",
        features=tuple(
            FeatureResult(
                item.name,
                item.kind,
                item.test,
                item.statistic,
                item.p_value,
                item.effect,
                item.drifted,
                item.missing_rate,
            )
            for item in entry.features
        ),
    )
