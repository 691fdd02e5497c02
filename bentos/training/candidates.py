"""The three models that compete: a baseline, a forest, and the boosted trees that are served.

Each fits on the training rows and may look at the validation rows, never at the test rows.
Fixed seeds and fixed numbers of threads: the same rows and settings give the same model, to
the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import optuna
import pandas as pd
from lightgbm import LGBMClassifier, early_stopping
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # publishes none

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bentos.training.data import Dataset
    from bentos.training.settings import (
        ForestSettings,
        LightgbmSettings,
        LogisticSettings,
        SearchSettings,
    )


# Keyword arguments of estimators: each has its own type, which only the estimator knows.
Parameters = dict[str, Any]


class Classifier(Protocol):
    """What every candidate can do: shape (n, features) in, float64 of shape (n, 2) out."""

    def predict_proba(self, features: pd.DataFrame, /) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Candidate:
    """A fitted model. `history`: validation ROC-AUC of every trial, in order."""

    name: str
    model: Classifier
    parameters: Parameters
    history: list[float] = field(default_factory=list)

    def score(self, features: pd.DataFrame) -> NDArray[np.float64]:
        """Probability of the second class, float64, shape (n,)."""
        # One thread: a sum taken by several has an order that changes from run to run.
        with threadpool_limits(limits=1):
            return np.asarray(self.model.predict_proba(features), dtype=np.float64)[:, 1]


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


def fit_logistic(train: Dataset, settings: LogisticSettings) -> Candidate:
    """Logistic regression on scaled numbers and one-hot categories: the baseline."""
    parameters: Parameters = {
        "C": settings.inverse_regularisation,
        "max_iter": settings.maximum_iterations,
        # Few columns and many rows: exact second-order steps, a handful of them.
        "solver": "newton-cholesky",
    }
    model = make_pipeline(
        _encoder(train.features, is_linear=True), LogisticRegression(**parameters)
    )
    with threadpool_limits(limits=1):
        model.fit(train.features, train.labels)
    return Candidate("logistic_regression", model, parameters)


def fit_forest(train: Dataset, settings: ForestSettings) -> Candidate:
    """Random forest on ordinal categories."""
    parameters: Parameters = {
        "n_estimators": settings.trees,
        "min_samples_leaf": settings.minimum_leaf_rows,
        "random_state": settings.seed,
    }
    forest = RandomForestClassifier(**parameters, n_jobs=settings.threads)
    model = make_pipeline(_encoder(train.features, is_linear=False), forest)
    model.fit(train.features, train.labels)
    # Threads add up the trees' votes in the order in which they finish.
    forest.set_params(n_jobs=1)
    return Candidate("random_forest", model, parameters)


def fit_lightgbm(
    train: Dataset,
    validation: Dataset,
    settings: LightgbmSettings,
    report: Callable[[str], None],
) -> Candidate:
    """LightGBM, tuned with Optuna's TPE for validation ROC-AUC.

    The best trial is fitted again with exactly the trees that early stopping kept, so that no
    reader of the model has to know about a best iteration.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # The first third looks around, the rest learns from it.
    sampler = optuna.samplers.TPESampler(
        seed=settings.seed, n_startup_trials=max(1, settings.trials // 3)
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)

    def attempt(trial: optuna.Trial) -> float:
        model = LGBMClassifier(
            **_fixed(settings),
            n_estimators=settings.maximum_trees,
            **_suggest(trial, settings.search),
        )
        # 0 and 1 instead of the labels: LightGBM 4.7 does not encode those of `eval_y`.
        model.fit(
            train.features,
            train.outcomes,
            eval_X=validation.features,
            eval_y=validation.outcomes,
            eval_metric="auc",
            callbacks=[
                early_stopping(
                    settings.early_stopping_rounds, first_metric_only=True, verbose=False
                )
            ],
        )
        trial.set_user_attr("trees", int(model.best_iteration_))
        scores = np.asarray(model.predict_proba(validation.features))[:, 1]
        auc = float(roc_auc_score(validation.outcomes, scores))
        report(
            f"  trial {trial.number + 1}/{settings.trials}: "
            f"validation ROC-AUC {auc:.4f}, {model.best_iteration_} trees"
        )
        return auc

    study.optimize(attempt, n_trials=settings.trials)
    parameters = {**study.best_params, "n_estimators": study.best_trial.user_attrs["trees"]}
    model = LGBMClassifier(**_fixed(settings), **parameters)
    model.fit(train.features, train.labels)
    return Candidate(
        "lightgbm",
        model,
        {**_fixed(settings), **parameters},
        [float(trial.value) for trial in study.trials if trial.value is not None],
    )


def _fixed(settings: LightgbmSettings) -> Parameters:
    """What no trial changes. The last five make training repeatable (LightGBM, Parameters)."""
    return {
        "objective": "binary",
        "metric": "auc",
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
