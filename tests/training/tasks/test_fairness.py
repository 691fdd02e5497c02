from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bentos.training import TrainingError
from bentos.training.settings import SliceSettings
from bentos.training.tasks.fairness import Slice, measure_rates, require
from bentos.training.tasks.fairness import compare as compare_groups

FEATURES = pd.DataFrame(
    {
        "sex": pd.Categorical(["f", "f", "f", "f", "m", "m", "m", None]),
        "age": [20.0, 30.0, 39.9, 40.0, 25.0, 70.0, np.nan, 30.0],
        "is_new": [True, False] * 4,
    }
)
OUTCOMES = np.array([0, 1, 0, 1, 1, 1, 1, 0], dtype=np.int64)
SCORES = np.array([0.1, 0.4, 0.6, 0.9, 0.2, 0.8, 0.9, 0.5])


def compare(slices: list[SliceSettings]) -> list[Slice]:
    """The groups' rates at a threshold of 0.5."""
    return compare_groups(
        FEATURES, OUTCOMES, SCORES, slices, lambda one, other: measure_rates(one, other, 0.5)
    )


def test_rates_are_those_of_the_group() -> None:
    """Counted by hand: four women, two approved, one of two defaults missed."""
    women, men, missing = compare([SliceSettings("sex")])
    assert (women.group, women.rows, women.numbers["base_rate"]) == ("f", 4, 0.5)
    assert women.numbers["approval_rate"] == 0.5
    assert women.numbers["false_negative_rate"] == 0.5
    assert women.numbers["false_positive_rate"] == 0.5
    assert women.numbers["roc_auc"] == 0.75
    assert men.numbers["approval_rate"] == men.numbers["false_negative_rate"] == 1 / 3
    assert (missing.group, missing.rows, missing.numbers["approval_rate"]) == ("missing", 1, 0.0)


def test_rates_of_nobody_are_none() -> None:
    """A group without negatives has no false positive rate and no AUC, and no such metric."""
    men = compare([SliceSettings("sex")])[1]
    assert men.numbers["roc_auc"] is None
    assert men.numbers["false_positive_rate"] is None
    assert set(men.metrics) == {
        "fairness_sex_m_base_rate",
        "fairness_sex_m_approval_rate",
        "fairness_sex_m_false_negative_rate",
    }


def test_bands_take_their_lower_edge() -> None:
    """An age equal to an edge is in the band that starts there; a missing one has its own."""
    found = compare([SliceSettings("age", [30.0, 40.0])])
    assert [(item.group, item.rows) for item in found] == [
        ("under 30", 2),
        ("30 to under 40", 3),
        ("40 and over", 2),
        ("missing", 1),
    ]
    assert "fairness_age_30_to_under_40_roc_auc" in found[1].metrics


def test_booleans_are_groups_and_no_slice_is_nothing() -> None:
    """A boolean column has two groups; without slices nothing is measured."""
    found = compare([SliceSettings("is_new")])
    assert [(item.group, item.rows) for item in found] == [("False", 4), ("True", 4)]
    assert compare([]) == []


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (SliceSettings("height"), "no column 'height'"),
        (SliceSettings("age"), "needs edges"),
        (SliceSettings("sex", [1.0]), "take edges away"),
        (SliceSettings("age", [40.0, 30.0]), "must ascend"),
    ],
)
def test_slices_that_cannot_be_are_refused(wanted: SliceSettings, words: str) -> None:
    """Before anything is trained, and with the column's name."""
    with pytest.raises(TrainingError, match=words):
        require(FEATURES, [wanted])
    require(FEATURES, [SliceSettings("sex"), SliceSettings("age", [30.0])])
