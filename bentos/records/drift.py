"""What drift runs found: one row a run and version, one row a feature of it.

Kept in the same store as the predictions, in tables of its own: the
job that writes them runs elsewhere, and less often, than the service. Everything is kept
until someone deletes it: a run of 26 features is some kilobytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

import msgspec

# Outcomes of runs that decided whether there was drift.
CONCLUSIVE = ("drift", "no_drift")


class FeatureResult(msgspec.Struct, frozen=True):
    """One feature in one run: its distribution's test, and whether any of its tests found drift.

    `statistic`, `p_value`, `effect` are None where the test could not be made; rates are
    shares of rows.
    """

    feature: str
    kind: str
    test: str
    statistic: float | None
    p_value: float | None
    effect: float | None
    drifted: bool
    missing_rate: float | None


class DriftResult(msgspec.Struct, frozen=True):
    """One model version in one run.

    `run`: id of the run. `job`: name of the job that ran, as several may look at one log, each
    with a window of its own. `since`, `until`: the window. `rows`: predictions in it, `sampled`:
    how many were read, picked with `seed`, `distinct`: how many of these differ. `signal`:
    whether this run asked for retraining; `retraining`: why the rule for it held, empty where it
    did not. `reference`: what the window was compared with. `accepted`: whether a person took
    the window for normal, whatever was found.
    """

    run: str
    time: datetime
    job: str
    model: str
    version: str
    outcome: str
    reason: str
    since: datetime
    until: datetime
    rows: int
    sampled: int
    seed: int
    signal: bool
    retraining: str
    reference: str = "training"
    distinct: int = 0
    accepted: bool = False
    features: tuple[FeatureResult, ...] = ()


class DriftLog(Protocol):
    """Where results go. Every method raises StoreDown where the store cannot work.

    Results are ordered by window and not by run: an old window that is run again stays where it
    is. The window that ends last comes first, and of one window the run that was last.
    """

    def prepare(self) -> None:
        """Connect; make or update the tables. Raises StoreReadOnly where no result can be kept."""

    def check(self) -> None:
        """Connect, and change nothing; a log without any result is as good as one with some."""

    def write(self, result: DriftResult) -> None:
        """Store one result; one that is stored already, by run and version, stays as it is."""

    def last(
        self, job: str, model: str, version: str, count: int, until: datetime | None = None
    ) -> list[DriftResult]:
        """A job's last results of a version, with their features.

        `until`: only of windows that end at this time or before.
        """

    def conclusive(
        self, job: str, model: str, version: str, until: datetime | None = None
    ) -> Iterator[DriftResult]:
        """A job's results of a version that found drift or none, without features.

        It may be left early, as it is read as it goes: a job may have run for years.
        """

    def close(self) -> None:
        """Let go of the store; idempotent."""
