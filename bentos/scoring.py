"""Rows to answers: frame, screen, predict, decide. Synchronous, no I/O."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from bentos.contract import Category, Contract
from bentos.frame import Framer, Screen, Screening, Warned
from bentos.predictor import Predictor, Scores
from bentos.validation import EncodedRow


class Scored(msgspec.Struct, frozen=True, gc=False):
    """The answer to one row.

    `score`: probability of the second class, or the value of a regression. `scores`:
    probability by class, multiclass only. `label`: the class decided for.
    """

    score: float | None = None
    scores: tuple[float, ...] | None = None
    label: Category | None = None
    warnings: tuple[Warned, ...] = ()


class Scorer:
    """Scores encoded rows under one contract with one predictor."""

    def __init__(self, contract: Contract, predictor: Predictor) -> None:
        self.contract = contract
        self._predictor = predictor
        self._framer = Framer(contract)
        self._screen = Screen(contract)

    def predict(self, rows: Sequence[EncodedRow]) -> Scores:
        """Scores alone: float64 of shape (rows,) or (rows, classes)."""
        return self._predictor.predict(self._framer.frame(rows))

    def score(self, rows: Sequence[EncodedRow]) -> tuple[list[Scored], Screening]:
        """Score rows, in their order. `rows` must not be empty."""
        frame = self._framer.frame(rows)
        screening = self._screen.look(frame.matrix)
        scores = self._predictor.predict(frame)
        warnings = screening.warnings
        if not warnings:
            return self._decide(scores), screening
        return [
            msgspec.structs.replace(scored, warnings=tuple(warnings[row]))
            if row in warnings
            else scored
            for row, scored in enumerate(self._decide(scores))
        ], screening

    def _decide(self, scores: Scores) -> list[Scored]:
        classes = self.contract.classes
        if classes is None:
            return [Scored(score=score) for score in scores.tolist()]
        if self.contract.task == "binary":
            negative, positive = classes
            threshold = self.contract.threshold
            return [
                # >= as in sklearn's thresholds: a score equal to the threshold is positive.
                Scored(score=score, label=positive if score >= threshold else negative)
                for score in scores.tolist()
            ]
        return [
            Scored(scores=tuple(row), label=classes[best])
            for row, best in zip(scores.tolist(), np.argmax(scores, axis=1).tolist(), strict=True)
        ]
