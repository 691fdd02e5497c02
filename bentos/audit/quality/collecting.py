"""Scores and outcomes of a window as arrays, by model version: all that performance keeps.

Eight bytes a score, an outcome and a decision: a million rows of a binary model take 24 MB.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np

from bentos.audit.opened import OpenedLog
from bentos.audit.quality.measures import Floats, Ints
from bentos.model.contract import Contract
from bentos.records.record import Outcome, Record

Key = tuple[str, str]


class Collected:
    """What one model version answered, and what came of it."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.thresholds: set[float] = set()
        # Rows without a score or without a label that the contract knows.
        self.unusable = 0
        # Outcomes that are no class of the contract, or no finite number.
        self.foreign = 0
        self.names = [str(label) for label in contract.classes or ()]
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self._scores = array("d")
        self._outcomes = array("d")
        self._decided = array("d")

    def add(self, record: Record, outcome: Outcome | None) -> None:
        """Take one record."""
        decided = 0.0
        if self.names:
            number = self._numbers.get(record.label or "")
            if number is None:
                self.unusable += 1
                return
            decided = float(number)
        if self.contract.task == "multiclass":
            scores = record.scores or {}
            if scores.keys() != self._numbers.keys():
                self.unusable += 1
                return
            self._scores.extend(scores[name] for name in self.names)
        elif record.score is None:
            self.unusable += 1
            return
        else:
            self._scores.append(record.score)
        if record.threshold is not None:
            self.thresholds.add(record.threshold)
        self._decided.append(decided)
        self._outcomes.append(self._read(outcome))

    def _read(self, outcome: Outcome | None) -> float:
        if outcome is None:
            return np.nan
        if self.names:
            number = self._numbers.get(outcome.outcome)
            value = np.nan if number is None else float(number)
        else:
            try:
                value = float(outcome.outcome)
            except ValueError:
                value = np.nan
        if not np.isfinite(value):
            self.foreign += 1
            return np.nan
        return value

    @property
    def scores(self) -> Floats:
        """Float64 of shape (rows,), or (rows, classes) of a multiclass model."""
        flat = np.frombuffer(self._scores, dtype=np.float64) if self._scores else np.empty(0)
        return flat.reshape(-1, len(self.names)) if self.contract.task == "multiclass" else flat

    @property
    def outcomes(self) -> Floats:
        """Class numbers or values, NaN where the outcome is not known; shape (rows,)."""
        return np.frombuffer(self._outcomes, dtype=np.float64) if self._outcomes else np.empty(0)

    @property
    def decided(self) -> Ints:
        """Class numbers that were answered, shape (rows,)."""
        return np.array(self._decided, dtype=np.int64)


def collect(
    log: OpenedLog, rows: Iterable[tuple[Record, Outcome | None]]
) -> tuple[dict[Key, Collected], dict[Key, int]]:
    """Collect rows by model and version.

    The second result counts the rows of versions that were never registered: nothing
    says what their scores mean.
    """
    found: dict[Key, Collected] = {}
    unknown: dict[Key, int] = {}
    for record, outcome in rows:
        key = (record.model, record.version)
        collected = found.get(key)
        if collected is None:
            contract = log.contract(*key)
            if contract is None:
                unknown[key] = unknown.get(key, 0) + 1
                continue
            collected = found[key] = Collected(contract)
        collected.add(record, outcome)
    return found, unknown
