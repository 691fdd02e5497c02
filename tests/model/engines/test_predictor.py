"""The booster behind the frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from bentos.model.engines.predictor import BoosterPredictor
from bentos.model.frame import Frame


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("binary", (3,)), ("booster", (3,)), ("regression", (3,)), ("multiclass", (3, 3))],
)
def test_shapes(kind: str, shape: tuple[int, ...], trained: dict[str, Any]) -> None:
    """One score a row is a vector, several are a matrix; always float64."""
    model = trained[kind]
    text = getattr(model, "booster_", model).model_to_string()
    scores = BoosterPredictor(text).predict(Frame([], np.zeros((3, 6))))
    assert scores.shape == shape
    assert scores.dtype == np.float64


def test_early_stopping(frame: pd.DataFrame) -> None:
    """A model that stopped early is served at its best iteration, as LightGBM itself does."""
    import lightgbm

    from tests import models

    target = models.signal(frame)
    model = lightgbm.LGBMRegressor(n_estimators=200, learning_rate=0.5, verbose=-1, num_threads=1)
    model.fit(
        frame.head(400),
        target[:400],
        eval_X=frame.tail(200),
        eval_y=target[400:],
        callbacks=[lightgbm.early_stopping(3, verbose=False)],
    )
    assert model.best_iteration_ < 200
    matrix = frame[["amount", "count", "is_member"]].astype(float)
    matrix["colour"] = frame["colour"].cat.codes
    matrix["grade"] = frame["grade"].cat.codes
    matrix["weight"] = frame["weight"]
    text = model.booster_.model_to_string()
    scores = BoosterPredictor(text).predict(Frame([], matrix.to_numpy(dtype=np.float64)))
    assert scores.tobytes() == np.asarray(model.predict(frame)).tobytes()
