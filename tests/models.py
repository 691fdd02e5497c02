"""Small real models of every kind, logged by MLflow as a user would log them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightgbm
import mlflow
import msgspec
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from bentos.model import bundle
from bentos.model.store import StoredModel

COLOURS = ("blue", "green", "red")
ROWS = 600


def training_frame(seed: int = 7, rows: int = ROWS) -> pd.DataFrame:
    """Make a frame of shape (rows, 6) with a column of every kind that is served.

    `amount` has missing values, `weight` is float32, `grade` has integer categories.
    """
    random = np.random.default_rng(seed)
    amount = random.normal(100.0, 20.0, rows)
    amount[random.random(rows) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "amount": amount,
            "count": random.integers(0, 10, rows),
            "is_member": random.random(rows) < 0.5,
            "colour": pd.Categorical(random.choice(COLOURS, rows), categories=COLOURS),
            "grade": pd.Categorical(random.choice([3, 5, 7], rows), categories=[3, 5, 7]),
            "weight": random.normal(0.0, 1.0, rows).astype(np.float32),
        }
    )


def signal(frame: pd.DataFrame) -> NDArray[np.float64]:
    """A number that every column has a part in, float64 of shape (rows,)."""
    return np.asarray(
        frame["amount"].fillna(90.0) / 20
        + frame["count"] / 5
        + frame["is_member"]
        + (frame["colour"] == "red") * 1.5
        + (frame["grade"] == 7)
        + frame["weight"],
        dtype=np.float64,
    )


def _parameters() -> dict[str, Any]:
    return {
        "n_estimators": 40,
        "num_leaves": 15,
        "min_child_samples": 5,
        "deterministic": True,
        "num_threads": 1,
        "verbose": -1,
        "seed": 1,
    }


def binary(frame: pd.DataFrame) -> lightgbm.LGBMClassifier:
    """A classifier with the classes 0 and 1."""
    target = (signal(frame) > np.median(signal(frame))).astype(int)
    return lightgbm.LGBMClassifier(**_parameters()).fit(frame, target)


def multiclass(frame: pd.DataFrame) -> lightgbm.LGBMClassifier:
    """A classifier with three text classes."""
    edges = np.quantile(signal(frame), [1 / 3, 2 / 3])
    target = np.array(["high", "low", "middle"])[np.array([1, 2, 0])][
        np.digitize(signal(frame), edges)
    ]
    return lightgbm.LGBMClassifier(**_parameters()).fit(frame, target)


def regression(frame: pd.DataFrame) -> lightgbm.LGBMRegressor:
    """A regressor."""
    return lightgbm.LGBMRegressor(**_parameters()).fit(frame, signal(frame))


def booster(frame: pd.DataFrame) -> lightgbm.Booster:
    """A raw booster with a binary objective."""
    return binary(frame).booster_


def pipeline(frame: pd.DataFrame) -> Pipeline:
    """A scikit-learn classifier with text classes, on the columns that have no gaps."""
    one_hot = ColumnTransformer(
        [("colour", OneHotEncoder(), ["colour"])], remainder="passthrough", sparse_threshold=0
    )
    target = np.where(signal(frame) > np.median(signal(frame)), "yes", "no")
    steps = [("columns", one_hot), ("model", LogisticRegression(max_iter=1000))]
    return Pipeline(steps).fit(pipeline_frame(frame), target)


def pipeline_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of `pipeline`: a number, an integer, a boolean and a text."""
    chosen = frame[["weight", "count", "is_member", "colour"]]
    return chosen.astype({"colour": object})


def log_pipeline(model: Pipeline, frame: pd.DataFrame, folder: Path) -> Path:
    """Save a pipeline with MLflow below `folder`, with golden rows; give its path."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = pipeline_frame(frame)
    scores = model.predict_proba(rows)[:, 1]
    golden = bundle.write_scored_rows(folder / bundle.GOLDEN, rows.head(64), scores[:64])
    path = folder / "model"
    mlflow.sklearn.save_model(
        model,
        str(path),
        signature=infer_signature(rows, scores),
        extra_files=[str(golden)],
        # A file of our own making, read back at once.
        serialization_format="cloudpickle",
        pip_requirements=["scikit-learn"],
    )
    return path


def scores_of(model: object, frame: pd.DataFrame) -> NDArray[np.float64]:
    """What the model itself says: (rows,), or (rows, classes) for more than two classes."""
    if isinstance(model, lightgbm.LGBMClassifier):
        scores = np.asarray(model.predict_proba(frame))
        return scores[:, 1] if scores.shape[1] == 2 else scores
    assert isinstance(model, lightgbm.LGBMRegressor | lightgbm.Booster)
    return np.asarray(model.predict(frame))


def log(
    model: object,
    frame: pd.DataFrame,
    folder: Path,
    *,
    classes: Sequence[object] | None = None,
    threshold: float | None = None,
    with_bundle: bool = True,
) -> Path:
    """Save a LightGBM model with MLflow below `folder`, with its bundle; give its path."""
    folder.mkdir(parents=True, exist_ok=True)
    extra: list[Path] = []
    if with_bundle:
        scores = scores_of(model, frame)
        extra = [
            bundle.write_scored_rows(folder / bundle.REFERENCE, frame, scores, classes),
            bundle.write_scored_rows(folder / bundle.GOLDEN, frame.head(64), scores[:64], classes),
            bundle.write_features(folder / bundle.FEATURES, {"amount": "Money, in euro."}),
        ]
    if threshold is not None:
        decision = bundle.Decision(threshold, "chosen for the tests")
        extra.append(bundle.write_decision(folder / bundle.DECISION, decision))
    path = folder / "model"
    mlflow.lightgbm.save_model(
        model,
        str(path),
        signature=infer_signature(frame, scores_of(model, frame)),
        extra_files=[str(file) for file in extra] or None,
        # Given, so that MLflow need not run the model to find them out.
        pip_requirements=["lightgbm"],
    )
    return path


def with_file(stored: StoredModel, folder: Path, name: str) -> StoredModel:
    """A stored model whose files are in another folder, one of them as it is there now."""
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    files = {**stored.provenance.files, name: digest}
    provenance = msgspec.structs.replace(stored.provenance, files=files)
    return msgspec.structs.replace(stored, folder=folder, provenance=provenance)
