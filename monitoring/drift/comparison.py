"""One version of a run: its rows and its reference are read, and compared.

What happened is decided in `decision`; this module reads the log, and turns what cannot be
compared into an outcome.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bentos.model import contract as contracts
from bentos.model.contract import Contract
from bentos.records.drift import DriftResult
from bentos.records.record import Outcome, Record, Registration, Version, Window
from monitoring.drift.decision import detect, repeats
from monitoring.drift.decision.decide import StatisticError
from monitoring.drift.decision.findings import Findings
from monitoring.drift.decision.sample import Sample
from monitoring.drift.reading import SampleError, read_records
from monitoring.drift.reference import NotComparable, find_reference
from monitoring.drift.settings import Settings

LOGGER = logging.getLogger("tabserve.drift")


class Log(Protocol):
    """What a comparison needs of the prediction log (`bentos.records.store`)."""

    def versions(self, window: Window) -> list[Version]: ...

    def sample(self, window: Window, rows: int, seed: int) -> list[Record]: ...

    def registration(self, model: str, version: str) -> Registration | None: ...

    def outcomes(self, window: Window) -> Iterator[Outcome]: ...


class History(Protocol):
    """What a comparison needs of earlier results (`bentos.records.drift`)."""

    def conclusive(
        self, job: str, model: str, version: str, until: datetime | None = None
    ) -> Iterator[DriftResult]: ...


class CannotCompare(Exception):
    """What was stored of a version contradicts itself; the message says how."""


@dataclass(frozen=True)
class Found:
    """What was found of a version, and the rows that it was found in.

    `window`: the rows that were tested, out of `sampled` of which `distinct` differ. `about`:
    what the reference is. `warning`: what a reader of the verdict should know, or empty.
    """

    findings: Findings
    contract: Contract | None = None
    reference: Sample | None = None
    window: Sample | None = None
    about: str = ""
    sampled: int = 0
    distinct: int = 0
    warning: str = ""


def compare_version(
    log: Log, history: History, window: Window, parts: Sequence[Version], settings: Settings
) -> Found:
    """Compare the window of one version; whatever is wrong with it is an outcome.

    Raises StoreDown where the log cannot be read.
    """
    try:
        return _compare(log, history, window, parts, settings)
    except NotComparable as error:
        return Found(Findings(outcome="not_comparable", reason=str(error)))
    except (CannotCompare, SampleError, StatisticError) as error:
        return Found(Findings(outcome="failed", reason=str(error)))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        # A mistake of ours with one version must not keep the others from being compared.
        LOGGER.exception("%s %s: the comparison broke", window.model, window.version)
        return Found(
            Findings(outcome="failed", reason=f"the comparison broke: {type(error).__name__}")
        )


def _compare(
    log: Log, history: History, window: Window, parts: Sequence[Version], settings: Settings
) -> Found:
    registration = log.registration(str(window.model), str(window.version))
    if registration is None:
        raise NotComparable("the version is not registered in the log: serve it once with this log")
    if any(part.contract != registration.contract for part in parts):
        raise CannotCompare("predictions were made under another contract than the registered one")
    try:
        contract = contracts.load(bytes(registration.document))
    except ValueError as error:
        raise CannotCompare(str(error)) from None
    reference = find_reference(
        settings.choice,
        window,
        contract,
        registration,
        log,
        history,
        job=settings.job_name,
        sample_rows=settings.sample_rows,
        seed=settings.seed,
    )
    sample = read_records(log.sample(window, settings.sample_rows, settings.seed), contract)
    ids = set(sample.ids)
    outcomes = {item.id: item.outcome for item in log.outcomes(window) if item.id in ids}
    kept = repeats.drop(sample, reference.natural, outcomes)
    findings = detect.compare(
        reference.rows,
        kept.rows,
        contract,
        limits=settings.limits,
        seed=settings.seed,
        importance=registration.importance,
        outcomes=outcomes,
        training=registration.metrics,
    )
    return Found(
        findings,
        contract,
        reference.rows,
        kept.rows,
        reference.about,
        len(sample),
        kept.distinct,
        kept.warning,
    )
