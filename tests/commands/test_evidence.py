"""`tabserve evidence`: what it adds to a model of each task, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from bentos.cli import main
from bentos.model import bundle
from tests import models
from tests.commands.conftest import KINDS


def add(folder: Path, rows: Path, *more: str) -> Result:
    """Add evidence to a model in a folder."""
    return CliRunner().invoke(main, ["evidence", str(folder), "--data", str(rows), *more])


@pytest.mark.parametrize("kind", KINDS)
def test_evidence_of_each_task(kind: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    """Reference, golden rows and metrics of the task; a threshold only for a binary model."""
    make = {
        "binary": models.binary,
        "multiclass": models.multiclass,
        "regression": models.regression,
    }[kind]
    model = make(frame)
    folder = models.log(model, frame, tmp_path / "bare", with_bundle=False)
    rows = frame.assign(weight=frame["weight"].astype("float64"), outcome=model.predict(frame))
    # One row without an outcome, one with a text where a number belongs.
    rows["outcome"] = rows["outcome"].astype(object)
    rows.loc[0, "outcome"] = None
    rows["amount"] = rows["amount"].astype(object)
    rows.loc[1, "amount"] = "much"
    path = tmp_path / "rows.csv"
    rows.to_csv(path, index=False)
    result = add(folder, path, "--target", "outcome")
    assert result.exit_code == 0, result.output
    assert "598 rows of rows.csv scored by the model itself" in result.stdout
    assert "warning: 2 rows left out" in result.stderr
    assert "test_rows 598\n" in result.stdout
    metric = {"binary": "test_roc_auc", "multiclass": "test_log_loss", "regression": "test_mae"}
    assert f"\n{metric[kind]} " in result.stdout
    reference, scores = bundle.read_scored_rows(folder / bundle.FOLDER / bundle.REFERENCE)
    assert (len(reference), scores.shape[1]) == (598, 3 if kind == "multiclass" else 1)
    golden, golden_scores = bundle.read_scored_rows(folder / bundle.FOLDER / bundle.GOLDEN)
    assert len(golden) == len(golden_scores) == 256
    assert np.isfinite(golden_scores).all()
    decision = bundle.find(folder, bundle.DECISION)
    assert (decision is not None) == (kind == "binary")
    if decision is not None:
        assert "598 rows of rows.csv" in json.loads(decision.read_bytes())["method"]


def test_rows_that_the_model_refuses(
    pipeline_folder: Path, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """A row that the model's own library refuses is left out; with no other row it is said."""
    folder = Path(shutil.copytree(pipeline_folder, tmp_path / "model"))
    rows = models.pipeline_frame(frame).head(50)
    rows.loc[[3, 40], "colour"] = "never seen"
    path = tmp_path / "rows.csv"
    rows.to_csv(path, index=False)
    result = add(folder, path, "--trust-code")
    assert result.exit_code == 0, result.output
    assert "48 rows of rows.csv scored by the model itself" in result.stdout
    assert "warning: 2 rows left out" in result.stderr
    rows.assign(colour="never seen").to_csv(path, index=False)
    result = add(folder, path, "--trust-code")
    assert result.exit_code == 1
    assert "the model can score no row of rows.csv" in result.stderr


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("outcome", "other", "has no outcome of the model: another column?"),
        ("outcome", 1, "outcomes of one class only"),
        ("count", "x", "no row that the model's contract accepts: /count"),
    ],
)
def test_rows_that_are_no_evidence(
    column: str, value: str | int, words: str, folders: dict[str, Path], frame: pd.DataFrame,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Outcomes of another kind, of one class, and rows against the contract: one line each."""
    rows = frame.head(50).assign(outcome=[0, 1] * 25)
    path = tmp_path / "rows.csv"
    rows.assign(**{column: value}).to_csv(path, index=False)
    result = add(folders["binary"], path, "--target", "outcome")
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ")
