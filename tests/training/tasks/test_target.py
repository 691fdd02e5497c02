"""What is learned of a target, by its values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bentos.training import TaskName, TrainingError
from bentos.training.tasks.target import describe, read_target


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        ([0, 1] * 60, None, (0, 1)),
        (["no", "yes"] * 60, None, ("no", "yes")),
        ([True, False] * 60, None, (False, True)),
        (["grün", "rot", "blau"] * 40, None, ("blau", "grün", "rot")),
        ([3, 1, 2] * 40, None, (1, 2, 3)),
        ([3, 1, 2] * 40, "regression", ()),
        (np.linspace(0, 1, 120), None, ()),
        (list(range(120)), None, ()),
        ([0.0, 1.5] * 60, "regression", ()),
        (pd.Categorical(["b", "a", "c"] * 40), None, ("a", "b", "c")),
        (pd.array([1, 2, 3] * 40, dtype="Int64"), None, (1, 2, 3)),
    ],
)
def test_values_suggest_the_task(
    values: object, task: TaskName | None, classes: tuple[object, ...]
) -> None:
    """Two values are binary, text and a few whole numbers classes, the rest is a number."""
    labels, found = read_target(pd.Series(values), "t", task)
    assert found == classes
    assert len(labels) == 120
    assert labels.dtype == np.float64 if not classes else labels.dtype != object


@pytest.mark.parametrize(
    ("values", "task", "words"),
    [
        ([1, None] * 60, None, "missing in 60 rows"),
        ([1] * 120, None, "has 1 different values"),
        ([1, 2, 3] * 40, "binary", "has 3 different values, not two"),
        ([1, 2] * 60, "multiclass", "it is binary"),
        (["a", "b", "c"] * 40, "regression", "is no number"),
        ([f"name {number}" for number in range(120)], None, "more than the 50 classes"),
        (["a"] * 100 + ["b"] * 30 + ["c"] * 3, None, "3 rows of its rarer class, 20 are needed"),
        ([1.5, np.inf] * 60, "regression", "infinite in 60 rows"),
        ([1.5, 2.5, 3.5] * 10, None, "has 30 rows, 100 are needed"),
        (["a"] * 110 + ["b"] * 10, None, "10 rows of its rarer class, 50 are needed"),
    ],
)
def test_targets_that_cannot_be_learned(
    values: list[object], task: TaskName | None, words: str
) -> None:
    """One line with the column and the reason, and no value of it."""
    with pytest.raises(TrainingError, match=words) as caught:
        read_target(pd.Series(values), "t", task)
    assert "name 1" not in str(caught.value)
    assert "target 't'" in str(caught.value)


def test_what_is_learned_is_said() -> None:
    """One line a task; where the values leave a choice it names the option."""
    assert describe("binary", (0, 1), "t").endswith("the probability of 1")
    assert describe("regression", (), "t") == "t is a number: learning its value"
    assert describe("multiclass", (1, 2, 3), "t").endswith(
        "--task regression learns a number instead"
    )
    assert "--task" not in describe("multiclass", ("a", "b", "c"), "t")
