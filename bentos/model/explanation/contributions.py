"""What each feature adds to a score, with the proof that it adds up.

Exact TreeSHAP (Lundberg et al. 2020, Nature Machine Intelligence 2): a base, which is the mean raw
score of the training rows, and a contribution of each feature. Their sum is the raw score, which
the objective's link turns into the score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.errors import TabserveError
from bentos.model.contract import Contract
from bentos.model.engines.lightgbm import NativeBooster
from bentos.model.explanation.support import read_trees
from bentos.model.frame import Framer
from bentos.model.scoring import Scored
from bentos.model.validation import EncodedRow

Floats = NDArray[np.float64]
# What was found wrong: the sum is not the raw score, or the score is not the one given.
Check = Literal["sum", "score"]

# Of the sum of all absolute parts, which bounds what rounding can do to their sum, and at least
# absolute: doubles of the size 1e6 cannot agree to 1e-9. Measured on 25 kinds of models: at most
# 1.1e-14 (tests/model/explanation).
TOLERANCE = 1e-9

# Rows of one call of the library: between two calls it is asked whether anybody still waits.
_ROWS_AT_ONCE = 8


class NotAdditive(TabserveError):
    """An explanation is not one of the score that was given. `check`: what is wrong."""

    def __init__(self, check: Check, detail: str) -> None:
        super().__init__(detail)
        self.check: Check = check


class Abandoned(TabserveError):
    """Nobody waits for the explanations any more."""


class Parts(msgspec.Struct, frozen=True, gc=False):
    """The contributions to one row's score.

    By output: one, or one for each class. `bases` and `raw_scores`: float64. `contributions`: of
    each feature in the contract's order.
    """

    bases: tuple[float, ...]
    raw_scores: tuple[float, ...]
    contributions: tuple[tuple[float, ...], ...]


class Contributor:
    """Explains the scores of one LightGBM model. Several threads may use it at once."""

    def __init__(self, contract: Contract, booster_text: str) -> None:
        """`booster_text`: of a model that `support.find_obstacle` finds nothing against."""
        self.trees = read_trees(booster_text)
        self._booster = NativeBooster(booster_text)
        self._framer = Framer(contract)
        # LightGBM gives the raw scores and the contributions of a random forest as sums.
        self._divisor = float(self._booster.iterations) if self.trees.is_averaged else 1.0

    def explain(
        self,
        rows: Sequence[EncodedRow],
        scored: Sequence[Scored],
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> list[Parts]:
        """Explain rows; `scored`: what was answered for them, in their order.

        Raises NotAdditive where an explanation is wrong, Abandoned where `is_wanted` says so.
        """
        explained: list[Parts] = []
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            if not is_wanted():
                raise Abandoned("nobody waits for the explanations any more")
            end = start + _ROWS_AT_ONCE
            explained += self._explain(rows[start:end], scored[start:end])
        return explained

    def frame(self, rows: Sequence[EncodedRow]) -> Floats:
        """Encoded rows as the matrix that is explained, (rows, features)."""
        return self._framer.frame(rows).matrix

    def compute(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Contributions and raw scores of a matrix (rows, features), not checked.

        Gives (rows, outputs, features + 1), whose last column is the base, and (rows, outputs).
        """
        parts = self._booster.explain(matrix)
        raw = self._booster.predict_raw(matrix)
        return (
            (parts, raw) if self._divisor == 1.0 else (parts / self._divisor, raw / self._divisor)
        )

    def _explain(self, rows: Sequence[EncodedRow], scored: Sequence[Scored]) -> list[Parts]:
        matrix = self.frame(rows)
        parts, raw = self.compute(matrix)
        check_sum(parts, raw)
        answered = [one.scores or (one.score,) for one in scored]
        scores = self._booster.predict(matrix).reshape(len(rows), -1).tolist()
        if any(tuple(now) != given for now, given in zip(scores, answered, strict=True)):
            raise NotAdditive("score", "an explained row has another score than the answered one")
        return [
            Parts(tuple(base), tuple(total), tuple(map(tuple, each)))
            for base, total, each in zip(
                parts[:, :, -1].tolist(), raw.tolist(), parts[:, :, :-1].tolist(), strict=True
            )
        ]


def check_sum(parts: Floats, raw: Floats) -> None:
    """Raise NotAdditive unless contributions and base add up to the raw score.

    `parts`: (rows, outputs, features + 1). `raw`: (rows, outputs).
    """
    scale = np.maximum(1.0, np.abs(parts).sum(axis=2))
    # Turned round, so that a NaN is a violation too.
    wrong = ~(np.abs(parts.sum(axis=2) - raw) <= TOLERANCE * scale)
    if wrong.any():
        count = int(wrong.any(axis=1).sum())
        raise NotAdditive(
            "sum", f"contributions and base do not add up to the raw score in {count} rows"
        )
