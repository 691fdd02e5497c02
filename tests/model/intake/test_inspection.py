"""Contract and booster out of MLflow folders of every kind."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def contract_of(folder: Path) -> Contract:
    """The contract of a model's folder."""
    return inspection.inspect(folder).contract


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
    inspected = inspection.inspect(folders[kind])
    made, booster = inspected.contract, inspected.booster
    assert (made.task, made.classes, made.threshold) == (task, classes, threshold)
    assert made.engine == "booster"
    assert booster is not None
    assert booster.startswith("tree")


def test_features(folders: dict[str, Path]) -> None:
    """Types come from the signature, categories from the booster, in the order of their codes."""
    made = contract_of(folders["binary"])
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
    made = contract_of(folders["binary"])
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
    made = contract_of(path)
    profiles = {feature.name: feature.profile for feature in made.features}
    assert profiles["weight"] is None
    assert profiles["amount"] is not None
    assert (profiles["amount"].minimum, profiles["amount"].missing_rate) == (None, 1.0)


def test_no_pyfunc(folders: dict[str, Path], tmp_path: Path) -> None:
    """A model without the pyfunc flavor is refused."""
    path = Path(shutil.copytree(folders["booster"], tmp_path / "model"))
    recorded = yaml.safe_load((path / "MLmodel").read_text())
    del recorded["flavors"]["python_function"]
    (path / "MLmodel").write_text(yaml.safe_dump(recorded))
    with pytest.raises(IntakeError, match="no pyfunc flavor"):
        inspection.inspect(path)


# ---- models that only MLflow can run


def test_pipeline(pipeline_folder: Path) -> None:
    """A scikit-learn classifier is served by pyfunc, with its own classes; text stays text."""
    inspected = inspection.inspect(pipeline_folder)
    made, booster = inspected.contract, inspected.booster
    assert booster is None
    assert (made.engine, made.task, made.classes) == ("pyfunc", "binary", ("no", "yes"))
    assert {f.name: f.kind for f in made.features}["colour"] == "text"


def test_input_example(save: Save, frame: pd.DataFrame) -> None:
    """Without golden rows the input example shows the shape of the answer."""
    rows = frame[["weight", "count"]]
    model = LogisticRegression().fit(rows, frame["grade"].astype(int))
    made = contract_of(save(model, rows, input_example=rows.head(2)))
    assert (made.task, made.classes) == ("multiclass", (3, 5, 7))


def test_pyfunc_regression(save: Save, frame: pd.DataFrame) -> None:
    """A model with one score a row is a regression."""
    rows = frame[["weight", "count"]]
    model = LinearRegression().fit(rows, models.signal(frame))
    made = contract_of(save(model, rows, input_example=rows.head(2)))
    assert (made.task, made.classes, made.engine) == ("regression", None, "pyfunc")


def test_no_example(save: Save, frame: pd.DataFrame) -> None:
    """Numbers need no example rows: the model is proved with rows drawn from the contract."""
    rows = frame[["weight", "count"]]
    model = LinearRegression().fit(rows, models.signal(frame))
    inspected = inspection.inspect(save(model, rows))
    assert (inspected.contract.task, inspected.is_generated) == ("regression", True)
    assert len(inspected.proof.documents) > 100


def test_text_without_example(save: Save, frame: pd.DataFrame) -> None:
    """A text column of which no value is known is refused: log an input example."""
    rows = models.pipeline_frame(frame)
    with pytest.raises(IntakeError, match=r"'colour', which is a string.*input_example=X.head"):
        inspection.inspect(save(models.pipeline(frame), rows))


def test_labels_only(save: Save, frame: pd.DataFrame) -> None:
    """A classifier that knows no probabilities is refused: its labels are no scores."""
    rows = frame[["weight", "count"]]
    model = LinearSVC().fit(rows, frame["is_member"].astype(int))
    with pytest.raises(IntakeError, match="LinearSVC gives labels and no probabilities"):
        inspection.inspect(save(model, rows, input_example=rows.head(2)))


def make_own(answer: Callable[[int], Any]) -> PythonModel:
    """A model of one's own that gives what `answer` makes of the number of rows."""

    # MLflow asks for those hints in a way that no filter reaches.
    with warnings.catch_warnings(record=True):

        class Own(PythonModel):
            # MLflow reads type hints as a schema of its own.
            def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
                return answer(len(model_input))

    return Own()


def save_own(
    folder: Path, rows: pd.DataFrame, answer: Callable[[int], Any], example: Any, **options: Any
) -> Path:
    """Save a model of one's own with MLflow, `example` an answer for its signature."""
    path = folder / "model"
    mlflow.pyfunc.save_model(
        str(path),
        python_model=make_own(answer),
        signature=infer_signature(rows, example),
        pip_requirements=["pandas"],
        **options,
    )
    return path


def shares(*names: str) -> Callable[[int], pd.DataFrame]:
    """Answers with equal shares in columns of these names."""
    return lambda rows: pd.DataFrame({name: np.full(rows, 1 / len(names)) for name in names})


@pytest.mark.parametrize(
    ("classes", "task"), [(["no", "yes"], "binary"), ([1, 2, 3], "multiclass")]
)
def test_classes_by_metadata(
    frame: pd.DataFrame, tmp_path: Path, classes: list[Any], task: str
) -> None:
    """A model of one's own says in its metadata which classes its columns are."""
    answer = shares(*map(str, classes))
    metadata = {"tabserve": {"classes": classes}}
    path = save_own(tmp_path, frame[["weight"]], answer, answer(2), metadata=metadata)
    made = contract_of(path)
    assert (made.task, made.classes, made.engine) == (task, tuple(classes), "pyfunc")


@pytest.mark.parametrize(
    ("answer", "example", "says"),
    [
        (shares("low", "high"), shares("low", "high")(2), "has 2 outputs, and nothing says"),
        (shares("low", "high"), np.zeros(2), "gives 2 numbers a row: several targets"),
        (np.zeros, np.zeros(2, dtype=int), "no floating-point number"),
        (np.zeros, np.array(["a", "b"]), "no floating-point number"),
        (lambda rows: np.zeros((rows, 2)), np.zeros((2, 2)), "several numbers a row"),
        (np.zeros, None, "nor its signature says what it answers"),
    ],
)
def test_answers_without_a_meaning(
    frame: pd.DataFrame, tmp_path: Path, answer: Callable[[int], Any], example: Any, says: str
) -> None:
    """The task never comes from a shape: what nothing gives a meaning to is refused."""
    with pytest.raises(IntakeError, match=says):
        inspection.inspect(save_own(tmp_path, frame[["weight"]], answer, example))


def test_score_that_depends_on_its_batch(frame: pd.DataFrame, tmp_path: Path) -> None:
    """A model that scores a row by its neighbours is refused."""
    path = save_own(
        tmp_path, frame[["weight"]], lambda rows: np.full(rows, float(rows)), np.zeros(2)
    )
    with pytest.raises(IntakeError, match="depends on the rows that are scored with it"):
        inspection.inspect(path)


def _fail(rows: int) -> Any:
    raise RuntimeError("out of order")


def test_model_that_fails(frame: pd.DataFrame, tmp_path: Path) -> None:
    """A model that cannot score its own rows is refused, with its own error."""
    path = save_own(tmp_path, frame[["weight"]], _fail, np.zeros(2))
    with pytest.raises(IntakeError, match=r"cannot score its own example rows here \(RuntimeE"):
        inspection.inspect(path)
