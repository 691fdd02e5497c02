"""Rows to answers: frame, screen, predict, decide. Synchronous, no I/O."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from bentos.model.contract import Category, Contract
from bentos.model.engines.predictor import Predictor, Scores
from bentos.model.frame import FeatureWarning, Framer, Screen, Screening
from bentos.model.validation import EncodedRow


class Scored(msgspec.Struct, frozen=True, gc=False):
    """The answer to one row.

    `score`: probability of the second class, or the value of a regression. `scores`:
    probability by class, multiclass only. `label`: the class decided for.
    """

    score: float | None = None
    scores: tuple[float, ...] | None = None
    label: Category | None = None
    warnings: tuple[FeatureWarning, ...] = ()


class Batch(msgspec.Struct):
    """The answers to the rows of one batch, in their order, and what to count of them.

    `labels`: how many rows each label was decided for, by the label as text.
    """

    scored: list[Scored]
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

    def predict(self, rows: Sequence[EncodedRow]) -> Scores:
        """Scores alone: float64 of shape (rows,) or (rows, classes)."""
        return self._predictor.predict(self._framer.frame(rows))

    def score(self, rows: Sequence[EncodedRow]) -> Batch:
        """Score rows. `rows` must not be empty."""
        frame = self._framer.frame(rows)
        screening = self._screen.look(frame.matrix)
        scored, labels = self._decide(self._predictor.predict(frame))
        for row, warnings in screening.warnings.items():
            scored[row] = msgspec.structs.replace(scored[row], warnings=tuple(warnings))
        return Batch(scored, screening, labels)

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
