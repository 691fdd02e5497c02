"""A model's text as trees."""

from __future__ import annotations

from typing import Any

import lightgbm
import pandas as pd
import pytest

from bentos.model.engines import trees
from bentos.model.engines.trees import Unsupported
from tests import models


def text_of(**parameters: Any) -> str:
    """The text of a small regressor trained with parameters of its own."""
    frame = models.training_frame(rows=200)
    numbers = frame[["amount", "count", "weight"]]
    model = lightgbm.LGBMRegressor(n_estimators=3, verbose=-1, **parameters)
    return str(model.fit(numbers, models.signal(frame)).booster_.model_to_string())


def test_every_tree_is_read(trained: dict[str, Any]) -> None:
    """A parsed forest has the booster's trees, features, outputs and objective."""
    read = trees.parse(trained["multiclass"].booster_.model_to_string())
    assert len(read.trees) == trained["multiclass"].booster_.num_trees()
    assert (read.features, read.outputs, read.objective) == (6, 3, "multiclass")
    assert read.parameters == {"num_class": "3"}
    assert any(tree.category_words for tree in read.trees)


def test_features_are_counted_without_reading_the_trees(trained: dict[str, Any]) -> None:
    """The count is the booster's own; a text that has none is refused."""
    booster = trained["multiclass"].booster_
    assert trees.count_features(booster.model_to_string().encode()) == booster.num_feature()
    with pytest.raises(ValueError, match="invalid literal"):
        trees.count_features(b"tree\nversion=v4\n\nTree=0\nmax_feature_idx=4")


def test_a_leaf_is_a_tree(frame: pd.DataFrame) -> None:
    """A tree that never splits is read as its one value."""
    model = lightgbm.LGBMRegressor(n_estimators=2, min_child_samples=10_000, verbose=-1)
    text = model.fit(frame[["count"]], models.signal(frame)).booster_.model_to_string()
    read = trees.parse(text)
    assert [tree.features for tree in read.trees] == [()] * len(read.trees)


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({"linear_tree": True}, "linear leaves"),
        ({"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "averaged"),
    ],
)
def test_other_kinds_of_trees_are_not_read(parameters: dict[str, Any], what: str) -> None:
    """Trees with linear leaves and averaged trees are left to LightGBM, and the reason is said."""
    with pytest.raises(Unsupported, match=what):
        trees.parse(text_of(**parameters))


def test_another_version_is_not_read() -> None:
    """The text of another LightGBM generation is not guessed at."""
    with pytest.raises(Unsupported, match="v4"):
        trees.parse(text_of().replace("version=v4", "version=v5"))
