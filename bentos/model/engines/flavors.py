"""MLflow models by flavor: the call that gives scores, and what their class says of them.

MLflow's pyfunc asks a classifier for labels. Here each flavor is loaded by MLflow's own
loader and asked for probabilities; a classifier that has none is refused. What a model
of another flavor answers is left to its signature. Needs the `mlflow` extra.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import msgspec
import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor

from bentos.errors import IntakeError
from bentos.model.contract import Category
from bentos.model.engines import model_code

Call = Callable[[pd.DataFrame], object]

# CatBoost's losses whose prediction is a probability of each class.
_CATBOOST_CLASSES = ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll")
# XGBoost's objectives that give labels or log-odds where a probability is expected.
_XGBOOST_NO_PROBABILITY = {
    "binary:hinge": "labels",
    "binary:logitraw": "log-odds",
    "multi:softmax": "labels",
}


class Loaded(msgspec.Struct, frozen=True):
    """A model ready to score pandas frames.

    `call`: gives (rows,), or (rows, classes). `classes`: labels in the order of the
    scores, where the model's class has any. `is_regression`: whether its class says that
    it predicts numbers. With neither, the class says nothing of the answer.
    `is_one_against_rest`: the probabilities need not add up to one.
    """

    call: Call
    type_name: str
    model: object
    classes: tuple[Category, ...] | None = None
    is_regression: bool = False
    is_one_against_rest: bool = False


def load(model_dir: Path) -> Loaded:
    """Load a model with MLflow: what `model_code.find` names runs, so ask first who trusts it.

    Raises IntakeError for a model that gives labels alone, or names a file outside of its folder.
    """
    flavors = model_code.read_manifest(model_dir)["flavors"]
    for flavor, loader, describe in (
        ("lightgbm", mlflow.lightgbm, _lightgbm),
        ("xgboost", mlflow.xgboost, _xgboost),
        ("catboost", mlflow.catboost, _catboost),
        ("sklearn", mlflow.sklearn, _estimator),
    ):
        if flavor in flavors:
            return describe(loader.load_model(str(model_dir)))
    model = mlflow.pyfunc.load_model(str(model_dir))
    return Loaded(model.predict, "pyfunc", model)


def classes_of(classifier: Any) -> tuple[Category, ...]:
    """The class labels of a fitted classifier as plain values, in the order of its scores.

    Raises IntakeError for a classifier of several targets.
    """
    classes = classifier.classes_
    labels = np.asarray(classes).tolist() if not isinstance(classes, list) else classes
    if not all(isinstance(label, Category) for label in labels):
        raise IntakeError(
            f"a classifier of type {type(classifier).__name__} decides on several targets, or its "
            "classes are neither text nor numbers nor booleans: log one classifier a target"
        )
    return tuple(labels)


def _lightgbm(model: Any) -> Loaded:
    name = type(model).__name__
    if hasattr(model, "predict_proba"):
        return Loaded(model.predict_proba, name, model, classes_of(model), is_one_against_rest=True)
    return Loaded(model.predict, name, model, is_regression=True, is_one_against_rest=True)


def _estimator(model: Any) -> Loaded:
    name = type(model).__name__
    if _is(is_classifier, model) or hasattr(model, "classes_"):
        if not hasattr(model, "predict_proba"):
            raise IntakeError(
                f"a classifier of type {name} gives labels and no probabilities: "
                "calibrate it (sklearn.calibration.CalibratedClassifierCV) or take another"
            )
        return Loaded(model.predict_proba, name, model, classes_of(model))
    if _is(is_outlier_detector, model) or _is(is_clusterer, model):
        raise IntakeError(f"a model of type {name} gives labels of groups, which is not served")
    return Loaded(model.predict, name, model, is_regression=_is(is_regressor, model))


def _is(asks: Callable[[Any], bool], model: Any) -> bool:
    try:
        return asks(model)
    except (AttributeError, TypeError):
        # No estimator of scikit-learn's kind: its class says nothing.
        return False


def _xgboost(model: Any) -> Loaded:
    name = type(model).__name__
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    # Threads of one row wait for each other longer than they work, and workers share cores.
    booster.set_param({"nthread": 1})
    learner = json.loads(booster.save_config())["learner"]
    objective = learner["objective"]["name"]
    lacks = _XGBOOST_NO_PROBABILITY.get(objective)
    if lacks is not None and not (objective == "multi:softmax" and booster is not model):
        raise IntakeError(
            f"the objective {objective} gives {lacks} and no probabilities: train with "
            "binary:logistic or multi:softprob"
        )
    if booster is not model:
        loaded = _estimator(model)
        return loaded if loaded.classes else msgspec.structs.replace(loaded, is_regression=True)

    def call(frame: pd.DataFrame) -> object:
        import xgboost  # noqa: PLC0415 - a worker never loads it

        return booster.predict(xgboost.DMatrix(frame, enable_categorical=True, nthread=1))

    if objective == "binary:logistic":
        return Loaded(call, name, model, (0, 1))
    if objective == "multi:softprob":
        count = int(learner["learner_model_param"]["num_class"])
        return Loaded(call, name, model, tuple(range(count)))
    return Loaded(call, name, model, is_regression=True)


def _catboost(model: Any) -> Loaded:
    name = type(model).__name__
    loss = str(model.get_all_params().get("loss_function", "")).partition(":")[0]
    if hasattr(model, "predict_proba"):
        call = model.predict_proba
    elif loss in _CATBOOST_CLASSES:

        def call(frame: pd.DataFrame) -> object:
            return model.predict(frame, prediction_type="Probability")

    else:
        return Loaded(model.predict, name, model, is_regression=True)
    is_alone = loss == "MultiClassOneVsAll"
    return Loaded(call, name, model, classes_of(model), is_one_against_rest=is_alone)
