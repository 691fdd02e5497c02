"""The files that travel with a model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bentos.model import bundle


def test_scored_rows(frame: pd.DataFrame, tmp_path: Path) -> None:
    """Rows and scores are read back as they were written, whatever the index was."""
    path = bundle.write_scored_rows(tmp_path / bundle.GOLDEN, frame.tail(5), np.arange(5.0))
    rows, scores = bundle.read_scored_rows(path)
    assert rows.astype(frame.dtypes.to_dict()).equals(frame.tail(5).reset_index(drop=True))
    assert scores.tolist() == [[0.0], [1.0], [2.0], [3.0], [4.0]]


def test_scores_of_classes(frame: pd.DataFrame, tmp_path: Path) -> None:
    """Several scores a row stand in columns named after their classes."""
    table = np.array([[0.25, 0.75], [0.5, 0.5]])
    path = bundle.write_scored_rows(tmp_path / "x.parquet", frame.head(2), table, ["no", "yes"])
    assert bundle.read_scored_rows(path)[1].tolist() == table.tolist()
    assert list(pd.read_parquet(path).columns[-2:]) == ["__score__no", "__score__yes"]


def test_writing_refuses(frame: pd.DataFrame, tmp_path: Path) -> None:
    """A feature with a reserved name, or scores of another shape, are refused."""
    path = tmp_path / "x.parquet"
    with pytest.raises(ValueError, match="may not start with '__score__'"):
        bundle.write_scored_rows(path, frame.head(1).assign(__score__x=1), np.zeros(1))
    with pytest.raises(ValueError, match="scores have 1 columns, expected 2"):
        bundle.write_scored_rows(path, frame.head(1), np.zeros(1), [0, 1])
    assert not path.exists()


def test_reading_refuses(frame: pd.DataFrame, tmp_path: Path) -> None:
    """Rows without scores are refused, naming the file."""
    frame.head(1).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x\.parquet has no column named '__score__'"):
        bundle.read_scored_rows(tmp_path / "x.parquet")


def test_find(tmp_path: Path) -> None:
    """A file is found where MLflow puts extra files, and only if it is there."""
    assert bundle.find(tmp_path, bundle.CARD) is None
    (tmp_path / bundle.FOLDER).mkdir()
    (tmp_path / bundle.FOLDER / bundle.CARD).write_text("x")
    assert bundle.find(tmp_path, bundle.CARD) == tmp_path / bundle.FOLDER / bundle.CARD


@pytest.mark.parametrize("threshold", [0.0, 0.4, 1.0])
def test_decision(threshold: float, tmp_path: Path) -> None:
    """A threshold is a probability, its two ends included."""
    path = bundle.write_decision(tmp_path / "d", bundle.Decision(threshold, "on 10 rows"))
    assert json.loads(path.read_text()) == {"threshold": threshold, "method": "on 10 rows"}


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_no_decision(threshold: float, tmp_path: Path) -> None:
    """What is no probability is refused."""
    with pytest.raises(ValueError, match="probability"):
        bundle.write_decision(tmp_path / "d", bundle.Decision(threshold, ""))


def test_features(tmp_path: Path) -> None:
    """Descriptions are written as readable JSON."""
    path = bundle.write_features(tmp_path / "f", {"größe": "In cm."})
    assert json.loads(path.read_text()) == {"größe": "In cm."}
    assert "größe" in path.read_text()
