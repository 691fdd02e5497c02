"""What an MLflow model folder says of itself: contract, booster, evidence.

Reads only; `intake.py` decides what becomes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import lightgbm
import mlflow
import msgspec
import numpy as np
import pandas as pd
from mlflow.models import Model as MlflowModel
from numpy.typing import NDArray

from bentos.errors import IntakeError
from bentos.model import bundle, contract
from bentos.model.contract import Category, Contract, Feature, Profile
from bentos.model.engines import pyfunc
from bentos.model.intake.derive import Trees, bind_trees, describe, features_from_signature

Kept = TypeVar("Kept")

Answers = tuple[contract.Task, tuple[Category, ...] | None]


def make_contract(model_dir: Path) -> tuple[Contract, str | None]:
    """Derive the contract of a model folder, and the booster's text for a LightGBM model.

    Raises IntakeError where the model cannot be served.
    """
    recorded = MlflowModel.load(str(model_dir))
    if "python_function" not in recorded.flavors:
        raise IntakeError("the model has no pyfunc flavor: log it with one of mlflow's flavors")
    signature = recorded.signature
    columns = signature.inputs.to_dict() if signature and signature.inputs else []
    features = features_from_signature(columns)
    booster, threshold, method = None, None, ""
    if "lightgbm" in recorded.flavors:
        model = mlflow.lightgbm.load_model(str(model_dir))
        task, classes, booster_model = read_lightgbm(model)
        booster = booster_model.model_to_string()
        features = bind_trees(features, read_trees(booster_model))
    else:
        task, classes = _probe(model_dir, recorded, [feature.name for feature in features])
    if task == "binary":
        threshold, method = _decision(model_dir)
    descriptions = _read_json(model_dir, bundle.FEATURES, dict[str, str]) or {}
    made = Contract(
        features=describe(features, descriptions, _profiles(model_dir, features)),
        task=task,
        engine="pyfunc" if booster is None else "booster",
        classes=classes,
        threshold=threshold,
        threshold_method=method,
    )
    return made, booster


def read_lightgbm(
    model: object,
) -> tuple[contract.Task, tuple[Category, ...] | None, lightgbm.Booster]:
    """Tell task and classes of a LightGBM model of any kind, and give its booster."""
    if isinstance(model, lightgbm.LGBMClassifier):
        if callable(model.objective):
            raise IntakeError(
                "the classifier has an objective of its own, so its scores are no "
                "probabilities: train it with LightGBM's binary or multiclass objective"
            )
        classes = pyfunc.classes_of(model)
        count = model.booster_.num_model_per_iteration()
        if len(classes) < 2 or count != (1 if len(classes) == 2 else len(classes)):
            raise IntakeError(
                f"the classifier has {len(classes)} classes and {count} scores a row: train "
                "it with the binary objective for two classes, multiclass for more"
            )
        return ("binary" if len(classes) == 2 else "multiclass"), classes, model.booster_
    if isinstance(model, lightgbm.LGBMModel):
        return "regression", None, model.booster_
    if not isinstance(model, lightgbm.Booster):
        raise IntakeError(f"a LightGBM model of type {type(model).__name__} is not served")
    if _parameter(model, "objective").startswith(("binary", "cross_entropy", "xentropy")):
        return "binary", (0, 1), model
    count = model.num_model_per_iteration()
    if count > 1:
        return "multiclass", tuple(range(count)), model
    return "regression", None, model


def read_trees(booster: lightgbm.Booster) -> Trees:
    """Read what a booster says of its inputs from its text."""
    return Trees(
        feature_names=tuple(booster.feature_name()),
        feature_infos=tuple(_parameter(booster, "feature_infos").split(" ")),
        pandas_categorical=tuple(tuple(values) for values in booster.pandas_categorical or ()),
    )


def _parameter(booster: lightgbm.Booster, name: str) -> str:
    for line in booster.model_to_string(num_iteration=1).splitlines():
        if line.startswith(f"{name}="):
            return line.partition("=")[2]
    return ""


def _probe(model_dir: Path, recorded: MlflowModel, names: Sequence[str]) -> Answers:
    call, classes = pyfunc.load(model_dir)
    rows = read_rows(model_dir, bundle.GOLDEN)
    sample = recorded.load_input_example(str(model_dir)) if rows is None else rows[0]
    if not isinstance(sample, pd.DataFrame) or not set(names) <= set(sample.columns):
        raise IntakeError(
            "the model has neither golden rows nor an input example with every feature, so the "
            "shape of its answer is not known: log it with input_example=X.head()"
        )
    try:
        answer = call(sample[list(names)].head(5))
    except Exception as error:
        raise IntakeError(
            f"the model cannot score its own example rows here ({type(error).__name__}): install "
            "the packages that it was trained with"
        ) from error
    scores = pyfunc.scores_of(answer)
    if scores.ndim == 1:
        return "regression", None
    if classes is None:
        columns = answer.columns if isinstance(answer, pd.DataFrame) else range(scores.shape[1])
        classes = tuple(str(column) for column in columns)
    return ("binary" if len(classes) == 2 else "multiclass"), classes


def _decision(model_dir: Path) -> tuple[float, str]:
    decision = _read_json(model_dir, bundle.DECISION, bundle.Decision)
    if decision is None:
        return 0.5, "default: no threshold was logged with the model"
    return decision.threshold, decision.method


def _profiles(model_dir: Path, features: Sequence[Feature]) -> dict[str, Profile]:
    read = read_rows(model_dir, bundle.REFERENCE)
    if read is None:
        return {}
    rows, _ = read
    profiles: dict[str, Profile] = {}
    for feature in features:
        if feature.name not in rows.columns:
            continue
        column = rows[feature.name]
        missing_rate = float(column.isna().mean())
        present = column.dropna()
        if feature.kind in ("float", "integer") and len(present):
            profiles[feature.name] = Profile(
                missing_rate, float(present.min()), float(present.max())
            )
        else:
            profiles[feature.name] = Profile(missing_rate)
    return profiles


def read_rows(model_dir: Path, name: str) -> tuple[pd.DataFrame, NDArray[np.float64]] | None:
    """Read scored rows of the bundle: None where none were logged. Raises IntakeError."""
    path = bundle.find(model_dir, name)
    if path is None:
        return None
    try:
        rows, scores = bundle.read_scored_rows(path)
    except (ValueError, OSError) as error:
        raise IntakeError(f"{name} cannot be read: {error}") from None
    if rows.empty:
        raise IntakeError(f"{name} has no rows: log it with some, or leave it out")
    return rows, scores


def _read_json(model_dir: Path, name: str, kind: type[Kept]) -> Kept | None:
    path = bundle.find(model_dir, name)
    if path is None:
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.MsgspecError as error:
        raise IntakeError(f"{name} cannot be read: {error}") from None
