"""Rows to answers: frame, screen, predict, decide. Synchronous, no I/O.

A row that the model itself cannot score is told apart from the rows of its batch, and
fails alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from bentos.model.contract import Category, Contract
from bentos.model.engines.predictor import Predictor, Scores
from bentos.model.frame import FeatureWarning, Frame, Framer, Screen, Screening
from bentos.model.separation import separate
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


class Batch(msgspec.Struct):
    """The answers to the rows of one batch, in their order, and what to count of them.

    `labels`: how many rows each label was decided for, by the label as text. `refused`: how
    many rows the model failed on.
    """

    scored: list[Scored]
    screening: Screening
    labels: dict[str, int]
    refused: int = 0


class Scorer:
    """Scores encoded rows under one contract with one predictor."""

    def __init__(self, contract: Contract, predictor: Predictor) -> None:
        self.contract = contract
        self._predictor = predictor
        self._framer = Framer(contract)
        self._screen = Screen(contract)
        self._threshold = 0.5 if contract.threshold is None else contract.threshold
        self._names = tuple(str(label) for label in contract.classes or ())
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

    def _predict(self, frame: Frame) -> Scores:
        scores = self._predictor.predict(frame)
        if len(scores) != len(frame.matrix):
            raise RuntimeError(f"{len(frame.matrix)} rows were given {len(scores)} scores")
        if self._known_good is None:
            self._known_good = frame.part(0, 1)
        return scores

    def _score_apart(self, frame: Frame, error: Exception) -> tuple[list[Scored], dict[str, int]]:
        parts = separate(self._predict, frame)
        if not parts and (self._known_good is None or not self._is_well()):
            raise error
        scored, labels = [REFUSED] * len(frame.matrix), dict[str, int]()
        for start, scores in parts:
            some, counts = self._decide(scores)
            scored[start : start + len(some)] = some
            for name, count in counts.items():
                labels[name] = labels.get(name, 0) + count
        return scored, labels

    def _is_well(self) -> bool:
        try:
            return self._known_good is not None and len(self._predict(self._known_good)) == 1
        except Exception:
            return False

    def _decide(self, scores: Scores) -> tuple[list[Scored], dict[str, int]]:
        classes = self.contract.classes
        if classes is None:
            return [Scored(score) for score in scores.tolist()], {}
        if self.contract.task == "binary":
            # >= as in sklearn's thresholds: a score equal to the threshold is positive.
            decided = (scores >= self._threshold).astype(np.intp)
            scored = [
                Scored(score, None, classes[best])
                for score, best in zip(scores.tolist(), decided.tolist(), strict=True)
            ]
        else:
            decided = np.argmax(scores, axis=1)
            scored = [
                Scored(None, tuple(row), classes[best])
                for row, best in zip(scores.tolist(), decided.tolist(), strict=True)
            ]
        counts = np.bincount(decided, minlength=len(classes)).tolist()
        return scored, {
            name: count for name, count in zip(self._names, counts, strict=True) if count
        }
