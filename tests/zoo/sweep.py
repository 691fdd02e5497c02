"""Hundreds of generated models through import and serving: `make test-models`.

Column types times objectives times flavors, on several seeds. Each model is imported,
served and held against itself. Prints a table and writes it, with date and versions;
exits 1 if a model was served with a wrong score, or if the import failed in another way
than by a refusal.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import tempfile
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import mlflow
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPRegressor

from tests.zoo.catalogue import (
    CATBOOST,
    XGBOOST,
    boosted,
    booster,
    estimator,
    lightgbm_model,
    parameters,
    pipeline,
    xgboost_booster,
)
from tests.zoo.frames import DTYPES
from tests.zoo.outcome import Brought, Outcome, bring

Log = Callable[[Path], Brought]
# Its group, what it is, how it is logged.
Model = tuple[str, str, Log]

_CLASSIFIERS = ("binary", "cross_entropy", "multiclass", "multiclassova")
_REGRESSORS = (
    *("regression", "regression_l1", "huber", "fair", "poisson"),
    *("quantile", "mape", "gamma", "tweedie"),
)
_RANKERS = ("lambdarank", "rank_xendcg")
_BOOSTERS = ("binary", "cross_entropy", "cross_entropy_lambda", "regression", "poisson")
_BOOSTING = (
    {"boosting": "rf", "bagging_fraction": 0.7, "bagging_freq": 1},
    {"boosting": "dart"},
    {"data_sample_strategy": "goss"},
    {"linear_tree": True},
    {"reg_sqrt": True},
)
_SETTINGS: tuple[dict[str, object], ...] = (
    {"pred_early_stop": True, "pred_early_stop_freq": 1, "pred_early_stop_margin": 0.1},
    {"num_iteration_predict": 3},
)


def models(seed: int) -> Iterator[Model]:
    """Every model of one seed."""
    yield from _of_lightgbm(seed)
    yield from _of_others(seed)


def _of_lightgbm(seed: int) -> Iterator[Model]:
    for dtypes in DTYPES:
        for objective in _CLASSIFIERS:
            made = lightgbm.LGBMClassifier(**parameters(objective=objective))
            yield "lightgbm flavor, classifier", objective, lightgbm_model(made, dtypes, seed)
        for objective in _REGRESSORS:
            made = lightgbm.LGBMRegressor(**parameters(objective=objective))
            yield "lightgbm flavor, regressor", objective, lightgbm_model(made, dtypes, seed)
        for objective in _RANKERS:
            made = lightgbm.LGBMRanker(**parameters(objective=objective))
            yield "lightgbm flavor, ranker", objective, lightgbm_model(made, dtypes, seed)
        for objective in _BOOSTERS:
            log = booster(dtypes, seed, objective=objective)
            yield "lightgbm flavor, booster", objective, log
        for objective in ("multiclass", "multiclassova"):
            log = booster(dtypes, seed, objective=objective, num_class=3)
            yield "lightgbm flavor, booster", objective, log
        for options in _BOOSTING:
            log = booster(dtypes, seed, objective="regression", **options)
            yield "lightgbm flavor, kinds of boosting", next(iter(options)), log
        for settings in _SETTINGS:
            made = lightgbm.LGBMClassifier(**parameters(**settings))
            log = lightgbm_model(made, dtypes, seed)
            yield "lightgbm flavor, prediction settings", next(iter(settings)), log
        for made in (
            lightgbm.LGBMClassifier(**parameters()),
            lightgbm.LGBMRegressor(**parameters()),
            CalibratedClassifierCV(lightgbm.LGBMClassifier(**parameters()), cv=2),
        ):
            log = estimator(made, dtypes, seed=seed)
            yield "sklearn flavor around LightGBM", type(made).__name__, log


_XGBOOST_REGRESSORS = (
    *("reg:squarederror", "reg:squaredlogerror", "reg:logistic", "reg:pseudohubererror"),
    *("reg:absoluteerror", "reg:gamma", "reg:tweedie", "count:poisson"),
)
_XGBOOST_KINDS: tuple[dict[str, Any], ...] = (
    {"booster": "dart", "rate_drop": 0.3},
    {"booster": "gblinear"},
    {"num_parallel_tree": 3, "subsample": 0.6, "colsample_bynode": 0.6},
    {"base_score": 0.3},
    {"base_score": 7.5},
    {"grow_policy": "lossguide", "max_leaves": 9},
    {"tree_method": "approx"},
    {"max_depth": 1},
    {"n_estimators": 400, "learning_rate": 0.02},
)
_XGBOOST_NUMBERS_ALONE = ({"booster": "gblinear"},)
_CATBOOST_REGRESSORS = (
    *("RMSE", "MAE", "Quantile:alpha=0.3", "Poisson", "Huber:delta=2", "MAPE", "LogCosh"),
    *("Tweedie:variance_power=1.5", "Expectile:alpha=0.7"),
)
_CATBOOST_KINDS: tuple[dict[str, Any], ...] = (
    {"grow_policy": "Lossguide"},
    {"grow_policy": "Depthwise"},
    {"boosting_type": "Ordered"},
    {"one_hot_max_size": 30},
    {"one_hot_max_size": 2, "max_ctr_complexity": 3},
    {"depth": 1},
    {"nan_mode": "Max"},
    {"iterations": 300},
)


def _of_others(seed: int) -> Iterator[Model]:
    yield from _of_xgboost(seed)
    yield from _of_catboost(seed)
    for made in (
        pipeline(RandomForestClassifier(5, random_state=1)),
        pipeline(RandomForestRegressor(5, random_state=1)),
        pipeline(SimpleImputer(), LogisticRegression(max_iter=500)),
        pipeline(
            SimpleImputer(), MLPRegressor(hidden_layer_sizes=(4,), max_iter=50, random_state=1)
        ),
    ):
        yield "sklearn flavor, pipelines on text", str(made[-1]), estimator(made, "text", seed=seed)


def _of_xgboost(seed: int) -> Iterator[Model]:
    # XGBoost itself takes no booleans as categories.
    for dtypes in [name for name in DTYPES if name != "other categories"]:
        base = {**XGBOOST, "enable_categorical": True}
        made: Any
        for classes in (2, 3):
            made = xgboost.XGBClassifier(**base)
            log = boosted(mlflow.xgboost, made, classes=classes, dtypes=dtypes, seed=seed)
            yield "xgboost flavor, classifier", str(classes), log
        for objective in _XGBOOST_REGRESSORS:
            made = xgboost.XGBRegressor(**base, objective=objective)
            log = boosted(mlflow.xgboost, made, dtypes=dtypes, seed=seed)
            if objective == "reg:logistic":
                log = xgboost_booster(objective, 2, dtypes, seed)
            yield "xgboost flavor, regressor", objective, log
        for stops in (xgboost.XGBRegressor, xgboost.XGBClassifier):
            made = stops(**{**base, "n_estimators": 60}, early_stopping_rounds=2)
            classes = 2 if stops is xgboost.XGBClassifier else 0
            log = boosted(
                mlflow.xgboost, made, classes=classes, dtypes=dtypes, seed=seed, stops=True
            )
            yield "xgboost flavor, early stops", stops.__name__, log
        made = xgboost.XGBRanker(**base)
        log = boosted(mlflow.xgboost, made, dtypes=dtypes, seed=seed)
        yield "xgboost flavor, ranker", "rank:ndcg", log
        made = xgboost.XGBRFClassifier(n_estimators=8, n_jobs=1, enable_categorical=True)
        log = boosted(mlflow.xgboost, made, classes=2, dtypes=dtypes, seed=seed)
        yield "xgboost flavor, random forest", "XGBRFClassifier", log
        for objective, classes in (
            *(("binary:logistic", 2), ("multi:softprob", 3), ("reg:squarederror", 0)),
            *(("binary:hinge", 2), ("survival:cox", 0)),
        ):
            log = xgboost_booster(objective, classes, dtypes, seed)
            yield "xgboost flavor, booster", objective, log
        has_categories = dtypes not in ("numbers", "small numbers", "nullable")
        for options in _XGBOOST_KINDS:
            if has_categories and options in _XGBOOST_NUMBERS_ALONE:
                continue
            made = xgboost.XGBRegressor(**{**base, **options})
            log = boosted(mlflow.xgboost, made, dtypes=dtypes, seed=seed)
            yield "xgboost flavor, kinds of boosting", str(options), log


def _of_catboost(seed: int) -> Iterator[Model]:
    # CatBoost cannot be trained on pandas' nullable columns.
    for dtypes in ("numbers", "small numbers", "text", "text categories", "listed integers"):
        options: dict[str, Any] = {"dtypes": dtypes, "seed": seed, "example": True}
        made: Any
        for loss, classes in (
            *(("Logloss", 2), ("CrossEntropy", 2), ("MultiClass", 3)),
            *(("MultiClass", 2), ("MultiClassOneVsAll", 3)),
        ):
            made = catboost.CatBoostClassifier(**CATBOOST, loss_function=loss)
            log = boosted(mlflow.catboost, made, classes=classes, **options)
            yield "catboost flavor, classifier", loss, log
        for loss in _CATBOOST_REGRESSORS:
            made = catboost.CatBoostRegressor(**CATBOOST, loss_function=loss)
            yield "catboost flavor, regressor", loss, boosted(mlflow.catboost, made, **options)
        made = catboost.CatBoostRegressor(**{**CATBOOST, "iterations": 90}, early_stopping_rounds=2)
        log = boosted(mlflow.catboost, made, stops=True, **options)
        yield "catboost flavor, early stops", "CatBoostRegressor", log
        for more in _CATBOOST_KINDS:
            made = catboost.CatBoostClassifier(**{**CATBOOST, **more})
            log = boosted(mlflow.catboost, made, classes=2, **options)
            yield "catboost flavor, kinds of boosting", str(more), log
        made = catboost.CatBoost({**CATBOOST, "loss_function": "Logloss"})
        log = boosted(mlflow.catboost, made, classes=2, **options)
        yield "catboost flavor, CatBoost", "Logloss", log


def run(
    seeds: int, only: str = ""
) -> tuple[dict[str, Counter[str]], Counter[str], Counter[str], list[str]]:
    """Bring every model; give the outcomes by group, what MLflow serves and what is refused by
    reason, and what was wrong.
    """
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    refusals: Counter[str] = Counter()
    slower: Counter[str] = Counter()
    wrong: list[str] = []
    for seed in range(seeds):
        for group, what, log in models(seed):
            if only not in group:
                continue
            with tempfile.TemporaryDirectory(prefix="tabserve-zoo-") as scratch:
                outcome = _bring(Path(scratch) / "model", log)
            groups[group][outcome.served] += 1
            if outcome.served == "refused":
                refusals[outcome.reason] += 1
            if outcome.served == "pyfunc":
                slower[f"{group}: {outcome.reason or 'made by scikit-learn'}"] += 1
            if outcome.served == "WRONG":
                wrong.append(f"seed {seed}, {group}, {what}: {outcome.reason}")
                print(wrong[-1], file=sys.stderr)  # noqa: T201 - a command prints
    return groups, slower, refusals, wrong


def _bring(folder: Path, log: Log) -> Outcome:
    try:
        # LightGBM prints on standard output, MLflow draws bars on standard error.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return bring(folder, log(folder))
    except Exception:
        last = traceback.format_exc().strip().splitlines()
        return Outcome("WRONG", f"an error that is no refusal: {last[-1][:200]}")


def report(
    groups: dict[str, Counter[str]],
    slower: Counter[str],
    refusals: Counter[str],
    wrong: list[str],
) -> Iterator[str]:
    """The result as Markdown."""
    total = sum(sum(counts.values()) for counts in groups.values())
    packages = ("lightgbm", "xgboost-cpu", "catboost", "mlflow", "pandas", "scikit-learn", "numpy")
    yield "# Generated models, imported and served"
    yield ""
    yield (
        f"{total} models, {datetime.now(UTC):%Y-%m-%d}, `make test-models`: "
        + ", ".join(f"{name} {version(name)}" for name in packages)
        + ". Each row's score is that of the model itself, together with others and alone: to "
        "the last bit on the native path, within 1e-12 through MLflow (1e-5 for XGBoost and "
        "CatBoost)."
    )
    yield ""
    yield "Column types: " + ", ".join(DTYPES) + "."
    yield ""
    yield "| models | native | pyfunc | refused | wrong |"
    yield "|---|---|---|---|---|"
    for group, counts in groups.items():
        cells = (counts[name] for name in ("native", "pyfunc", "refused", "WRONG"))
        yield f"| {group} | " + " | ".join(map(str, cells)) + " |"
    yield ""
    yield "Served by MLflow, with the reason where the import gives one:"
    yield ""
    for reason, count in slower.most_common():
        yield f"- {count}: {reason}"
    yield ""
    yield "Refused, with the reason that `tabserve import` gives:"
    yield ""
    for reason, count in refusals.most_common():
        yield f"- {count}: {reason}"
    if not refusals:
        yield "- none"
    for line in wrong:
        yield f"- WRONG: {line}"


def main() -> None:
    """Run the sweep and write its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="how often the grid is run")
    parser.add_argument("--only", default="", help="text that the group of a model must have")
    parser.add_argument("--output", type=Path, help="where the table is written, too")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    groups, slower, refusals, wrong = run(arguments.seeds, arguments.only)
    text = "\n".join(report(groups, slower, refusals, wrong)) + "\n"
    print(text)  # noqa: T201 - a command prints
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text)
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
