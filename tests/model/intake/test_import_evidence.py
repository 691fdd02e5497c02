"""What an import makes of a model's evidence and signature, and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import msgspec
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema

from bentos.errors import IntakeError
from bentos.model import bundle, contract, golden
from bentos.model.intake import importing
from bentos.model.layout import CONTRACT, FOLDER
from tests import models


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the binary model's MLflow folder, to be spoilt."""
    return Path(shutil.copytree(folders["binary"], tmp_path / "model"))


def test_complete_model_has_no_warnings(folder: Path) -> None:
    """A model with reference, golden rows and decision is prepared without a warning."""
    assert list(importing.prepare(folder)) == []
    served = folder / FOLDER
    made = contract.load((served / CONTRACT).read_bytes())
    assert (made.threshold, made.threshold_method) == (0.4, "chosen for the tests")
    assert made.features[0].description == "Money, in euro."
    kept = golden.read((served / golden.FILE).read_bytes())
    assert len(kept.rows) == 64
    assert msgspec.json.decode(kept.rows[0]).keys() == set(made.names)


def test_bare_model_is_warned_of(folder: Path) -> None:
    """A model without its bundle is accepted; each warning names what will not work."""
    shutil.rmtree(folder / bundle.FOLDER)
    warnings = list(importing.prepare(folder))
    assert [warning.split(" was logged")[0] for warning in warnings] == [
        "no reference.parquet",
        "no golden.parquet",
        "no decision.json",
    ]
    assert "drift cannot be detected" in warnings[0]
    assert "300 rows drawn from the contract" in warnings[1]
    assert "0.5" in warnings[2]
    kept = golden.read((folder / FOLDER / golden.FILE).read_bytes())
    assert (len(kept.rows), kept.is_generated) == (300, True)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (bundle.GOLDEN, b"no parquet", "golden.parquet cannot be read"),
        (bundle.REFERENCE, b"no parquet", "reference.parquet cannot be read"),
        (bundle.DECISION, b'{"threshold": "high"}', "decision.json cannot be read"),
        (bundle.DECISION, b'{"threshold": -5, "method": ""}', "no probability from 0 to 1"),
        (bundle.DECISION, b'{"threshold": 1e999, "method": ""}', "decision.json cannot be read"),
        (bundle.FEATURES, b'["amount"]', "features.json cannot be read"),
    ],
)
def test_broken_bundle(folder: Path, name: str, content: bytes, says: str) -> None:
    """A file of the bundle that cannot be read is named."""
    (folder / bundle.FOLDER / name).write_bytes(content)
    with pytest.raises(IntakeError, match=says):
        list(importing.prepare(folder))


def write_golden(folder: Path, frame: pd.DataFrame, scores: Any, **options: Any) -> None:
    """Put other golden rows into a model's folder."""
    bundle.write_scored_rows(folder / bundle.FOLDER / bundle.GOLDEN, frame, scores, **options)


def test_golden_rows_must_be_rows(folder: Path, frame: pd.DataFrame) -> None:
    """Golden rows that are none, lack a feature or have other scores are refused at import."""
    empty = frame.head(0).assign(**{bundle.SCORE_PREFIX: 0.0})
    empty.to_parquet(folder / bundle.FOLDER / bundle.GOLDEN)
    with pytest.raises(IntakeError, match=r"golden\.parquet has no rows"):
        list(importing.prepare(folder))
    write_golden(folder, frame.head(3).drop(columns="grade"), np.zeros(3))
    with pytest.raises(IntakeError, match="no column 'grade'"):
        list(importing.prepare(folder))
    write_golden(folder, frame.head(3), np.zeros((3, 2)), classes=[0, 1])
    with pytest.raises(IntakeError, match="2 scores a row, the model gives 1"):
        list(importing.prepare(folder))


@pytest.mark.parametrize(
    ("score", "says"),
    [
        (-0.1, "row 2 of reference.parquet has a score that is no probability from 0 to 1"),
        (1.5, "no probability"),
        (np.nan, "no probability"),
        (np.inf, "no probability"),
    ],
)
def test_scores_of_the_reference(
    folder: Path, frame: pd.DataFrame, score: float, says: str
) -> None:
    """Scores of the reference that the model cannot have given are refused, by row."""
    scores = np.array([0.0, 1.0, score])
    path = folder / bundle.FOLDER / bundle.REFERENCE
    bundle.write_scored_rows(path, frame.head(3), scores)
    with pytest.raises(IntakeError, match=says):
        list(importing.prepare(folder))
    bundle.write_scored_rows(path, frame.head(3), np.zeros((3, 2)), classes=[0, 1])
    with pytest.raises(
        IntakeError, match=r"reference\.parquet has 2 scores a row, the model gives 1"
    ):
        list(importing.prepare(folder))


def test_golden_rows_must_meet_the_signature(folder: Path, frame: pd.DataFrame) -> None:
    """A golden row that the server would refuse is named by number and feature."""
    rows = frame.head(3).astype({"count": "Int64"})
    rows.loc[1, "count"] = pd.NA
    write_golden(folder, rows, np.zeros(3))
    with pytest.raises(IntakeError, match=r"row 1 of golden\.parquet .*: /count may not be null"):
        list(importing.prepare(folder))


def test_pandas_values_become_json(
    folder: Path, frame: pd.DataFrame, trained: dict[str, Any]
) -> None:
    """NaN and pandas' NA become null, numpy's scalars JSON's own values."""
    rows = frame.head(2).astype({"amount": "Float64"})
    rows["amount"] = pd.array([pd.NA, 1.5], dtype="Float64")
    rows["colour"] = pd.Categorical([None, "red"], categories=models.COLOURS)
    write_golden(folder, rows, models.scores_of(trained["binary"], rows))
    list(importing.prepare(folder))
    kept = golden.read((folder / FOLDER / golden.FILE).read_bytes())
    first, second = (msgspec.json.decode(row) for row in kept.rows)
    assert (first["amount"], first["colour"]) == (None, None)
    assert (second["amount"], second["colour"]) == (1.5, "red")
    assert isinstance(second["is_member"], bool)


def test_golden_scores_of_another_model(folder: Path, frame: pd.DataFrame) -> None:
    """Golden rows whose scores the model does not give are refused at import."""
    write_golden(folder, frame.head(3), np.zeros(3))
    with pytest.raises(IntakeError, match=r"golden row 0 was logged with another score.*3 of 3"):
        list(importing.prepare(folder))


def test_golden_rows_that_no_client_can_send(
    folder: Path, frame: pd.DataFrame, trained: dict[str, Any]
) -> None:
    """Rows with an infinity or an integer beyond float64 are left out, with a warning."""
    rows = frame.head(4).copy()
    rows["amount"] = [np.inf, 1.0, 2.0, 3.0]
    rows["count"] = [1, 2**60, 3, 4]
    write_golden(folder, rows, models.scores_of(trained["binary"], rows))
    (warning,) = importing.prepare(folder)
    assert warning.startswith("2 of 4 golden rows have an infinity")
    kept = golden.read((folder / FOLDER / golden.FILE).read_bytes())
    assert (len(kept.rows), kept.is_generated) == (2, False)
    write_golden(folder, rows.head(2), models.scores_of(trained["binary"], rows.head(2)))
    (warning,) = importing.prepare(folder)
    kept = golden.read((folder / FOLDER / golden.FILE).read_bytes())
    assert kept.is_generated


@pytest.fixture(scope="module")
def wide() -> Iterator[tuple[pd.DataFrame, ModelSignature]]:
    """A frame with nullable columns, and a signature in which some are optional."""
    base = models.training_frame(seed=11, rows=300)
    base["visits"] = base["count"].astype("int32")
    frame = base.astype({"colour": object})
    frame["colour"] = pd.Categorical(frame["colour"], categories=models.COLOURS)
    columns = Schema(
        [
            ColSpec("double", "amount", required=False),
            ColSpec("long", "count", required=False),
            ColSpec("boolean", "is_member", required=False),
            ColSpec("string", "colour", required=False),
            ColSpec("long", "grade"),
            ColSpec("float", "weight"),
            ColSpec("integer", "visits"),
        ]
    )
    yield frame, ModelSignature(columns, Schema([ColSpec("double")]))


def test_optional_columns(wide: tuple[pd.DataFrame, ModelSignature], tmp_path: Path) -> None:
    """Columns with `required=False` may be left out or null, whatever their type."""
    frame, signature = wide
    model = models.regression(frame)
    path = tmp_path / "model"
    mlflow.lightgbm.save_model(model, str(path), signature=signature, pip_requirements=["lightgbm"])
    list(importing.prepare(path))
    made = contract.load((path / FOLDER / CONTRACT).read_bytes())
    assert {feature.name for feature in made.features if feature.optional} == {
        *("amount", "count", "is_member", "colour")
    }
    assert made.features[-1].dtype == "integer"
    assert all(feature.profile is None for feature in made.features)


def test_no_signature(frame: pd.DataFrame, trained: dict[str, Any], tmp_path: Path) -> None:
    """A model without a signature is refused, and the message says how to log it."""
    path = tmp_path / "model"
    mlflow.lightgbm.save_model(trained["booster"], str(path), pip_requirements=["lightgbm"])
    with pytest.raises(IntakeError, match=r"signature=mlflow\.models\.infer_signature"):
        importing.import_model(str(path))


def test_datetime_column(frame: pd.DataFrame, trained: dict[str, Any], tmp_path: Path) -> None:
    """A datetime column is refused by name, with what to train on instead."""
    dated = frame.assign(opened=pd.Timestamp("2026-01-01"))
    path = tmp_path / "model"
    mlflow.lightgbm.save_model(
        trained["booster"],
        str(path),
        signature=infer_signature(dated, np.zeros(len(dated))),
        pip_requirements=["lightgbm"],
    )
    with pytest.raises(IntakeError, match=r"'opened' is a datetime.*days since"):
        importing.import_model(str(path))
