"""LightGBM's trees scored by lignum, several times as fast as LightGBM itself.

lignum (PyPI: pylignum) reads the same text and adds up the same doubles in the same order.
`bentos.model.proof` compares its scores with LightGBM's to the last bit before it serves.
"""

from __future__ import annotations

import lignum
import numpy as np
from numpy.typing import NDArray

from bentos.model.engines.memory_file import memory_file
from bentos.model.engines.predictor import Scores
from bentos.model.frame import Frame


class AcceleratedPredictor:
    """Scores frames with lignum, on the calling thread."""

    def __init__(self, text: bytes, features: int) -> None:
        """Read a booster's text. `features`: of the model. Raises what lignum raises."""
        with memory_file(text) as path:
            self._model = lignum.load(path, format="lightgbm")
        self._features = features

    def predict(self, frame: Frame) -> Scores:
        return self.score(frame.matrix)

    def score(self, matrix: NDArray[np.float64]) -> Scores:
        """Score float64 (rows, features): float64 (rows,), or (rows, classes)."""
        # lignum takes a wider matrix and leaves the rest of it unread.
        if matrix.shape[1] != self._features:
            raise ValueError(f"the model has {self._features} features, not {matrix.shape[1]}")
        scores: Scores = self._model.predict(matrix, n_jobs=1, strategy="serial")
        return scores
