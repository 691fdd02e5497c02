"""Frames in, scores out. Pure: a predictor is made from what was read elsewhere."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bentos.model.engines.lightgbm import NativeBooster
from bentos.model.frame import Frame

Scores = NDArray[np.float64]


class Predictor(Protocol):
    """Scores frames.

    `predict` gives float64 of shape (rows,) for one score a row, or (rows, classes).
    """

    def predict(self, frame: Frame) -> Scores: ...


class BoosterPredictor:
    """LightGBM's own prediction on a float64 matrix: no pandas, no pickle.

    `model_text` is the booster as LightGBM writes it. Scores are probabilities for the
    binary and multiclass objectives, the value itself for a regression.
    """

    def __init__(self, model_text: str, threads: int = 1) -> None:
        self._booster = NativeBooster(model_text, threads)
        self.features = self._booster.features

    def predict(self, frame: Frame) -> Scores:
        return self._booster.predict(frame.matrix)
