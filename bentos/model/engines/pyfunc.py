"""The slower way: a model that only MLflow can run. Needs the `mlflow` extra."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import yaml

from bentos.errors import IntakeError
from bentos.model.contract import Category, Contract
from bentos.model.engines.pandas_frame import to_pandas
from bentos.model.engines.predictor import Scores
from bentos.model.frame import Frame

Call = Callable[[pd.DataFrame], object]


class PyfuncPredictor:
    """Scores frames through MLflow's loader, on pandas."""

    def __init__(self, contract: Contract, call: Call) -> None:
        self._contract = contract
        self._call = call

    def predict(self, frame: Frame) -> Scores:
        scores = scores_of(self._call(to_pandas(self._contract, frame.rows)))
        # A binary score is the probability of the second class alone.
        return scores[:, 1] if self._contract.task == "binary" and scores.ndim == 2 else scores


def load(model_dir: Path) -> tuple[Call, tuple[Category, ...] | None]:
    """Load a model with MLflow: the call that scores a frame, and its classes if it has any.

    A scikit-learn classifier is asked for probabilities: its pyfunc gives labels.
    """
    flavors = yaml.safe_load((model_dir / "MLmodel").read_text())["flavors"]
    for flavor, loader in (("lightgbm", mlflow.lightgbm), ("sklearn", mlflow.sklearn)):
        if flavor not in flavors:
            continue
        model = loader.load_model(str(model_dir))
        if hasattr(model, "predict_proba"):
            return model.predict_proba, classes_of(model)
        if hasattr(model, "classes_"):
            raise IntakeError(
                f"a classifier of type {type(model).__name__} gives labels and no probabilities: "
                "calibrate it (sklearn.calibration.CalibratedClassifierCV) or take another"
            )
        return model.predict, None
    model = mlflow.pyfunc.load_model(str(model_dir))
    return model.predict, None


def classes_of(classifier: Any) -> tuple[Category, ...]:
    """The class labels of a fitted classifier as plain values, in the order of its scores."""
    return tuple(np.asarray(classifier.classes_).tolist())


def scores_of(answer: object) -> Scores:
    """Turn what a model returned into float64 of shape (rows,) or (rows, classes).

    Raises IntakeError for anything but numbers.
    """
    values = answer.to_numpy() if isinstance(answer, pd.DataFrame | pd.Series) else answer
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim not in (1, 2):
        raise IntakeError(
            "the model answers with labels or objects, not with scores: log it so that predict "
            "gives numbers (for scikit-learn, pyfunc_predict_fn='predict_proba')"
        )
    scores = array.astype(np.float64)
    return scores[:, 0] if scores.ndim == 2 and scores.shape[1] == 1 else scores
