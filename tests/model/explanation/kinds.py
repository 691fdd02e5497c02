"""Small LightGBM models of every kind that can be explained, and rows for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.model.contract import Contract, Feature
from bentos.model.engines.predictor import BoosterPredictor
from bentos.model.scoring import Scored, Scorer
from bentos.model.validation import EncodedRow
from tests.models import COLOURS, signal, training_frame

FEATURES = (
    Feature("amount", "float", "double"),
    Feature("count", "integer", "long"),
    Feature("is_member", "boolean", "boolean"),
    Feature("colour", "category", "string", categories=COLOURS),
    Feature("grade", "category", "long", categories=(3, 5, 7)),
    Feature("weight", "float", "float"),
)
CLASSES = ("high", "low", "middle")

Parameters = dict[str, Any]

KINDS: dict[str, Parameters] = {
    "binary": {"objective": "binary"},
    "slope": {"objective": "binary", "sigmoid": 2.0},
    "cross_entropy": {"objective": "cross_entropy"},
    "regression": {"objective": "regression"},
    "regression_l1": {"objective": "regression_l1"},
    "huber": {"objective": "huber"},
    "quantile": {"objective": "quantile", "alpha": 0.8},
    "mape": {"objective": "mape"},
    "poisson": {"objective": "poisson"},
    "gamma": {"objective": "gamma"},
    "tweedie": {"objective": "tweedie"},
    "square root": {"objective": "regression", "reg_sqrt": True},
    "multiclass": {"objective": "multiclass", "num_class": 3},
    "one against all": {"objective": "multiclassova", "num_class": 3},
    "ranking": {"objective": "lambdarank"},
    "dart": {"objective": "binary", "boosting": "dart"},
    "goss": {"objective": "binary", "data_sample_strategy": "goss"},
    "forest": {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.7},
    "forest of numbers": {
        "objective": "regression",
        "boosting": "rf",
        "bagging_freq": 1,
        "bagging_fraction": 0.7,
    },
    "zero as missing": {"objective": "binary", "zero_as_missing": True},
    "deep": {"objective": "regression", "num_leaves": 400, "min_data_in_leaf": 1},
    "no split": {"objective": "regression", "min_data_in_leaf": 5000},
}


def frame(rows: int = 600) -> pd.DataFrame:
    """The training frame of all kinds."""
    return training_frame(rows=rows)


@cache
def train(kind: str, factor: float = 1.0) -> lightgbm.Booster:
    """A booster of a kind; the target of a regression times a factor."""
    table = frame()
    value = signal(table)
    chosen = KINDS[kind]
    target: NDArray[np.float64] = np.abs(value * factor) + 0.1 * factor
    options: dict[str, Any] = {}
    if "num_class" in chosen:
        target = np.digitize(value, np.quantile(value, [1 / 3, 2 / 3])).astype(float)
    elif chosen["objective"] in ("binary", "cross_entropy"):
        target = (value > np.median(value)).astype(float)
    elif chosen["objective"] == "lambdarank":
        target = np.digitize(value, np.quantile(value, [1 / 3, 2 / 3])).astype(float)
        options["group"] = [60] * 10
    parameters = {"num_leaves": 15, "min_data_in_leaf": 5, "num_threads": 1, "verbose": -1}
    data = lightgbm.Dataset(table, target, **options)
    return lightgbm.train({**parameters, "seed": 1, **chosen}, data, 30)


def contract_of(kind: str, features: Sequence[Feature] = FEATURES) -> Contract:
    """The contract of a kind."""
    chosen = KINDS[kind]
    if "num_class" in chosen:
        return Contract(tuple(features), "multiclass", "booster", CLASSES)
    if chosen["objective"] in ("binary", "cross_entropy"):
        return Contract(tuple(features), "binary", "booster", (0, 1), threshold=0.5)
    return Contract(tuple(features), "regression", "booster")


def encode(table: pd.DataFrame) -> list[EncodedRow]:
    """Rows of the frame as validation encodes them."""
    coded = table.assign(
        colour=table["colour"].cat.codes.astype(float), grade=table["grade"].cat.codes.astype(float)
    )
    return [
        tuple(None if value != value else value for value in row)  # noqa: PLR0124 - NaN
        for row in coded.itertuples(index=False, name=None)
    ]


def score(kind: str, rows: Sequence[EncodedRow], booster: lightgbm.Booster) -> list[Scored]:
    """The answers to rows, as the service computes them."""
    scorer = Scorer(contract_of(kind), BoosterPredictor(booster.model_to_string()))
    return scorer.score(rows).scored


def without_counts(booster: lightgbm.Booster) -> str:
    """A model that does not say how many rows its nodes had, as another library may write one.

    As long as before: LightGBM finds its trees by their sizes.
    """
    return re.sub(
        r"(?<=internal_count=)[0-9 ]+",
        lambda found: re.sub("[0-9]", "0", found[0]),
        booster.model_to_string(),
    )
