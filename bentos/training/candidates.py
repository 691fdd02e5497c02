"""The three models that compete: a linear baseline, a forest, the boosted trees that are served.

Each fits on the training rows and may look at the validation rows, never at the test rows.
Fixed seeds and fixed numbers of threads: the same rows and settings give the same model, to
the last bit.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pandas as pd
from lightgbm import LGBMClassifier, LGBMModel, LGBMRegressor, early_stopping
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # publishes none

from bentos.training.tasks import registry as tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bentos.training import TaskName
    from bentos.training.data import Dataset
    from bentos.training.settings import (
        ForestSettings,
        LightgbmSettings,
        LinearSettings,
        SearchSettings,
    )


# Keyword arguments of estimators: each has its own type, which only the estimator knows.
Parameters = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A fitted model. `history`: the deciding metric of every trial on validation, in order."""

    name: str
    task: TaskName
    # An estimator of scikit-learn's kind; each library has a base class of its own.
    model: Any
    parameters: Parameters
    history: list[float] = field(default_factory=list)

    def score(self, features: pd.DataFrame) -> NDArray[np.float64]:
        """Score rows, float64.

        Binary: probability of the second class, shape (n,). Several classes: of each, shape
        (n, classes). Regression: the value, shape (n,).
        """
        # One thread: a sum taken by several has an order that changes from run to run.
        with threadpool_limits(limits=1):
            return score(self.model, self.task, features)


def score(model: Any, task: TaskName, features: pd.DataFrame) -> NDArray[np.float64]:
    """Score rows with an estimator of scikit-learn's kind, as `Candidate.score` says."""
    if task == "regression":
        return np.asarray(model.predict(features), dtype=np.float64)
    scores = np.asarray(model.predict_proba(features), dtype=np.float64)
    return scores[:, 1] if task == "binary" else scores


def _encoder(features: pd.DataFrame, *, is_linear: bool) -> ColumnTransformer:
    """Turn categories into numbers, for models that know none.

    The categories come from the column's type, so that one that a part lacks keeps its place.
    """
    names = [name for name in features if isinstance(features[name].dtype, pd.CategoricalDtype)]
    categories = [list(features[name].cat.categories) for name in names]
    numbers = [name for name in features if name not in names]
    if is_linear:
        encode = OneHotEncoder(categories=categories, handle_unknown="ignore")
        scale = make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
        )
        return ColumnTransformer([("categories", encode, names), ("numbers", scale, numbers)])
    ordinal = OrdinalEncoder(
        categories=categories,
        handle_unknown="use_encoded_value",
        unknown_value=-1,
        encoded_missing_value=-1,
    )
    return ColumnTransformer([("categories", ordinal, names), ("numbers", "passthrough", numbers)])


def fit_linear(train: Dataset, settings: LinearSettings) -> Candidate:
    """The baseline on scaled numbers and one-hot categories: logistic, or ridge regression."""
    parameters: Parameters
    if train.task == "regression":
        parameters = {"alpha": 1.0 / settings.inverse_regularisation}
        model = Ridge(**parameters)
    else:
        parameters = {
            "C": settings.inverse_regularisation,
            "max_iter": settings.maximum_iterations,
            # Exact second-order steps, a handful of them, where columns are few; the memory of
            # these grows with the square of columns times classes.
            "solver": "newton-cholesky" if train.task == "binary" else "lbfgs",
        }
        model = LogisticRegression(**parameters)
    pipeline = make_pipeline(_encoder(train.features, is_linear=True), model)
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # A baseline that stopped at `maximum_iterations` is a baseline all the same.
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline.fit(train.features, train.labels)
    return Candidate(tasks.pick(train.task).baseline, train.task, pipeline, parameters)


def fit_forest(train: Dataset, settings: ForestSettings) -> Candidate:
    """Random forest on ordinal categories."""
    parameters: Parameters = {
        "n_estimators": settings.trees,
        "min_samples_leaf": settings.minimum_leaf_rows,
        "random_state": settings.seed,
    }
    kind = RandomForestRegressor if train.task == "regression" else RandomForestClassifier
    forest = kind(**parameters, n_jobs=settings.threads)
    model = make_pipeline(_encoder(train.features, is_linear=False), forest)
    model.fit(train.features, train.labels)
    # Threads add up the trees' votes in the order in which they finish.
    forest.set_params(n_jobs=1)
    return Candidate("random_forest", train.task, model, parameters)


def fit_lightgbm(
    train: Dataset,
    validation: Dataset,
    settings: LightgbmSettings,
    report: Callable[[str], None],
) -> Candidate:
    """LightGBM, tuned with Optuna's TPE for the task's deciding metric on validation.

    The best trial is fitted again with exactly the trees that early stopping kept, so that no
    reader of the model has to know about a best iteration.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # The first third looks around, the rest learns from it.
    sampler = optuna.samplers.TPESampler(
        seed=settings.seed, n_startup_trials=max(1, settings.trials // 3)
    )
    task = tasks.pick(train.task)
    deciding = task.deciding
    fixed = _fixed(settings, train.task)
    kind = LGBMRegressor if train.task == "regression" else LGBMClassifier
    study = optuna.create_study(
        direction="maximize" if deciding.is_more_better else "minimize", sampler=sampler
    )

    def attempt(trial: optuna.Trial) -> float:
        model: LGBMModel = kind(
            **fixed, n_estimators=settings.maximum_trees, **_suggest(trial, settings.search)
        )
        # Numbers instead of labels: LightGBM 4.7 does not encode those of `eval_y`.
        model.fit(
            train.features,
            train.outcomes,
            eval_X=validation.features,
            eval_y=validation.outcomes,
            eval_metric=fixed["metric"],
            callbacks=[
                early_stopping(
                    settings.early_stopping_rounds, first_metric_only=True, verbose=False
                )
            ],
        )
        trial.set_user_attr("trees", max(1, int(model.best_iteration_)))
        scores = score(model, train.task, validation.features)
        value = task.measure(validation.outcomes, scores, _NO_THRESHOLD)[deciding.metric]
        report(
            f"  trial {trial.number + 1}/{settings.trials}: validation {deciding.title} "
            f"{value:.4f}, {model.best_iteration_} trees"
        )
        return value

    study.optimize(attempt, n_trials=settings.trials)
    parameters = {**study.best_params, "n_estimators": study.best_trial.user_attrs["trees"]}
    model: LGBMModel = kind(**fixed, **parameters)
    model.fit(train.features, train.labels)
    return Candidate(
        "lightgbm",
        train.task,
        model,
        {**fixed, **parameters},
        [float(trial.value) for trial in study.trials if trial.value is not None],
    )


# The deciding metric of no task depends on a threshold.
_NO_THRESHOLD = 0.5

_OBJECTIVES: dict[TaskName, tuple[str, str]] = {
    "binary": ("binary", "auc"),
    "multiclass": ("multiclass", "multi_logloss"),
    "regression": ("regression", "rmse"),
}


def _fixed(settings: LightgbmSettings, task: TaskName) -> Parameters:
    """What no trial changes. The last five make training repeatable (LightGBM, Parameters)."""
    objective, metric = _OBJECTIVES[task]
    return {
        "objective": objective,
        "metric": metric,
        "verbose": -1,
        "subsample_freq": 1,
        "random_state": settings.seed,
        "n_jobs": settings.threads,
        "deterministic": True,
        "force_row_wise": True,
    }


def _suggest(trial: optuna.Trial, search: SearchSettings) -> Parameters:
    return {
        "num_leaves": trial.suggest_int("num_leaves", *search.num_leaves),
        "learning_rate": trial.suggest_float("learning_rate", *search.learning_rate, log=True),
        "min_child_samples": trial.suggest_int(
            "min_child_samples", *search.min_child_samples, log=True
        ),
        "colsample_bytree": trial.suggest_float("colsample_bytree", *search.colsample_bytree),
        "subsample": trial.suggest_float("subsample", *search.subsample),
        "reg_lambda": trial.suggest_float("reg_lambda", *search.reg_lambda, log=True),
    }
