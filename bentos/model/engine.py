"""Which predictor serves a model: compiled trees where they are proved, or LightGBM, or MLflow."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from bentos.errors import IntegrityError
from bentos.model.engines.compiled import CompiledPredictor, random_matrix
from bentos.model.engines.predictor import BoosterPredictor, Predictor
from bentos.model.engines.trees import Unsupported
from bentos.model.frame import Frame, Framer
from bentos.model.store import BOOSTER, FOLDER, StoredModel
from bentos.model.validation import EncodedRow
from bentos.settings import Settings

_RANDOM_ROWS = 10_000


class Engine(msgspec.Struct, frozen=True):
    """A predictor, what it is, and why it is not the faster one if it is not."""

    name: Literal["compiled", "booster", "pyfunc"]
    predictor: Predictor
    reason: str = ""


def choose(stored: StoredModel, settings: Settings, golden_rows: Sequence[EncodedRow]) -> Engine:
    """Choose the fastest predictor that gives the model's scores to the last bit.

    `golden_rows`: encoded; compiled trees must agree with the booster on them too.
    Raises IntegrityError where a model needs MLflow and there is none.
    """
    if stored.contract.engine == "pyfunc":
        return Engine("pyfunc", _pyfunc(stored))
    folder = stored.folder / FOLDER
    text = (folder / BOOSTER).read_text()
    booster = BoosterPredictor(text, settings.predict_threads)
    if not settings.compiled_trees:
        return Engine("booster", booster, "compiled trees are switched off")
    try:
        compiled = CompiledPredictor(folder, text)
        frames = [Frame((), random_matrix(compiled.forest, _RANDOM_ROWS))]
        if golden_rows:
            frames.append(Framer(stored.contract).frame(golden_rows))
        for frame in frames:
            require_equal(compiled, booster, frame)
    except Unsupported as error:
        return Engine("booster", booster, str(error))
    return Engine("compiled", compiled)


def require_equal(compiled: Predictor, booster: Predictor, frame: Frame) -> None:
    """Raise Unsupported unless both give the same scores to the last bit."""
    expected = booster.predict(frame)
    # NaN is equal to nothing: a score that is none is a difference, and the booster serves.
    differing = np.flatnonzero(
        ~(compiled.predict(frame) == expected).reshape(len(expected), -1).all(axis=1)
    )
    if len(differing):
        raise Unsupported(
            f"compiled trees differ from the booster on {len(differing)} of {len(expected)} rows"
        )


def _pyfunc(stored: StoredModel) -> Predictor:
    if importlib.util.find_spec("mlflow") is None:
        raise IntegrityError(
            "this model is run by MLflow itself, which is not installed: install tabserve[mlflow]"
        )
    # Imported here alone: the native path must not carry MLflow.
    from bentos.model.engines import flavors, pyfunc

    return pyfunc.PyfuncPredictor(stored.contract, flavors.load(stored.folder).call)
