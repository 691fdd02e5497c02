"""XGBoost's and CatBoost's trees scored by lignum: neither library is needed for it.

lignum (PyPI: pylignum) reads the libraries' own model files. No library stands behind it
where a model is served: it is proved against the library when the model is imported, and
the golden rows prove it again at every start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import lignum
import msgspec
import numpy as np

from bentos.model.contract import FLOAT32_MAX, Category, Contract
from bentos.model.engines.memory_file import memory_file
from bentos.model.engines.predictor import Scores
from bentos.model.frame import Frame
from bentos.model.layout import FOLDER, TREES, TREES_NOTES
from bentos.model.values.checks import EncodedValue


class Notes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file of trees does not say.

    `importance`: what each feature is worth to the trees, in the library's own unit.
    `is_bounded`: whether a number beyond float32 is refused, as by XGBoost's DMatrix, which
    takes no infinity.
    """

    importance: dict[str, float]
    is_bounded: bool = False


def read_notes(data: bytes) -> Notes:
    """Read a model's notes. Raises ValueError."""
    return msgspec.json.decode(data, type=Notes)


class BoostedPredictor:
    """Scores frames with lignum, on the calling thread.

    Numbers and category codes go in as the frame's matrix. Where CatBoost has category
    columns, rows go in as values: it knows a category by its text, seen in training or not.
    ValueError refuses what the library refuses: a row without a category there, and a number
    beyond float32 where the notes say so.
    """

    def __init__(self, trees: bytes, notes: bytes, contract: Contract) -> None:
        """Read a model file of either library. Raises what lignum raises, and ValueError."""
        with memory_file(trees) as path:
            self._model = lignum.load(path)
        self._is_bounded = read_notes(notes).is_bounded
        if self._model.n_features > len(contract.features):
            raise ValueError(f"the trees need {self._model.n_features} features")
        self._has_texts = bool(self._model.categorical_features)
        self._coded: tuple[tuple[int, tuple[Category, ...]], ...] = tuple(
            (position, feature.categories)
            for position, feature in enumerate(contract.features)
            if feature.categories is not None
        )

    @classmethod
    def of_folder(cls, model_dir: Path, contract: Contract) -> Self:
        """Read a model folder that nothing has checked: one that is being imported or proved."""
        folder = model_dir / FOLDER
        return cls((folder / TREES).read_bytes(), (folder / TREES_NOTES).read_bytes(), contract)

    def predict(self, frame: Frame) -> Scores:
        # NaN is not greater than anything.
        if self._is_bounded and (np.abs(frame.matrix) > FLOAT32_MAX).any():
            raise ValueError("a number is beyond float32")
        data = self._values(frame) if self._has_texts else frame.matrix
        scores: Scores = self._model.predict(data, n_jobs=1, strategy="serial")
        # A binary score is the probability of the second class alone.
        return scores[:, 1] if scores.ndim == 2 and scores.shape[1] == 2 else scores

    def _values(self, frame: Frame) -> list[list[EncodedValue] | tuple[EncodedValue, ...]]:
        if not self._coded:
            return list(frame.rows)
        rows: list[list[EncodedValue] | tuple[EncodedValue, ...]] = []
        for row in frame.rows:
            values = list(row)
            for position, categories in self._coded:
                code = row[position]
                values[position] = None if code is None else categories[int(code)]
            rows.append(values)
        return rows
