"""Recorded predictions compared with those that another model would have given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from bentos.audit import rescoring, streams
from bentos.audit.opened import OpenedLog
from bentos.audit.quality.shift import Scores, Shift
from bentos.errors import Fault, TabserveError
from bentos.model.contract import Contract, Feature
from bentos.model.loading import LoadedModel
from bentos.model.scoring import Scored
from bentos.records.record import Record, Window


class NotComparable(TabserveError):
    """The scores of two models do not mean the same."""


class Comparison(msgspec.Struct):
    """What another model would have answered in a window.

    `outputs`: the shift by score; a binary model's or regression's only one is "score",
    a multiclass model has one a class. `flips`: how many rows went from one label to
    another, "old -> new". `segments`: the shift of the first output by segment.
    `refused`: rows that the new contract refuses, by every fault they have.
    """

    model: str
    version: str
    engine: str
    rows: int = 0
    scored: int = 0
    refused_rows: int = 0
    incomparable: dict[str, int] = {}
    refused: dict[str, int] = {}
    outputs: dict[str, Shift] = {}
    flips: dict[str, int] = {}
    segment_by: str | None = None
    segments: dict[str, Shift] = {}

    @property
    def changed_share(self) -> float:
        """Rows that would get another label or be refused, as a share of those compared."""
        changed = sum(self.flips.values()) + self.refused_rows
        compared = self.scored + self.refused_rows
        return changed / compared if compared else 0.0


def compare(log: OpenedLog, window: Window, tag: str, segment: str | None) -> Comparison:
    """Score a window with the model of a tag; segments are values or quartiles of a feature.

    Raises NoModel, IntegrityError, or NotComparable where the segment is no feature.
    """
    served = rescoring.open_served(tag, log.settings)
    comparer = _Comparer(log, served, _find_feature(served.contract, segment))
    for records in streams.chunk(log.read(window)):
        comparer.take(records)
    return comparer.finish()


def _find_feature(contract: Contract, name: str | None) -> Feature | None:
    if name is None:
        return None
    if name not in contract.positions:
        raise NotComparable(f"the model has no feature {name} to make segments of")
    return contract.features[contract.positions[name]]


class _Comparer:
    def __init__(self, log: OpenedLog, served: LoadedModel, segment_by: Feature | None) -> None:
        self._log = log
        self._served = served
        self._segment_by = segment_by
        made = served.contract
        self._names = list(map(str, made.classes or ())) if made.task == "multiclass" else ["score"]
        self._scores = {name: Scores(segment_by) for name in self._names}
        self._refused: Counter[str] = Counter()
        self._flips: Counter[str] = Counter()
        self._incomparable: Counter[str] = Counter()
        self._found = Comparison(served.stored.name, served.stored.version, served.engine.name)

    def take(self, records: Sequence[Record]) -> None:
        self._found.rows += len(records)
        alike = []
        for record in records:
            reason = self._find_reason(record)
            if reason:
                self._incomparable[reason] += 1
            else:
                alike.append(record)
        for record, result in zip(alike, rescoring.score_rows(self._served, alike), strict=True):
            if isinstance(result, list):
                self._found.refused_rows += 1
                self._refused.update(set(map(_reason, result)))
                continue
            by = self._segment_by
            segment = None if by is None else record.values.get(by.name)
            self._found.scored += 1
            label = None if result.label is None else str(result.label)
            flipped = None if label is None else label != record.label
            if flipped:
                self._flips[f"{record.label} -> {label}"] += 1
            for name in self._names:
                old, new = _score(record, result, name, self._served.contract)
                self._scores[name].add(old, new, flipped, segment)

    def finish(self) -> Comparison:
        found = self._found
        for name, scores in self._scores.items():
            shift = scores.measure()
            if shift is not None:
                found.outputs[name] = shift
        if self._segment_by is not None and found.scored:
            found.segment_by = self._segment_by.name
            found.segments = self._scores[self._names[0]].measure_segments()
        found.refused = dict(self._refused.most_common())
        found.flips = dict(self._flips.most_common())
        found.incomparable = dict(self._incomparable.most_common())
        return found

    def _find_reason(self, record: Record) -> str:
        # A score is the chance of the second class: of another class, it is another thing.
        new = self._served.contract
        old = self._log.contract(record.model, record.version)
        tag = f"{record.model}:{record.version}"
        if old is None:
            return f"{tag} was never registered"
        if old.task != new.task:
            return f"{tag} is a {old.task} model"
        if list(map(str, old.classes or ())) != list(map(str, new.classes or ())):
            return f"{tag} has other classes, or in another order"
        return ""


def _score(record: Record, result: Scored, name: str, contract: Contract) -> tuple[float, float]:
    if contract.task == "multiclass":
        now = rescoring.scores_by_class(contract, result) or {}
        return (record.scores or {})[name], now[name]
    return float(record.score or 0.0), float(result.score or 0.0)


def _reason(fault: Fault) -> str:
    # A pointer is made of the contract's own names; the row itself has the empty one.
    return f"{fault.code} {fault.pointer}".strip()
