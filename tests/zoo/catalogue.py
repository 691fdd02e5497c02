"""One model of each kind that people bring, by the name that the documentation gives it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import catboost
import lightgbm
import mlflow
import numpy as np
import pandas as pd
import xgboost
from mlflow.models import infer_signature
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC

from bentos.model import bundle
from tests.zoo.frames import make_frame, signal
from tests.zoo.outcome import Brought

# XGBoost computes in float32.
_FLOAT32 = 1e-5


class Kind(NamedTuple):
    """A kind of model: how it is served, and how to log one into a folder."""

    served: str
    log: Callable[[Path], Brought]
    says: str = ""


def save(
    flavor: Any, model: Any, rows: pd.DataFrame, path: Path, *, answer: Any = None, **options: Any
) -> None:
    """Save a model with MLflow, with a signature of its own answers."""
    given = model.predict(rows) if answer is None else answer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flavor.save_model(
            model,
            path=str(path),
            signature=infer_signature(rows, given),
            pip_requirements=["numpy"],
            **options,
        )


def parameters(**more: Any) -> dict[str, Any]:
    """Small trees, the same in every run."""
    base = {"n_estimators": 8, "num_leaves": 7, "min_child_samples": 5, "num_threads": 1}
    return {**base, "verbose": -1, "seed": 1, "min_data_per_group": 5, **more}


def fit_lightgbm(model: Any, dtypes: str, seed: int = 3) -> tuple[Any, pd.DataFrame]:
    """Fit one of LightGBM's scikit-learn models on a frame of some column types."""
    frame = make_frame(dtypes, seed)
    value: Any = signal(frame, seed)
    options: dict[str, Any] = {}
    if dtypes == "listed integers":
        options["categorical_feature"] = ["area", "colour"]
    if isinstance(model, lightgbm.LGBMRanker):
        options["group"] = [len(frame) // 8] * 8
        value = np.digitize(value, np.quantile(value, [0.3, 0.6, 0.9])).astype(float)
    if isinstance(model, lightgbm.LGBMClassifier):
        edges = [1 / 3, 2 / 3] if "multiclass" in str(model.objective) else [0.5]
        value = np.digitize(value, np.quantile(value, edges))
    return model.fit(frame, value, **options), frame


def lightgbm_model(model: Any, dtypes: str = "numbers", seed: int = 3) -> Callable[[Path], Brought]:
    """One of LightGBM's scikit-learn models by the lightgbm flavor."""

    def log(path: Path) -> Brought:
        fitted, frame = fit_lightgbm(model, dtypes, seed)
        save(mlflow.lightgbm, fitted, frame, path, serialization_format="cloudpickle")
        scores = getattr(fitted, "predict_proba", fitted.predict)
        return Brought(frame, scores)

    return log


def booster(dtypes: str = "numbers", seed: int = 3, **options: Any) -> Callable[[Path], Brought]:
    """A raw LightGBM booster."""

    def log(path: Path) -> Brought:
        frame = make_frame(dtypes, seed)
        value: Any = signal(frame, seed)
        objective = str(options.get("objective"))
        if "num_class" in options:
            value = np.digitize(value, np.quantile(value, [1 / 3, 2 / 3]))
        elif objective.startswith(("binary", "cross")):
            value = (value > np.median(value)).astype(float)
        listed: Any = ["area", "colour"] if dtypes == "listed integers" else "auto"
        made = {key: one for key, one in parameters(**options).items() if key != "n_estimators"}
        data = lightgbm.Dataset(frame, value, categorical_feature=listed)
        trained = lightgbm.train(made, data, 8)
        save(mlflow.lightgbm, trained, frame, path)
        return Brought(frame, trained.predict)

    return log


def estimator(
    model: Any, dtypes: str = "text", *, example: bool = True, golden: bool = False, seed: int = 3
) -> Callable[[Path], Brought]:
    """A scikit-learn estimator by the sklearn flavor; a classifier learns two classes."""

    def log(path: Path) -> Brought:
        frame = make_frame(dtypes, seed)
        value = signal(frame, seed)
        target = np.where(value > np.median(value), "yes", "no") if is_classifier(model) else value
        fitted = model.fit(frame, target)
        scores = getattr(fitted, "predict_proba", fitted.predict)
        extra = []
        if golden:
            kept = np.asarray(scores(frame.head(40)))
            kept = kept[:, 1] if kept.ndim == 2 else kept
            extra = [
                str(bundle.write_scored_rows(path.parent / bundle.GOLDEN, frame.head(40), kept))
            ]
        save(
            mlflow.sklearn,
            fitted,
            frame,
            path,
            serialization_format="cloudpickle",
            input_example=frame.head(20) if example else None,
            extra_files=extra or None,
        )
        return Brought(frame, scores)

    return log


def pipeline(*steps: Any) -> Any:
    """A pipeline that encodes its text column and passes its numbers on."""
    columns = ColumnTransformer(
        [("text", OneHotEncoder(handle_unknown="ignore"), ["colour"])], remainder="passthrough"
    )
    return make_pipeline(columns, *steps)


def boosted(
    flavor: Any,
    model: Any,
    *,
    classes: int = 0,
    dtypes: str = "numbers",
    seed: int = 3,
    stops: bool = False,
    example: bool = False,
) -> Callable[[Path], Brought]:
    """A model of XGBoost's or CatBoost's scikit-learn interface by its own flavor.

    `stops`: training ends early, on rows of its own. `example`: rows are logged with it.
    """

    def log(path: Path) -> Brought:
        frame = make_frame(dtypes, seed)
        value: Any = signal(frame, seed)
        if classes:
            value = np.digitize(value, np.quantile(value, np.arange(1, classes) / classes))
        options: dict[str, Any] = {}
        if isinstance(model, catboost.CatBoost):
            # CatBoost takes no missing category, and none that pandas keeps as a float.
            categories = [
                str(name) for name in frame if not pd.api.types.is_numeric_dtype(frame[name].dtype)
            ]
            options["cat_features"] = categories
            frame[categories] = frame[categories].astype("str").fillna("none")
        if isinstance(model, xgboost.XGBRanker):
            options["group"] = [len(frame) // 8] * 8
            value = np.digitize(value, np.quantile(value, [0.3, 0.6, 0.9]))
        if stops:
            options["eval_set"] = [(frame[180:], value[180:])]
            options["verbose"] = False
            fitted = model.fit(frame[:180], value[:180], **options)
        else:
            fitted = model.fit(frame, value, **options)
        save(flavor, fitted, frame, path, input_example=frame.head(30) if example else None)
        scores = getattr(fitted, "predict_proba", fitted.predict)
        if type(fitted) is catboost.CatBoost:
            scores = partial(fitted.predict, prediction_type="Probability")
        return Brought(frame, scores, _FLOAT32)

    return log


def xgboost_booster(
    objective: str, classes: int = 0, dtypes: str = "numbers", seed: int = 3, **more: Any
) -> Callable[[Path], Brought]:
    """A raw XGBoost booster."""

    def log(path: Path) -> Brought:
        frame = make_frame(dtypes, seed)
        value: Any = signal(frame, seed)
        made: dict[str, Any] = {"objective": objective, "nthread": 1, **more}
        if classes:
            value = np.digitize(value, np.quantile(value, np.arange(1, classes) / classes))
            made |= {"num_class": classes} if objective.startswith("multi") else {}

        def matrix(rows: pd.DataFrame, label: Any = None) -> xgboost.DMatrix:
            return xgboost.DMatrix(rows, label, enable_categorical=True, nthread=1)

        trained = xgboost.train(made, matrix(frame, value), 8)
        save(mlflow.xgboost, trained, frame, path, answer=trained.predict(matrix(frame)))
        return Brought(frame, lambda rows: trained.predict(matrix(rows)), _FLOAT32)

    return log


def two_targets(path: Path) -> Brought:
    """A regression of two targets."""
    frame = make_frame("numbers", 3)
    value = signal(frame, 3)
    fitted = RandomForestRegressor(5, random_state=1).fit(frame, np.c_[value, -value])
    save(mlflow.sklearn, fitted, frame, path, serialization_format="cloudpickle")
    return Brought(frame, fitted.predict)


def shifted_signature(path: Path) -> Brought:
    """A booster whose signature has another column first."""
    fitted, frame = fit_lightgbm(lightgbm.LGBMRegressor(**parameters()), "numbers")
    shifted = frame.drop(columns="flag")
    shifted.insert(0, "row_id", 1.0)
    save(mlflow.lightgbm, fitted, shifted, path, answer=np.zeros(len(frame)))
    return Brought(shifted, fitted.predict)


def open_binding(*, golden: bool) -> Callable[[Path], Brought]:
    """Two columns of small integers: which is the category, the text of the booster leaves open."""

    def log(path: Path) -> Brought:
        random = np.random.default_rng(5)
        frame = pd.DataFrame(
            {
                "rating": pd.Categorical(
                    random.integers(1, 6, 400), categories=[1, 2, 3, 4, 5], ordered=True
                ),
                "store": random.integers(0, 5, 400),
            }
        )
        value = frame["rating"].cat.codes * 2.0 + (frame["store"] == 3) * 5
        model = lightgbm.LGBMRegressor(**parameters())
        fitted = model.fit(frame, value, categorical_feature=["store"])
        extra = None
        if golden:
            kept = path.parent / bundle.GOLDEN
            extra = [
                str(
                    bundle.write_scored_rows(
                        kept, frame.head(40), np.asarray(fitted.predict(frame.head(40)))
                    )
                )
            ]
        save(mlflow.lightgbm, fitted, frame, path, extra_files=extra)
        return Brought(frame, fitted.predict)

    return log


def signed_by(make: Callable[[pd.DataFrame], Any]) -> Callable[[Path], Brought]:
    """A LightGBM regressor whose signature is inferred from something else than its frame."""

    def log(path: Path) -> Brought:
        fitted, frame = fit_lightgbm(_regressor(), "numbers")
        given = make(frame)
        if given is None:
            mlflow.lightgbm.save_model(fitted, path=str(path), pip_requirements=["numpy"])
        else:
            save(mlflow.lightgbm, fitted, given, path, answer=np.zeros(len(frame)))
        return Brought(frame, fitted.predict)

    return log


def _push_apart(scores: Any, data: lightgbm.Dataset) -> tuple[Any, Any]:
    truth = np.asarray(data.get_label())[:, None] - np.arange(3)
    return scores - truth, np.ones_like(scores)


class Doubled(lightgbm.LGBMClassifier):
    """A classifier that changes its probabilities after LightGBM."""

    def predict_proba(self, *given: Any, **options: Any) -> Any:
        scores = np.asarray(super().predict_proba(*given, **options))
        return np.c_[1 - scores[:, 1] ** 2, scores[:, 1] ** 2]


class Halved(xgboost.XGBRegressor):
    """A regressor that changes its values after XGBoost."""

    def predict(self, *given: Any, **options: Any) -> Any:
        return np.asarray(super().predict(*given, **options)) / 2


def _classifier(**more: Any) -> Any:
    return lightgbm.LGBMClassifier(**parameters(**more))


def _regressor(**more: Any) -> Any:
    return lightgbm.LGBMRegressor(**parameters(**more))


def _linear(path: Path) -> Brought:
    """A linear model, which takes no missing values into account."""
    log = xgboost_booster("reg:squarederror", booster="gblinear", updater="coord_descent")
    return log(path)


XGBOOST = {"n_estimators": 8, "n_jobs": 1}
CATBOOST = {"iterations": 8, "verbose": 0, "thread_count": 1, "allow_writing_files": False}

KINDS: dict[str, Kind] = {
    "LightGBM classifier, two classes": Kind("native", lightgbm_model(_classifier())),
    "LightGBM classifier, more classes": Kind(
        "native", lightgbm_model(_classifier(objective="multiclass"))
    ),
    "LightGBM regressor": Kind("native", lightgbm_model(_regressor())),
    "LightGBM ranker": Kind("native", lightgbm_model(lightgbm.LGBMRanker(**parameters()))),
    "LightGBM booster": Kind("native", booster(objective="binary")),
    "LightGBM with text categories": Kind(
        "native", lightgbm_model(_classifier(), "text categories")
    ),
    "LightGBM with categories of numbers or booleans, ordered or not": Kind(
        "native", lightgbm_model(_classifier(), "other categories")
    ),
    "LightGBM with columns named in categorical_feature": Kind(
        "native", lightgbm_model(_classifier(), "listed integers")
    ),
    "LightGBM with pandas' nullable columns": Kind(
        "native", lightgbm_model(_classifier(), "nullable")
    ),
    "LightGBM whose category columns stay open, with golden rows": Kind(
        "native", open_binding(golden=True)
    ),
    "LightGBM whose category columns stay open": Kind(
        "refused", open_binding(golden=False), "several columns could have them"
    ),
    "LightGBM with prediction settings": Kind(
        "pyfunc",
        lightgbm_model(
            _classifier(pred_early_stop=True, pred_early_stop_margin=0.01, pred_early_stop_freq=1)
        ),
    ),
    "LightGBM subclass with its own predict_proba": Kind(
        "pyfunc", lightgbm_model(Doubled(**parameters()))
    ),
    "LightGBM classifier with a regression objective": Kind(
        "refused", lightgbm_model(_classifier(objective="regression")), "no probabilities"
    ),
    "LightGBM whose signature names other columns": Kind(
        "refused", shifted_signature, "in another order"
    ),
    "LightGBM with another objective (counts, amounts, quantiles, proportions)": Kind(
        "native", booster(objective="tweedie")
    ),
    "LightGBM with several numbers a row that are no classes": Kind(
        "refused", booster(objective=_push_apart, num_class=3), "3 numbers a row"
    ),
    "Model without a signature": Kind(
        "refused", signed_by(lambda frame: None), "no input signature"
    ),
    "Signature without column names": Kind(
        "refused", signed_by(lambda frame: frame.to_numpy(dtype=float)), "no column name"
    ),
    "Signature with numbers for names": Kind(
        "refused", signed_by(lambda frame: frame.set_axis(range(4), axis=1)), "a number for its"
    ),
    "Signature of a frame with uint64 or sparse columns": Kind(
        "refused", signed_by(lambda frame: frame.astype({"large": "uint64"})), "neither uint64"
    ),
    "Signature with dates": Kind(
        "refused", signed_by(lambda frame: frame.assign(x=pd.Timestamp(0))), "is a datetime"
    ),
    "scikit-learn classifier with probabilities": Kind(
        "pyfunc", estimator(pipeline(RandomForestClassifier(5, random_state=1)))
    ),
    "scikit-learn regressor": Kind(
        "pyfunc", estimator(pipeline(RandomForestRegressor(5, random_state=1)))
    ),
    "scikit-learn pipeline around LightGBM": Kind("pyfunc", estimator(pipeline(_classifier()))),
    "scikit-learn model around LightGBM with category columns": Kind(
        "pyfunc",
        estimator(CalibratedClassifierCV(_classifier(), cv=2), "text categories"),
    ),
    "scikit-learn classifier without probabilities": Kind(
        "refused",
        estimator(pipeline(SimpleImputer(), LinearSVC())),
        "gives labels and no probabilities",
    ),
    "scikit-learn clusters or outliers": Kind(
        "refused",
        estimator(pipeline(SimpleImputer(), KMeans(3, random_state=1))),
        "labels of groups",
    ),
    "Several targets": Kind("refused", two_targets, "several targets"),
    "Text without a known value": Kind(
        "refused",
        estimator(pipeline(RandomForestClassifier(5, random_state=1)), example=False),
        "input_example",
    ),
    "XGBoost classifier": Kind(
        "native", boosted(mlflow.xgboost, xgboost.XGBClassifier(**XGBOOST), classes=2)
    ),
    "XGBoost regressor": Kind("native", boosted(mlflow.xgboost, xgboost.XGBRegressor(**XGBOOST))),
    "XGBoost with category columns": Kind(
        "native",
        boosted(
            mlflow.xgboost,
            xgboost.XGBClassifier(**XGBOOST, enable_categorical=True),
            classes=3,
            dtypes="listed integers",
        ),
    ),
    "XGBoost with categories beyond ASCII": Kind(
        "refused",
        boosted(
            mlflow.xgboost,
            xgboost.XGBClassifier(**XGBOOST, enable_categorical=True),
            classes=2,
            dtypes="text categories",
            example=True,
        ),
        "log golden.parquet from the training frame",
    ),
    "XGBoost by the sklearn flavor": Kind(
        "native", estimator(xgboost.XGBRegressor(**XGBOOST), "numbers")
    ),
    "XGBoost that stopped early": Kind(
        "native",
        boosted(
            mlflow.xgboost,
            xgboost.XGBRegressor(n_estimators=200, n_jobs=1, early_stopping_rounds=2),
            stops=True,
        ),
    ),
    "XGBoost booster with probabilities": Kind("native", xgboost_booster("multi:softprob", 3)),
    "XGBoost booster with labels or log-odds": Kind(
        "refused", xgboost_booster("multi:softmax", 3), "gives labels and no probabilities"
    ),
    "XGBoost with a number of its own for missing": Kind(
        "pyfunc", estimator(xgboost.XGBRegressor(**XGBOOST, missing=7.0), "numbers")
    ),
    "XGBoost subclass with its own predict": Kind(
        "pyfunc", estimator(Halved(**XGBOOST), "numbers")
    ),
    "XGBoost without trees (gblinear)": Kind("pyfunc", _linear),
    "CatBoost classifier": Kind(
        "native", boosted(mlflow.catboost, catboost.CatBoostClassifier(**CATBOOST), classes=3)
    ),
    "CatBoost regressor": Kind(
        "native", boosted(mlflow.catboost, catboost.CatBoostRegressor(**CATBOOST))
    ),
    "CatBoost with text categories": Kind(
        "native",
        boosted(
            mlflow.catboost,
            catboost.CatBoostClassifier(**CATBOOST),
            classes=2,
            dtypes="text",
            example=True,
        ),
    ),
    "CatBoost with text categories of which none is known": Kind(
        "refused",
        boosted(mlflow.catboost, catboost.CatBoostRegressor(**CATBOOST), dtypes="text"),
        "input_example",
    ),
    "CatBoost with trees that are not symmetric": Kind(
        "pyfunc",
        boosted(mlflow.catboost, catboost.CatBoostRegressor(**CATBOOST, grow_policy="Lossguide")),
    ),
}
