"""What drift runs found: one row a run and version, one row a feature of it.

Kept beside the predictions, in the store that the same URL names, in tables of its own: the
job that writes them runs elsewhere, and less often, than the service. Everything is kept
until someone deletes it: a run of 26 features is some kilobytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

from bentos.errors import ConfigurationError

# Outcomes of runs that could tell whether there was drift.
TOLD = ("drift", "no_drift")


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
    how many were compared, picked with `seed`. `signal`: whether this run asked for
    retraining; `retraining`: why the rule for it held, empty where it did not.
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
    features: tuple[FeatureResult, ...] = ()


class DriftLog(Protocol):
    """Where results go. Every method raises StoreDown where the store cannot work."""

    def prepare(self) -> None:
        """Connect; make the tables where they are missing."""

    def write(self, result: DriftResult) -> None:
        """Store one result; one that is stored already, by run and version, stays as it is."""

    def last(self, job: str, model: str, version: str, count: int) -> list[DriftResult]:
        """A job's last results of a version, the latest first, with their features."""

    def told(self, job: str, model: str, version: str) -> Iterator[DriftResult]:
        """A job's results of a version that are of `TOLD`, the latest first, without features.

        It may be left early, as it is read as it goes: a job may have run for years.
        """

    def close(self) -> None:
        """Let go of the store; idempotent."""


def open_drift_log(url: str, data_dir: Path = Path(".tabserve")) -> DriftLog:
    """Where the results are, beside the predictions of the same URL (`store.open_store`).

    Raises ConfigurationError, which never repeats the URL.
    """
    kind, _, rest = url.partition(":")
    if kind == "sqlite" and rest.startswith("///"):
        from bentos.records.drift_sqlite import SqliteDriftLog

        return SqliteDriftLog(Path(rest[3:]) if rest[3:] else data_dir / "records.db")
    if kind in ("postgresql", "postgres"):
        from bentos.records.drift_postgres import PostgresDriftLog

        return PostgresDriftLog(url)
    if kind == "parquet" and rest:
        from bentos.records.drift_parquet import ParquetDriftLog

        return ParquetDriftLog(rest)
    raise ConfigurationError(
        "drift results are kept in sqlite:///PATH or postgresql://...; this store has no place "
        "for them"
    )
