"""Models that only MLflow can run, and the slow way for those that need no MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bentos.errors import IntakeError
from bentos.model.engines import flavors, pyfunc
from bentos.model.frame import Framer
from bentos.model.intake import inspection
from bentos.model.scoring import Scorer
from bentos.model.validation import EncodedRow, Encoder
from tests import models


def encode(contract: Any, frame: pd.DataFrame) -> list[EncodedRow]:
    """Rows of a frame through the way of a request."""
    encoder = Encoder(contract)
    rows = []
    for record in frame.to_dict("records"):
        values = {k: None if v != v else v for k, v in record.items()}  # noqa: PLR0124 - NaN
        row, faults = encoder.validate(values)
        assert faults == []
        assert row is not None
        rows.append(row)
    return rows


def test_pipeline(pipeline_folder: Path, frame: pd.DataFrame) -> None:
    """A scikit-learn classifier gives probabilities of its second class, and its own labels."""
    made = inspection.inspect(pipeline_folder).contract
    loaded = flavors.load(pipeline_folder)
    assert loaded.classes == ("no", "yes")
    rows = models.pipeline_frame(frame).head(50)
    scorer = Scorer(made, pyfunc.PyfuncPredictor(made, loaded.call))
    scored = scorer.score(encode(made, rows)).scored
    expected = models.pipeline(frame).predict_proba(rows)[:, 1]
    assert [one.score for one in scored] == pytest.approx(expected.tolist(), abs=1e-12)
    assert [one.label for one in scored] == ["yes" if score >= 0.5 else "no" for score in expected]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression", "booster"])
def test_lightgbm(
    kind: str, folders: dict[str, Path], trained: dict[str, Any], frame: pd.DataFrame
) -> None:
    """MLflow's own loader on pandas gives the scores that the booster gives on numbers."""
    made = inspection.inspect(folders[kind]).contract
    loaded = flavors.load(folders[kind])
    assert loaded.classes == (None if kind == "booster" else made.classes)
    rows = frame.head(50)
    predictor = pyfunc.PyfuncPredictor(made, loaded.call)
    scores = predictor.predict(Framer(made).frame(encode(made, rows)))
    assert scores.tobytes() == np.ascontiguousarray(models.scores_of(trained[kind], rows)).tobytes()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([1, 2], [1.0, 2.0]),
        (np.array([[0.25], [0.5]], dtype=np.float32), [0.25, 0.5]),
        (np.array([True, False]), [1.0, 0.0]),
        (pd.Series([0.5, 1.5]), [0.5, 1.5]),
        (pd.DataFrame({"a": [0.25], "b": [0.75]}), [[0.25, 0.75]]),
    ],
)
def test_scores(answer: object, expected: list[object]) -> None:
    """Numbers of any form become float64: one a row, or one a class."""
    scores = pyfunc.scores_of(answer)
    assert scores.dtype == np.float64
    assert scores.tolist() == expected


@pytest.mark.parametrize("answer", [["yes", "no"], [[[1.0]]], 3.0, [None, 1], {"a": 1}])
def test_no_scores(answer: object) -> None:
    """Labels and objects are refused, and the message says what to log instead."""
    with pytest.raises(IntakeError, match=r"labels or objects.*pyfunc_predict_fn"):
        pyfunc.scores_of(answer)
