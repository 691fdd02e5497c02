"""What of a model's own runs when it is loaded, found without loading it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from bentos.errors import IntakeError
from bentos.model.engines import model_code

FRAME = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0] * 10, "b": [1.0, 0.0, 1.0, 0.0] * 10})
TARGET = np.array([0, 0, 1, 1] * 10)


def save(folder: Path, flavor: Any, model: object, **options: Any) -> Path:
    """Save a model with MLflow as a user would; give its folder."""
    path = folder / "model"
    signature = infer_signature(FRAME, TARGET.astype(float))
    flavor.save_model(
        model, path=str(path), signature=signature, pip_requirements=["numpy"], **options
    )
    return path


def classifier() -> lightgbm.LGBMClassifier:
    return lightgbm.LGBMClassifier(n_estimators=2, min_child_samples=1, verbose=-1).fit(
        FRAME, TARGET
    )


def test_trees_in_their_own_format(tmp_path: Path) -> None:
    """A booster's text runs nothing."""
    assert model_code.find(save(tmp_path, mlflow.lightgbm, classifier().booster_)) == []


def test_known_classes(tmp_path: Path) -> None:
    """LightGBM's own classes in skops' format run nothing."""
    path = save(tmp_path, mlflow.lightgbm, classifier(), serialization_format="skops")
    assert model_code.find(path) == []


def test_known_pipeline(tmp_path: Path) -> None:
    """So do scikit-learn's."""
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, TARGET)
    path = save(tmp_path, mlflow.sklearn, fitted, serialization_format="skops")
    assert model_code.find(path) == []


def test_types_of_its_own(tmp_path: Path) -> None:
    """What MLmodel says to trust is not trusted for that."""
    function = FunctionTransformer(func=os.system)
    fitted = make_pipeline(function, LogisticRegression())
    path = save(
        tmp_path,
        mlflow.sklearn,
        fitted,
        serialization_format="skops",
        skops_trusted_types=["posix.system"],
    )
    (found,) = model_code.find(path)
    assert found == "model.skops with posix.system (flavor sklearn)"


@pytest.mark.parametrize("serialization", ["pickle", "cloudpickle"])
def test_pickles(tmp_path: Path, serialization: str) -> None:
    """A pickle is named with the flavor that reads it."""
    path = save(tmp_path, mlflow.lightgbm, classifier(), serialization_format=serialization)
    assert model_code.find(path) == ["model.pkl, a pickle (flavor lightgbm)"]


def test_format_left_out(tmp_path: Path) -> None:
    """A manifest of an older MLflow names no format: it was a pickle."""
    path = save(tmp_path, mlflow.lightgbm, classifier(), serialization_format="skops")
    change(path, lambda flavors: flavors["lightgbm"].pop("serialization_format"))
    assert model_code.find(path) == ["model.skops, a pickle (flavor lightgbm)"]


def test_code_folder(tmp_path: Path) -> None:
    """A folder of code beside harmless trees is found: Python would search it first."""
    own = tmp_path / "own_code"
    own.mkdir()
    (own / "numpy.py").write_text("raise SystemExit")
    path = save(tmp_path, mlflow.lightgbm, classifier().booster_, code_paths=[str(own)])
    assert model_code.find(path) == ["code/ with 1 Python files (flavor lightgbm)"]


def test_python_model(tmp_path: Path) -> None:
    """A Python model is a pickle, or a script."""
    path = save(tmp_path, mlflow.lightgbm, classifier().booster_)
    change(path, lambda flavors: flavors.pop("lightgbm"))
    pyfunc = {"loader_module": "mlflow.pyfunc.model", "python_model": "python_model.pkl"}
    change(path, lambda flavors: flavors.update(python_function=pyfunc))
    assert model_code.find(path) == ["python_model.pkl, a pickle"]
    script = {"loader_module": "mlflow.pyfunc.model", "model_code_path": "model.py"}
    change(path, lambda flavors: flavors.update(python_function=script))
    assert model_code.find(path) == ["model.py, the model's own code"]


def test_loader_of_its_own(tmp_path: Path) -> None:
    """Any loader but those of the flavors that are read here counts as code."""
    path = save(tmp_path, mlflow.lightgbm, classifier().booster_)
    change(path, lambda flavors: flavors.pop("lightgbm"))
    assert model_code.find(path) == ["the loader mlflow.lightgbm"]


def test_class_of_its_own(tmp_path: Path) -> None:
    """MLflow imports and calls what `model_class` of an XGBoost model names."""
    path = save(tmp_path, mlflow.lightgbm, classifier().booster_)
    change(path, lambda flavors: flavors.update(xgboost={"model_class": "os.system", "data": "m"}))
    change(path, lambda flavors: flavors.pop("lightgbm"))
    assert model_code.find(path) == ["a class of the model's own in model_class (flavor xgboost)"]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("code", "../outside"),
        ("code", "/etc"),
        ("data", "../../booster.txt"),
        ("data", "inside/../../booster.txt"),
        ("data", "..\\outside"),
        ("artifacts", {"own": {"path": "../secret", "uri": "x"}}),
    ],
)
def test_paths_out_of_the_folder(tmp_path: Path, member: str, value: object) -> None:
    """A manifest that names a file outside of the model's folder is refused, in its place."""
    path = save(tmp_path, mlflow.lightgbm, classifier().booster_)
    change(path, lambda flavors: flavors["lightgbm"].update({member: value}))
    with pytest.raises(IntakeError, match=f"^MLmodel: flavors/lightgbm/{member}.* outside of the"):
        model_code.find(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flavors: [", "no YAML in line"),
        ("flavors: {}", "it names no flavors"),
        ("- 1", "it names no flavors"),
        ("flavors: {lightgbm: 1}", "a flavor has no members"),
        ("flavors: !!python/object/apply:os.system ['true']", "no YAML in line 1"),
        ("\x00", "cannot be read"),
        ("[" * 5000, "cannot be read"),
    ],
)
def test_broken_manifest(tmp_path: Path, text: str, says: str) -> None:
    """A manifest that is none is told in one line."""
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(IntakeError, match=says) as caught:
        model_code.find(tmp_path)
    assert "\n" not in str(caught.value)


def test_links_and_pipes(tmp_path: Path) -> None:
    """A link or a pipe in a model's folder is refused by name."""
    path = save(tmp_path, mlflow.lightgbm, classifier().booster_)
    model_code.require_plain_files(path)
    (path / "extra.json").symlink_to("/etc/hostname")
    with pytest.raises(IntakeError, match=r"^extra\.json in the model's folder is a link"):
        model_code.require_plain_files(path)
    (path / "extra.json").unlink()
    os.mkfifo(path / "pipe")
    with pytest.raises(IntakeError, match="neither a file nor a folder"):
        model_code.require_plain_files(path)
    shutil.rmtree(path)


def change(path: Path, edit: Any) -> None:
    """Edit the flavors of a saved model."""
    manifest = path / "MLmodel"
    document = yaml.safe_load(manifest.read_text())
    edit(document["flavors"])
    manifest.write_text(yaml.safe_dump(document))
