"""The slower way: a model that only MLflow can run. Needs the `mlflow` extra."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from bentos.errors import IntakeError
from bentos.model.contract import Contract
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
