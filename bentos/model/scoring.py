"""Rows to answers: frame, screen, predict, decide. Synchronous, no I/O.

A row that the model itself cannot score is told apart from the rows of its batch, and
fails alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.model.contract import Category, Contract
from bentos.model.engines.predictor import Predictor, Scores
from bentos.model.frame import FeatureWarning, Frame, Framer, Screen, Screening
from bentos.model.separation import separate
from bentos.model.tables.table import Table
from bentos.model.validation import EncodedRow


class Scored(msgspec.Struct, frozen=True, gc=False):
    """The answer to one row.

    `is_refused`: the model failed on this very row, which has no score then. `score`:
    probability of the second class, or the value of a regression. `scores`: probability by
    class, multiclass only. `label`: the class decided for.
    """

    score: float | None = None
    scores: tuple[float, ...] | None = None
    label: Category | None = None
    warnings: tuple[FeatureWarning, ...] = ()
    is_refused: bool = False


REFUSED = Scored(is_refused=True)


def likeliest(scored: Sequence[Scored]) -> list[float]:
    """The score of each row that has a finite one; of several classes that of the likeliest."""
    values = [max(one.scores) if one.scores else one.score for one in scored]
    return [value for value in values if value is not None and isfinite(value)]


class Batch(msgspec.Struct):
    """The answers to the rows of one batch, in their order, and what to count of them.

    `labels`: how many rows each label was decided for, by the label as text. `refused`: how
    many rows the model failed on.
    """

    scored: list[Scored]
    screening: Screening
    labels: dict[str, int]
    refused: int = 0


class Assessment(msgspec.Struct):
    """The answers to the rows of a table, by column, and what to count of them.

    `scores`: float64 of shape (rows,) or (rows, classes), NaN where the model failed on a row.
    `decided`: the place of each row's label among the classes; None for a regression.
    `refused`: the places of the rows that the model failed on. The rest is as in `Batch`.
    """

    scores: Scores
    decided: NDArray[np.intp] | None
    refused: list[int]
    screening: Screening
    labels: dict[str, int]


class Scorer:
    """Scores encoded rows under one contract with one predictor."""

    def __init__(self, contract: Contract, predictor: Predictor) -> None:
        self.contract = contract
        self._predictor = predictor
        self._framer = Framer(contract)
        self._screen = Screen(contract)
        self._threshold = 0.5 if contract.threshold is None else contract.threshold
        self._names = tuple(str(label) for label in contract.classes or ())
        # Of one row's scores.
        is_one = contract.task != "multiclass"
        self._shape = () if is_one else (len(self._names),)
        # A row that the model has scored: where it fails too, the model is broken.
        self._known_good: Frame | None = None

    def predict(self, rows: Sequence[EncodedRow]) -> Scores:
        """Scores alone: float64 of shape (rows,) or (rows, classes).

        Raises what the model raises.
        """
        return self._predict(self._framer.frame(rows))

    def score(self, rows: Sequence[EncodedRow]) -> Batch:
        """Score rows. `rows` must not be empty.

        Raises what the model raises, where it fails on a row that it has scored before.
        """
        frame = self._framer.frame(rows)
        screening = self._screen.look(frame.matrix)
        refused = 0
        try:
            scored, labels = self._decide(self._predict(frame))
        except Exception as error:
            scored, labels = self._score_apart(frame, error)
            refused = sum(one.is_refused for one in scored)
        for row, warnings in screening.warnings.items():
            if not scored[row].is_refused:
                scored[row] = msgspec.structs.replace(scored[row], warnings=tuple(warnings))
        return Batch(scored, screening, labels, refused)

    def assess(self, table: Table) -> Assessment:
        """Score a table without faults, and without an object for each row.

        Raises as `score` does. `table` must not be empty.
        """
        frame = self._framer.frame_table(table)
        screening = self._screen.look(frame.matrix)
        refused: list[int] = []
        try:
            scores = self._predict(frame)
        except Exception as error:
            parts = self._separate(frame, error)
            shape = (len(table), *self._shape)
            scores = np.full(shape, np.nan)
            is_refused = np.ones(len(table), dtype=np.bool_)
            for start, some in parts:
                scores[start : start + len(some)] = some
                is_refused[start : start + len(some)] = False
            refused = np.flatnonzero(is_refused).tolist()
        for place in refused:
            screening.warnings.pop(place, None)
        decided = self._choose(scores)
        kept = decided if decided is None or not refused else np.delete(decided, refused)
        return Assessment(scores, decided, refused, screening, self._tally(kept))

    def _predict(self, frame: Frame) -> Scores:
        scores = self._predictor.predict(frame)
        if len(scores) != len(frame.matrix):
            raise RuntimeError(f"{len(frame.matrix)} rows were given {len(scores)} scores")
        if self._known_good is None:
            self._known_good = frame.part(0, 1)
        return scores

    def _score_apart(self, frame: Frame, error: Exception) -> tuple[list[Scored], dict[str, int]]:
        parts = self._separate(frame, error)
        scored, labels = [REFUSED] * len(frame.matrix), dict[str, int]()
        for start, scores in parts:
            some, counts = self._decide(scores)
            scored[start : start + len(some)] = some
            for name, count in counts.items():
                labels[name] = labels.get(name, 0) + count
        return scored, labels

    def _separate(self, frame: Frame, error: Exception) -> list[tuple[int, Scores]]:
        parts = separate(self._predict, frame)
        if not parts and (self._known_good is None or not self._is_well()):
            raise error
        return parts

    def _is_well(self) -> bool:
        try:
            return self._known_good is not None and len(self._predict(self._known_good)) == 1
        except Exception:
            return False

    def _decide(self, scores: Scores) -> tuple[list[Scored], dict[str, int]]:
        decided = self._choose(scores)
        classes = self.contract.classes
        if classes is None or decided is None:
            return [Scored(score) for score in scores.tolist()], {}
        if self.contract.task == "binary":
            scored = [
                Scored(score, None, classes[best])
                for score, best in zip(scores.tolist(), decided.tolist(), strict=True)
            ]
        else:
            scored = [
                Scored(None, tuple(row), classes[best])
                for row, best in zip(scores.tolist(), decided.tolist(), strict=True)
            ]
        return scored, self._tally(decided)

    def _choose(self, scores: Scores) -> NDArray[np.intp] | None:
        """The place of each row's label among the classes; None for a regression."""
        if self.contract.classes is None:
            return None
        if self.contract.task == "binary":
            # >= as in sklearn's thresholds: a score equal to the threshold is positive.
            return (scores >= self._threshold).astype(np.intp)
        return np.asarray(np.argmax(scores, axis=1))

    def _tally(self, decided: NDArray[np.intp] | None) -> dict[str, int]:
        if decided is None:
            return {}
        counts = np.bincount(decided, minlength=len(self._names)).tolist()
        return {name: count for name, count in zip(self._names, counts, strict=True) if count}
