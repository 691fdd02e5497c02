"""LightGBM models of every class: their task, their classes, their booster."""

from __future__ import annotations

from typing import Any

import lightgbm

from bentos.errors import IntakeError
from bentos.model.contract import Category, Task
from bentos.model.engines.flavors import classes_of

_BINARY = ("binary", "cross_entropy")
_MULTICLASS = ("multiclass", "multiclassova")


def read_lightgbm(model: Any) -> tuple[Task, tuple[Category, ...] | None, lightgbm.Booster]:
    """Tell task and classes of a LightGBM model by its class and objective; give its booster.

    Raises IntakeError where its scores are no probabilities of its classes, or several
    numbers that are no classes.
    """
    if isinstance(model, lightgbm.LGBMClassifier):
        return *_classifier(model), model.booster_
    if isinstance(model, lightgbm.LGBMModel):
        is_base = not isinstance(model, lightgbm.LGBMRegressor | lightgbm.LGBMRanker)
        booster = model.booster_
        return *(_by_objective(booster) if is_base else _one_number(booster)), booster
    if not isinstance(model, lightgbm.Booster):
        raise IntakeError(f"a LightGBM model of type {type(model).__name__} is not served")
    return *_by_objective(model), model


def own_prediction(model: Any) -> str | None:
    """Say what makes the model's own predict more than its booster's, if anything does.

    Rows may not show it: an early stop, say, only tells on the surest of them.
    """
    if isinstance(model, lightgbm.Booster):
        return None
    if isinstance(model, lightgbm.LGBMClassifier):
        name, base = "predict_proba", lightgbm.LGBMClassifier.predict_proba
    else:
        name, base = "predict", lightgbm.LGBMModel.predict
    if getattr(type(model), name) is not base or name in vars(model):
        return f"its class has a {name} of its own"
    if model.get_params().get("pred_early_stop"):
        return "pred_early_stop is set"
    return None


def objective_of(booster: lightgbm.Booster) -> str:
    """The name of the objective, as LightGBM writes it; "none" for one of the user's own."""
    for line in booster.model_to_string(num_iteration=1).splitlines():
        if line.startswith("objective="):
            return line.partition("=")[2].partition(" ")[0]
    return "none"


def _classifier(model: Any) -> tuple[Task, tuple[Category, ...]]:
    objective = objective_of(model.booster_)
    if callable(model.objective):
        raise IntakeError(
            "the classifier has an objective of its own, so its scores are no "
            "probabilities: train it with LightGBM's binary or multiclass objective"
        )
    if objective not in (*_BINARY, *_MULTICLASS):
        raise IntakeError(
            f"the classifier has the objective {objective}, whose scores are no probabilities: "
            "train it with LightGBM's binary or multiclass objective"
        )
    classes = classes_of(model)
    count = model.booster_.num_model_per_iteration()
    if len(classes) < 2 or count != (1 if len(classes) == 2 else len(classes)):
        raise IntakeError(
            f"the classifier has {len(classes)} classes and {count} scores a row: train "
            "it with the binary objective for two classes, multiclass for more"
        )
    return ("binary" if len(classes) == 2 else "multiclass"), classes


def _by_objective(booster: lightgbm.Booster) -> tuple[Task, tuple[Category, ...] | None]:
    objective = objective_of(booster)
    if objective in _BINARY:
        return "binary", (0, 1)
    if objective in _MULTICLASS:
        count = booster.num_model_per_iteration()
        if count < 3:
            raise IntakeError(
                f"the booster has the objective {objective} and {count} scores a row: train with "
                "the binary objective for two classes"
            )
        return "multiclass", tuple(range(count))
    return _one_number(booster)


def _one_number(booster: lightgbm.Booster) -> tuple[Task, None]:
    count = booster.num_model_per_iteration()
    if count != 1:
        raise IntakeError(
            f"the booster gives {count} numbers a row, and its objective does not say that they "
            "are probabilities of classes: several targets are not served"
        )
    return "regression", None
