"""One run: a window of the log, version by version, each against its own reference.

This module walks through the versions and writes down what was found; `comparison` compares one
of them, and `publishing` passes the results on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec

from bentos.errors import StoreDown, StoreReadOnly, TabserveError
from bentos.model.contract import Contract
from bentos.records.drift import DriftLog, DriftResult, FeatureResult
from bentos.records.opening import open_drift_log, open_store
from bentos.records.record import Version, Window
from monitoring.drift.comparison import Found, Log, compare_version
from monitoring.drift.decision import retraining
from monitoring.drift.decision.findings import Entry, Findings, Retraining, Span
from monitoring.drift.decision.sample import Sample
from monitoring.drift.settings import Settings

LOGGER = logging.getLogger("tabserve.drift")


@dataclass(frozen=True)
class Compared:
    """One version of a run: what was found, and the rows that the report draws.

    `previous`: the outcome of this window or the one before it, None where there was none.
    """

    entry: Entry
    previous: str | None = None
    contract: Contract | None = None
    reference: Sample | None = None
    window: Sample | None = None


def work(settings: Settings, now: datetime, name: str) -> list[Compared]:
    """Do one run. A log that cannot be used is an outcome, `failed`, and not an exception.

    Where the log breaks in the middle, the result has what was compared before, too.
    """
    done: list[Compared] = []
    try:
        log = open_store(settings.store, settings.data_dir)
        results = open_drift_log(settings.store, settings.data_dir)
        try:
            log.check()
            _open(results, settings)
            for item in run(log, results, settings, now, name):
                done.append(item)
        finally:
            log.close()
            results.close()
    except TabserveError as error:
        done.append(fail(settings, now, name, str(error)))
    except Exception as error:
        # Whatever it is, it must be an outcome that is published, and not only a line in a log.
        LOGGER.exception("the run broke")
        done.append(fail(settings, now, name, f"the run broke: {type(error).__name__}"))
    return done


def _open(results: DriftLog, settings: Settings) -> None:
    if settings.no_write:
        results.check()
        return
    try:
        results.prepare()
    except StoreReadOnly as error:
        # Said before anything is compared: a run over many versions takes minutes.
        raise StoreReadOnly(f"{error}: --no-write compares without keeping the results") from None


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
    groups = _group(log.versions(window))
    # Versions of too few rows are not tested, and take nothing of the level.
    tested = sum(
        sum(part.rows for part in parts) >= settings.limits.min_rows for parts in groups.values()
    )
    settings = replace(settings, limits=settings.limits.share_out(tested))
    for (model, version), parts in groups.items():
        mine = msgspec.structs.replace(window, model=model, version=version)
        last = results.last(settings.job_name, model, version, 1, until)
        found = compare_version(log, results, mine, parts, settings)
        ruling = retraining.judge(
            found.findings,
            span,
            results.conclusive(settings.job_name, model, version, until),
            importance=settings.retraining_importance,
            runs=settings.retraining_runs,
        )
        entry = _describe(found, parts, ruling, span, settings, name)
        previous = last[0].outcome if last else None
        yield Compared(entry, previous, found.contract, found.reference, found.window)
        if settings.no_write:
            continue
        try:
            results.write(_to_result(entry, settings, now))
        except TabserveError as error:
            raise StoreDown(
                f"the result of {model} {version} could not be stored: {error}"
            ) from error
    if not groups:
        nothing = Findings(outcome="insufficient_data", reason="no predictions in the window")
        entry = _describe(Found(nothing), [], Retraining(), span, settings, name)
        yield Compared(entry)


def fail(settings: Settings, now: datetime, name: str, reason: str) -> Compared:
    """What a run comes to that the log did not let finish."""
    until = settings.until or now
    found = Found(Findings(outcome="failed", reason=reason))
    span = Span(until - settings.window, until)
    return Compared(_describe(found, [], Retraining(), span, settings, name))


def _group(versions: Sequence[Version]) -> dict[tuple[str, str], list[Version]]:
    groups: dict[tuple[str, str], list[Version]] = {}
    for version in versions:
        groups.setdefault((version.model, version.version), []).append(version)
    return groups


def _describe(
    found: Found,
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
        sampled=found.sampled,
        distinct=found.distinct,
        tested=0 if found.window is None else len(found.window),
        reference=found.about or settings.reference,
        reference_rows=0 if found.reference is None else len(found.reference),
        window=span,
        run=name,
        seed=settings.seed,
        alpha=settings.limits.alpha,
        score=findings.score,
        joint=findings.joint,
        parts=findings.parts,
        performance=findings.performance,
        warnings=[found.warning] if found.warning else [],
        retraining=ruling,
        features=findings.features,
    )


def _to_result(entry: Entry, settings: Settings, now: datetime) -> DriftResult:
    return DriftResult(
        run=entry.run,
        time=now,
        job=settings.job_name,
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
        reference=entry.reference,
        distinct=entry.distinct,
        accepted=settings.accept,
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
