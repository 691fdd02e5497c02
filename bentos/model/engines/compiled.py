"""Compiled trees at work: raw scores from the library, the objective's link in Python.

`engine.py` uses it only where it gives LightGBM's scores to the last bit.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.model.engines.compilation import BUILD, LIBRARY, Build, current_machine
from bentos.model.engines.predictor import Scores
from bentos.model.engines.trees import Forest, Unsupported, parse
from bentos.model.frame import Frame

_SEED = 20051
# Thresholds of a feature that random rows are drawn around.
_MOST_THRESHOLDS = 200

_IDENTITY = {"regression", "regression_l1", "huber", "fair", "quantile", "mape"}


class CompiledPredictor:
    """Scores frames with compiled trees."""

    def __init__(self, folder: Path, model_text: str) -> None:
        """Open the library of a served folder. Raises Unsupported, saying why it cannot be used."""
        if not (folder / LIBRARY).is_file():
            raise Unsupported("the model was imported without compiled trees")
        build = msgspec.json.decode((folder / BUILD).read_bytes(), type=Build)
        if (build.machine, build.system) != current_machine():
            raise Unsupported(f"the trees were compiled for {build.system} on {build.machine}")
        self.forest = forest = parse(model_text)
        try:
            library = ctypes.CDLL(str(folder / LIBRARY))
        except OSError:
            raise Unsupported("the library of compiled trees cannot be opened here") from None
        self._score = library.score
        self._score.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_void_p]
        self._score.restype = None
        self._link = _link(forest)
        self._features = forest.features
        self._outputs = forest.outputs

    def predict(self, frame: Frame) -> Scores:
        return self.score(frame.matrix)

    def score(self, matrix: NDArray[np.float64]) -> Scores:
        """Score float64 (rows, features): float64 (rows,), or (rows, classes)."""
        rows, columns = matrix.shape
        if columns != self._features:
            raise ValueError(f"the trees have {self._features} features, the matrix {columns}")
        matrix = np.ascontiguousarray(matrix, dtype=np.float64)
        raw = np.empty((rows, self._outputs), dtype=np.float64)
        self._score(matrix.ctypes.data, rows, raw.ctypes.data)
        return self._link(raw)


def random_matrix(forest: Forest, rows: int) -> NDArray[np.float64]:
    """Draw rows for a comparison, float64 of shape (rows, features).

    They are seeded, and drawn on, just beside and between the thresholds of the trees,
    with missing values among them.
    """
    random = np.random.default_rng(_SEED)
    near: list[set[float]] = [{0.0, -1.0} for _ in range(forest.features)]
    for tree in forest.trees:
        for feature, threshold, decision in zip(
            tree.features, tree.thresholds, tree.decisions, strict=True
        ):
            values = near[feature]
            if len(values) >= _MOST_THRESHOLDS:
                continue
            # Categories are small codes; bit 0 of a decision marks them.
            value = float(random.integers(0, 64)) if decision & 1 else float(threshold)
            values |= {value, math.nextafter(value, math.inf), math.nextafter(value, -math.inf)}
    matrix = np.empty((rows, forest.features), dtype=np.float64)
    for feature, values in enumerate(near):
        points = np.array(sorted(values), dtype=np.float64)
        between = random.uniform(points.min() - 1.0, points.max() + 1.0, rows)
        matrix[:, feature] = np.where(
            random.random(rows) < 0.5, random.choice(points, rows), between
        )
    matrix[random.random(matrix.shape) < 0.1] = np.nan
    return matrix


def _link(forest: Forest) -> Callable[[NDArray[np.float64]], Scores]:
    # The link is computed with the C library's exp, as LightGBM does: numpy's differs in
    # the last bit.
    if forest.objective == "binary" and forest.outputs == 1:
        steepness = float(forest.parameters.get("sigmoid", "1"))
        return lambda raw: np.array([_sigmoid(steepness, value) for value in raw[:, 0].tolist()])
    if forest.objective == "multiclass":
        return lambda raw: np.array([_softmax(row) for row in raw.tolist()])
    if forest.objective in _IDENTITY and forest.outputs == 1 and not forest.parameters:
        return lambda raw: raw[:, 0]
    raise Unsupported(f"the objective {forest.objective} has a link that is not written here")


def _sigmoid(steepness: float, raw: float) -> float:
    # BinaryLogloss::ConvertOutput.
    return 1.0 / (1.0 + _exp(-steepness * raw))


def _softmax(raw: list[float]) -> list[float]:
    # Common::Softmax: shifted by the largest, summed in order.
    largest = max(raw)
    powers = [_exp(value - largest) for value in raw]
    total = 0.0
    for power in powers:
        total += power
    return [power / total for power in powers]


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
