"""Compiled trees give LightGBM's scores to the last bit, or are not used."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import pandas as pd
import pytest

from bentos.model.engines import compilation
from bentos.model.engines.compilation import BUILD, LIBRARY, Build
from bentos.model.engines.compiled import CompiledPredictor, random_matrix
from bentos.model.engines.predictor import BoosterPredictor
from bentos.model.engines.trees import Unsupported, parse
from bentos.model.frame import Frame
from tests import models
from tests.service.checks import require

KINDS = ["binary", "multiclass", "regression"]


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    require("cc", "gcc")


def built(folder: Path, text: str) -> CompiledPredictor:
    """Compile a model's text into a folder and open it."""
    assert compilation.compile_trees(text, folder) is None
    return CompiledPredictor(folder, text)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_equal_lightgbm_to_the_last_bit(
    kind: str, trained: dict[str, Any], tmp_path: Path
) -> None:
    """On rows at, beside and between all thresholds, with gaps, no bit differs."""
    text = trained[kind].booster_.model_to_string()
    frame = Frame((), random_matrix(parse(text), 5000))
    expected = BoosterPredictor(text).predict(frame)
    assert np.array_equal(built(tmp_path, text).predict(frame), expected)


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 200])
def test_blocks_do_not_show(rows: int, trained: dict[str, Any], tmp_path: Path) -> None:
    """Any number of rows, a block more or less, gives each row its own score."""
    text = trained["binary"].booster_.model_to_string()
    matrix = random_matrix(parse(text), 200)
    predictor = built(tmp_path, text)
    assert np.array_equal(predictor.score(matrix[:rows]), predictor.score(matrix)[:rows])


@pytest.mark.parametrize(
    "parameters",
    [
        {"zero_as_missing": True},
        {"use_missing": False},
        {"max_cat_to_onehot": 1, "min_data_per_group": 1, "cat_smooth": 0.1},
        {"objective": "regression_l1"},
        {"objective": "huber"},
    ],
)
def test_every_way_of_missing_is_lightgbms(parameters: dict[str, Any], tmp_path: Path) -> None:
    """Zero as missing, no missing, many categories a split: the nodes do what LightGBM's do."""
    frame = models.training_frame(rows=2000)
    frame["count"] = frame["count"] - 4
    many = np.random.default_rng(1).integers(0, 90, len(frame))
    frame["grade"] = pd.Categorical(many)
    target = models.signal(models.training_frame(rows=2000)) + np.sin(many)
    model = lightgbm.LGBMRegressor(n_estimators=30, min_child_samples=3, verbose=-1, **parameters)
    text = model.fit(frame, target).booster_.model_to_string()
    rows = Frame((), random_matrix(parse(text), 5000))
    expected = BoosterPredictor(text).predict(rows)
    assert np.array_equal(built(tmp_path, text).predict(rows), expected)


@pytest.mark.parametrize("objective", ["poisson", "gamma", "cross_entropy", "multiclassova"])
def test_other_links_are_left_to_lightgbm(objective: str, tmp_path: Path) -> None:
    """An objective whose link is not written here keeps the booster, and the reason is said."""
    frame = models.training_frame(rows=300)[["amount", "count"]]
    target = (np.arange(300) % 2) + (0.0 if objective in ("cross_entropy",) else 1.0)
    data = lightgbm.Dataset(frame, target - (1 if objective == "multiclassova" else 0))
    parameters = {"objective": objective, "verbose": -1, "num_leaves": 4}
    if objective == "multiclassova":
        parameters["num_class"] = 2
    text = lightgbm.train(parameters, data, 2).model_to_string()
    assert compilation.compile_trees(text, tmp_path) is None
    with pytest.raises(Unsupported, match=objective):
        CompiledPredictor(tmp_path, text)


def test_steep_scores_do_not_overflow(tmp_path: Path) -> None:
    """A raw score far below zero gives a probability of zero, as LightGBM does."""
    frame = models.training_frame(rows=300)[["amount", "count"]]
    data = lightgbm.Dataset(frame, (frame["count"] > 4).astype(int))
    parameters = {"objective": "binary", "sigmoid": 40.0, "verbose": -1, "learning_rate": 5.0}
    text = lightgbm.train(parameters, data, 30).model_to_string()
    rows = Frame((), random_matrix(parse(text), 1000))
    expected = BoosterPredictor(text).predict(rows)
    assert np.array_equal(built(tmp_path, text).predict(rows), expected)


def test_another_machine_is_told(trained: dict[str, Any], tmp_path: Path) -> None:
    """A library that was built elsewhere is not opened."""
    text = trained["binary"].booster_.model_to_string()
    built(tmp_path, text)
    (tmp_path / BUILD).write_bytes(msgspec.json.encode(Build("riscv64", "Linux", "cc")))
    with pytest.raises(Unsupported, match="compiled for Linux on riscv64"):
        CompiledPredictor(tmp_path, text)


def test_what_cannot_be_opened_is_told(trained: dict[str, Any], tmp_path: Path) -> None:
    """No library, or a file that is none, keeps the booster instead of ending the worker."""
    text = trained["binary"].booster_.model_to_string()
    with pytest.raises(Unsupported, match="without compiled trees"):
        CompiledPredictor(tmp_path, text)
    machine, system = compilation.current_machine()
    (tmp_path / BUILD).write_bytes(msgspec.json.encode(Build(machine, system, "cc")))
    (tmp_path / LIBRARY).write_bytes(b"no library")
    with pytest.raises(Unsupported, match="cannot be opened"):
        CompiledPredictor(tmp_path, text)


def test_another_number_of_features_is_refused(trained: dict[str, Any], tmp_path: Path) -> None:
    """A matrix that is too narrow never reaches the library."""
    predictor = built(tmp_path, trained["binary"].booster_.model_to_string())
    with pytest.raises(ValueError, match="6 features, the matrix 5"):
        predictor.score(np.zeros((1, 5)))


def test_without_a_compiler_the_import_goes_on(
    trained: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing or failing compiler is a reason, not an error, and leaves no file behind."""
    text = trained["binary"].booster_.model_to_string()
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "no C compiler" in str(compilation.compile_trees(text, tmp_path))
    monkeypatch.setenv("CC", str(shutil.which("false")))
    assert "the C compiler failed" in str(compilation.compile_trees(text, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_compiling_twice_gives_the_same_library(trained: dict[str, Any], tmp_path: Path) -> None:
    """The same trees and compiler give the same bytes, so importing twice changes nothing."""
    text = trained["binary"].booster_.model_to_string()
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        folder.mkdir()
        built(folder, text)
    assert (folders[0] / LIBRARY).read_bytes() == (folders[1] / LIBRARY).read_bytes()
