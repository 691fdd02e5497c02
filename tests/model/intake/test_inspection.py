"""Contract and booster out of MLflow folders of every kind."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.models import infer_signature
from mlflow.pyfunc.model import PythonModel
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC

from bentos.errors import IntakeError
from bentos.model.contract import Contract
from bentos.model.intake import inspection
from tests import models

Save = Callable[..., Path]

pytestmark = [
    # MLflow, of models that are logged as users often log them.
    pytest.mark.filterwarnings("ignore:.*input example was not provided:UserWarning"),
    # MLflow's way of copying an input example.
    pytest.mark.filterwarnings("ignore:Operation with range is deprecated:DeprecationWarning"),
]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save a scikit-learn model with MLflow and give its path."""

    def saved(model: Any, rows: pd.DataFrame, **options: Any) -> Path:
        path = tmp_path / "model"
        mlflow.sklearn.save_model(
            model,
            str(path),
            signature=infer_signature(rows, model.predict(rows)),
            serialization_format="cloudpickle",
            pip_requirements=["scikit-learn"],
            **options,
        )
        return path

    return saved


@pytest.mark.parametrize(
    ("kind", "task", "classes", "threshold"),
    [
        ("binary", "binary", (0, 1), 0.4),
        ("booster", "binary", (0, 1), 0.5),
        ("multiclass", "multiclass", ("high", "low", "middle"), None),
        ("regression", "regression", None, None),
    ],
)
def test_kinds(
    folders: dict[str, Path],
    kind: str,
    task: str,
    classes: tuple[object, ...] | None,
    threshold: float | None,
) -> None:
    """Task, classes and threshold are those of the model, raw booster or scikit-learn's."""
    made, booster = inspection.make_contract(folders[kind])
    assert (made.task, made.classes, made.threshold) == (task, classes, threshold)
    assert made.engine == "booster"
    assert booster is not None
    assert booster.startswith("tree")


def test_features(folders: dict[str, Path]) -> None:
    """Types come from the signature, categories from the booster, in the order of their codes."""
    made, _ = inspection.make_contract(folders["binary"])
    assert [(f.name, f.kind, f.dtype, f.categories) for f in made.features] == [
        ("amount", "float", "double", None),
        ("count", "integer", "long", None),
        ("is_member", "boolean", "boolean", None),
        ("colour", "category", "string", ("blue", "green", "red")),
        ("grade", "category", "long", (3, 5, 7)),
        ("weight", "float", "float", None),
    ]


def test_profiles(folders: dict[str, Path], frame: pd.DataFrame) -> None:
    """Ranges are those of the reference, and only for numbers: a category's code has no range."""
    made, _ = inspection.make_contract(folders["binary"])
    profiles = {feature.name: feature.profile for feature in made.features}
    amount, grade = profiles["amount"], profiles["grade"]
    assert amount is not None
    assert (amount.minimum, amount.maximum) == (frame["amount"].min(), frame["amount"].max())
    assert amount.missing_rate == frame["amount"].isna().mean()
    assert grade is not None
    assert (grade.minimum, grade.maximum, grade.missing_rate) == (None, None, 0.0)


def test_profile_of_a_part(folders: dict[str, Path], frame: pd.DataFrame, tmp_path: Path) -> None:
    """A reference that lacks a feature leaves that feature without a profile."""
    from bentos.model import bundle

    path = Path(shutil.copytree(folders["booster"], tmp_path / "model"))
    part = frame.drop(columns="weight").assign(amount=np.nan)
    bundle.write_scored_rows(path / bundle.FOLDER / bundle.REFERENCE, part, np.zeros(len(part)))
    made, _ = inspection.make_contract(path)
    profiles = {feature.name: feature.profile for feature in made.features}
    assert profiles["weight"] is None
    assert profiles["amount"] is not None
    assert (profiles["amount"].minimum, profiles["amount"].missing_rate) == (None, 1.0)


@pytest.mark.parametrize("dtype", [object, "str"])
def test_text_classes_of_pandas(frame: pd.DataFrame, dtype: Any) -> None:
    """Classes of a pandas column of text are read as plain text."""
    target = pd.Series(np.where(models.signal(frame) > 6, "yes", "no"), dtype=dtype)
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(frame, target)
    assert inspection.read_lightgbm(model)[:2] == ("binary", ("no", "yes"))


def _squares(scores: Any, data: lightgbm.Dataset) -> tuple[Any, Any]:
    return scores - data.get_label(), np.ones_like(scores)


def test_boosters_of_other_objectives(frame: pd.DataFrame) -> None:
    """A raw booster's objective tells its task; several scores a row are classes by number."""
    grades = (frame["grade"].astype(int) - 3) // 2
    data = lightgbm.Dataset(frame, label=grades.to_numpy())
    base = {"verbose": -1, "num_threads": 1}
    many = lightgbm.train({**base, "objective": "multiclass", "num_class": 3}, data, 2)
    assert inspection.read_lightgbm(many)[:2] == ("multiclass", (0, 1, 2))
    data = lightgbm.Dataset(frame, label=grades.to_numpy())
    counts = lightgbm.train({**base, "objective": "poisson"}, data, 2)
    assert inspection.read_lightgbm(counts)[:2] == ("regression", None)
    data = lightgbm.Dataset(frame, label=grades.to_numpy())
    own = lightgbm.train({**base, "objective": _squares}, data, 2)
    assert inspection.read_lightgbm(own)[:2] == ("regression", None)


def _objective(truth: Any, scores: Any) -> tuple[Any, Any]:
    return scores - truth, np.ones_like(scores)


def test_own_objective(frame: pd.DataFrame) -> None:
    """A classifier with an objective of its own is refused: its scores are no probabilities."""
    target = (models.signal(frame) > 6).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, objective=_objective)
    with pytest.raises(IntakeError, match="no probabilities"):
        inspection.read_lightgbm(model.fit(frame, target))


def test_odd_number_of_scores(frame: pd.DataFrame) -> None:
    """A classifier of two classes with two scores a row is refused, with what to do."""
    target = (models.signal(frame) > 6).astype(int)
    model = lightgbm.LGBMClassifier(
        n_estimators=2, verbose=-1, objective="multiclass", num_class=2
    ).fit(frame, target)
    with pytest.raises(IntakeError, match="2 classes and 2 scores a row"):
        inspection.read_lightgbm(model)


def test_no_lightgbm_model() -> None:
    """What is no LightGBM model is refused by type."""
    with pytest.raises(IntakeError, match="of type dict"):
        inspection.read_lightgbm({})


def test_no_pyfunc(folders: dict[str, Path], tmp_path: Path) -> None:
    """A model without the pyfunc flavor is refused."""
    path = Path(shutil.copytree(folders["booster"], tmp_path / "model"))
    recorded = yaml.safe_load((path / "MLmodel").read_text())
    del recorded["flavors"]["python_function"]
    (path / "MLmodel").write_text(yaml.safe_dump(recorded))
    with pytest.raises(IntakeError, match="no pyfunc flavor"):
        inspection.make_contract(path)


# ---- models that only MLflow can run


def test_pipeline(pipeline_folder: Path) -> None:
    """A scikit-learn classifier is served by pyfunc, with its own classes; text stays text."""
    made, booster = inspection.make_contract(pipeline_folder)
    assert booster is None
    assert (made.engine, made.task, made.classes) == ("pyfunc", "binary", ("no", "yes"))
    assert {f.name: f.kind for f in made.features}["colour"] == "text"


def test_input_example(save: Save, frame: pd.DataFrame) -> None:
    """Without golden rows the input example shows the shape of the answer."""
    rows = frame[["weight", "count"]]
    model = LogisticRegression().fit(rows, frame["grade"].astype(int))
    made, _ = inspection.make_contract(save(model, rows, input_example=rows.head(2)))
    assert (made.task, made.classes) == ("multiclass", (3, 5, 7))


def test_pyfunc_regression(save: Save, frame: pd.DataFrame) -> None:
    """A model with one score a row is a regression."""
    rows = frame[["weight", "count"]]
    model = LinearRegression().fit(rows, models.signal(frame))
    made, _ = inspection.make_contract(save(model, rows, input_example=rows.head(2)))
    assert (made.task, made.classes, made.engine) == ("regression", None, "pyfunc")


def test_no_example(save: Save, frame: pd.DataFrame) -> None:
    """A model of unknown answer is refused, and the message says to log an input example."""
    rows = frame[["weight", "count"]]
    model = LinearRegression().fit(rows, models.signal(frame))
    with pytest.raises(IntakeError, match=r"input_example=X.head\(\)"):
        inspection.make_contract(save(model, rows))


def test_labels_only(save: Save, frame: pd.DataFrame) -> None:
    """A classifier that knows no probabilities is refused: its labels are no scores."""
    rows = frame[["weight", "count"]]
    model = LinearSVC().fit(rows, frame["is_member"].astype(int))
    with pytest.raises(IntakeError, match="LinearSVC gives labels and no probabilities"):
        inspection.make_contract(save(model, rows, input_example=rows.head(2)))


def make_own(columns: list[str]) -> PythonModel:
    """A model of one's own: named columns, two to four a row; without any it fails."""

    # MLflow asks for those hints in a way that no filter reaches.
    with warnings.catch_warnings(record=True):

        class Weights(PythonModel):
            # MLflow reads type hints as a schema of its own.
            def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
                if not columns:
                    raise RuntimeError("out of order")
                share = 1 / len(columns)
                return pd.DataFrame({name: np.full(len(model_input), share) for name in columns})

    return Weights()


def save_own(folder: Path, columns: list[str], rows: pd.DataFrame) -> Path:
    """Save a model of one's own with MLflow."""
    path = folder / "model"
    mlflow.pyfunc.save_model(
        str(path),
        python_model=make_own(columns),
        signature=infer_signature(rows, np.zeros(len(rows))),
        pip_requirements=["pandas"],
    )
    rows.head(2).assign(__score__=0.0).to_parquet(path / "golden.parquet")
    (path / "extra_files").mkdir()
    (path / "golden.parquet").rename(path / "extra_files" / "golden.parquet")
    return path


@pytest.mark.parametrize(
    ("columns", "task"), [(["no", "yes"], "binary"), (["a", "b", "c"], "multiclass")]
)
def test_named_columns(frame: pd.DataFrame, tmp_path: Path, columns: list[str], task: str) -> None:
    """Classes of a model of one's own are the columns of its answer."""
    made: Contract
    made, _ = inspection.make_contract(save_own(tmp_path, columns, frame[["weight"]]))
    assert (made.task, made.classes) == (task, tuple(columns))


def test_model_that_fails(frame: pd.DataFrame, tmp_path: Path) -> None:
    """A model that cannot score its own rows is refused, by the type of its error alone."""
    with pytest.raises(IntakeError, match=r"cannot score its own example rows here \(RuntimeE"):
        inspection.make_contract(save_own(tmp_path, [], frame[["weight"]]))
