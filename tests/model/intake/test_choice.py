"""Which of the possible bindings is the model's: by evidence, or refused."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.errors import IntakeError
from bentos.model.contract import Feature
from bentos.model.intake.binding import read_trees
from bentos.model.intake.choice import choose_binding
from bentos.model.intake.evidence import Evidence
from bentos.model.intake.rows import members_of

STORE = Feature("store", "integer", "long")
RATING = Feature("rating", "integer", "long")


def evidence(**known: Any) -> Evidence:
    """Evidence of which only this is known."""
    nothing = {"golden": None, "reference": None, "example": None, "decision": None}
    return Evidence(**{**nothing, "descriptions": {}, **known})


def two_columns(seed: int, levels: list[int]) -> tuple[pd.DataFrame, lightgbm.Booster]:
    """An ordered category beside a listed integer column whose values could be its codes."""
    random = np.random.default_rng(seed)
    codes = random.integers(0, len(levels), 300)
    frame = pd.DataFrame(
        {
            "rating": pd.Categorical.from_codes(codes, pd.Index(levels), ordered=True),
            "store": random.integers(0, len(levels), 300),
        }
    )
    value = codes * 2.0 + (frame["store"] == 1) * 5 + random.normal(0, 0.1, 300)
    data = lightgbm.Dataset(frame, value, categorical_feature=["store"])
    options = {"objective": "regression", "verbose": -1, "num_threads": 1, "num_leaves": 5}
    return frame, lightgbm.train({**options, "min_data_in_leaf": 5}, data, 5)


def chosen(booster: lightgbm.Booster, known: Evidence) -> list[str]:
    """The names of the columns that were given categories."""
    text = booster.model_to_string()
    bound = choose_binding([RATING, STORE], read_trees(text), text, known)
    return [feature.name for feature in bound if feature.categories is not None]


@pytest.fixture(scope="module")
def model() -> tuple[pd.DataFrame, lightgbm.Booster]:
    """A model whose text leaves the binding open."""
    return two_columns(3, [1, 2, 3, 4])


def test_open_is_refused(model: tuple[pd.DataFrame, lightgbm.Booster]) -> None:
    """Without evidence a binding that matters is refused, with what to log."""
    with pytest.raises(IntakeError, match=r"several columns could.*golden\.parquet or reference"):
        chosen(model[1], evidence())


def test_category_columns_of_a_logged_frame(model: tuple[pd.DataFrame, lightgbm.Booster]) -> None:
    """A logged frame that kept its category columns shows the binding."""
    frame, booster = model
    assert chosen(booster, evidence(reference=(frame, np.zeros((300, 1))))) == ["rating"]


def test_scores_of_golden_rows(model: tuple[pd.DataFrame, lightgbm.Booster]) -> None:
    """Golden rows that lost their category columns decide by their scores."""
    frame, booster = model
    scores = np.asarray(booster.predict(frame)).reshape(-1, 1)
    plain = frame.astype({"rating": int})
    assert chosen(booster, evidence(golden=(plain, scores))) == ["rating"]
    with pytest.raises(IntakeError, match="with none of the columns"):
        chosen(booster, evidence(golden=(plain, scores + 1)))


def test_values_of_example_rows(model: tuple[pd.DataFrame, lightgbm.Booster]) -> None:
    """A value that is no category of a column, or that training never saw, excludes it."""
    frame, booster = model
    assert chosen(booster, evidence(example=members_of(frame.head(50)))) == ["rating"]


def test_alike_either_way() -> None:
    """Where the model scores alike either way, it does not matter."""
    _, booster = two_columns(3, [0, 1, 2, 3])
    assert len(chosen(booster, evidence())) == 1


def test_nothing_fits(model: tuple[pd.DataFrame, lightgbm.Booster]) -> None:
    """A signature without a column that the categories fit is refused."""
    text = model[1].model_to_string()
    numbers = [Feature("rating", "boolean", "boolean"), Feature("store", "boolean", "boolean")]
    with pytest.raises(IntakeError, match="no columns that they fit"):
        choose_binding(numbers, read_trees(text), text, evidence())


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**16),
    levels=st.lists(st.integers(-3, 8), min_size=2, max_size=5, unique=True).map(sorted),
)
def test_never_bound_wrong(seed: int, levels: list[int]) -> None:
    """Whatever the categories are, the binding scores as the model does, or is refused."""
    frame, booster = two_columns(seed, levels)
    expected = np.asarray(booster.predict(frame))
    try:
        names = chosen(booster, evidence())
    except IntakeError:
        names = chosen(booster, evidence(golden=(frame, expected.reshape(-1, 1))))
        assert names == ["rating"]
    numbers = frame.astype(int)
    for name in names:
        numbers[name] = pd.Categorical(numbers[name], categories=levels).codes
    assert np.array_equal(booster.predict(numbers.to_numpy(dtype=float)), expected)
