"""One row's score and one row's failure are its own, on real scikit-learn models."""

from __future__ import annotations

import functools
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier

from bentos.model.contract import Contract, Feature
from bentos.model.engines.pyfunc import PyfuncPredictor
from bentos.model.frame import Frame
from bentos.model.scoring import Scorer
from bentos.model.separation import separate
from bentos.model.validation import EncodedRow

CONTRACT = Contract(
    features=(
        Feature("amount", "float", "double"),
        Feature("visits", "integer", "long", optional=True),
        Feature("is_member", "boolean", "boolean", optional=True),
        Feature("colour", "text", "string", optional=True),
    ),
    task="binary",
    engine="pyfunc",
    classes=(0, 1),
    threshold=0.5,
)

# The last colour is unknown to every model.
COLOURS = ("red", "green", "blue", "mauve")
ROWS = st.tuples(
    st.none() | st.floats(-3, 3),
    st.none() | st.integers(0, 5),
    st.none() | st.booleans(),
    st.none() | st.sampled_from(COLOURS),
)


def _training_frame() -> tuple[pd.DataFrame, Any]:
    random = np.random.default_rng(8)
    rows = 500
    frame = pd.DataFrame(
        {
            "amount": random.normal(size=rows),
            "visits": pd.array(random.integers(0, 6, rows), dtype="Int64"),
            "is_member": pd.array(random.random(rows) < 0.5, dtype="boolean"),
            "colour": pd.array(np.array(COLOURS[:3])[random.integers(0, 3, rows)], dtype="str"),
        }
    )
    for name in frame:
        frame.loc[random.random(rows) < 0.2, name] = None
    target = (
        2 * frame["colour"].isna() + frame["amount"].fillna(0) + frame["visits"].isna().astype(int)
        > 0.6
    )
    return frame, target.astype(int)


def _encoded(encoder: Any, **numbers: Any) -> Any:
    return make_pipeline(
        make_column_transformer(
            (numbers.get("numeric", "passthrough"), ["amount"]),
            (encoder, ["colour"]),
            remainder="drop",
        ),
        DecisionTreeClassifier(random_state=1),
    )


@functools.cache
def scorer(kind: str) -> Scorer:
    """A model of a kind, fitted, with a row that it has scored."""
    frame, target = _training_frame()
    models: dict[str, Any] = {
        "ignores unknown": _encoded(OneHotEncoder(handle_unknown="ignore")),
        "refuses unknown": _encoded(OneHotEncoder()),
        "refuses unknown, no gaps": _encoded(OrdinalEncoder(), numeric=SimpleImputer()),
        "nullable columns": lightgbm.LGBMClassifier(n_estimators=10, verbose=-1),
    }
    model = models[kind]
    if kind == "nullable columns":
        model.fit(frame.drop(columns="colour"), target)

        def call(given: pd.DataFrame) -> object:
            return model.predict_proba(given.drop(columns="colour"))
    else:
        call = model.fit(frame, target).predict_proba
    made = Scorer(CONTRACT, PyfuncPredictor(CONTRACT, call))
    made.predict([(0.5, 1, True, "red")])
    return made


KINDS = ["ignores unknown", "refuses unknown", "refuses unknown, no gaps", "nullable columns"]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(rows=st.lists(ROWS, min_size=1, max_size=6))
def test_company_changes_nothing(kind: str, rows: list[EncodedRow]) -> None:
    """A row gets the same score or the same refusal alone and among any others."""
    together = scorer(kind).score(rows)
    alone = [scorer(kind).score([row]).scored[0] for row in rows]
    assert together.scored == alone
    assert sum(together.labels.values()) == sum(not one.is_refused for one in alone)


@pytest.mark.parametrize("kind", ["refuses unknown", "refuses unknown, no gaps"])
@pytest.mark.parametrize("bad", [[0], [63], [5, 6, 40], list(range(64))])
def test_only_the_bad_rows_are_refused(kind: str, bad: list[int]) -> None:
    """A category that the model's own encoder does not know refuses its row and no other."""
    rows: list[EncodedRow] = [
        (0.1 * place, 1, True, "mauve" if place in bad else "red") for place in range(64)
    ]
    scored = scorer(kind).score(rows).scored
    assert [place for place, one in enumerate(scored) if one.is_refused] == bad
    assert all(one.is_refused or one.score is not None for one in scored)


def test_a_missing_text_is_one_thing() -> None:
    """A batch of nothing but missing texts scores as those rows do among others."""
    row: EncodedRow = (1.0, 2, True, None)
    other: EncodedRow = (1.0, 2, True, "red")
    expected = scorer("ignores unknown").predict([row, other])[0]
    assert scorer("ignores unknown").predict([row, row]).tolist() == [expected, expected]


def test_a_broken_model_is_no_fault_of_the_rows() -> None:
    """A model that fails on a row that it has scored before raises its own error."""
    is_broken = False

    def call(given: pd.DataFrame) -> object:
        if is_broken:
            raise OSError("the model's file is gone")
        return np.full(len(given), 0.5)

    made = Scorer(CONTRACT, PyfuncPredictor(CONTRACT, call))
    row: EncodedRow = (1.0, 1, True, "red")
    made.score([row])
    is_broken = True
    with pytest.raises(OSError, match="gone"):
        made.score([row, row])


def test_a_model_that_never_scored_is_broken() -> None:
    """Without one row that the model has scored, its error is not blamed on the rows."""

    def call(_: pd.DataFrame) -> object:
        raise ValueError("no row will do")

    with pytest.raises(ValueError, match="no row"):
        Scorer(CONTRACT, PyfuncPredictor(CONTRACT, call)).score([(1.0, 1, True, "red")] * 3)


def test_a_dropped_row_is_refused() -> None:
    """A model that leaves rows out gives no row the score of another."""

    def call(given: pd.DataFrame) -> object:
        return given["amount"].dropna().to_numpy()

    made = Scorer(CONTRACT, PyfuncPredictor(CONTRACT, call))
    rows: list[EncodedRow] = [(value, 1, True, "red") for value in (0.25, None, 0.75)]
    made.score(rows[:1])
    assert [one.score for one in made.score(rows).scored] == [0.25, None, 0.75]


def test_one_bad_row_costs_a_logarithm() -> None:
    """One bad row among 1,024 takes some twenty predictions, not a thousand."""
    calls = []

    def predict(frame: Frame) -> Any:
        calls.append(len(frame.matrix))
        if np.isnan(frame.matrix).any():
            raise ValueError("a gap")
        return frame.matrix[:, 0]

    matrix = np.zeros((1024, 1))
    matrix[700] = np.nan
    parts = separate(predict, Frame((), matrix))
    assert sum(len(scores) for _, scores in parts) == 1023
    assert len(calls) == 20
