"""The C API gives what the Python package gives."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import lightgbm
import numpy as np
import pandas as pd
import pytest

from bentos.model.engines.lightgbm import LightGBMError, NativeBooster
from tests import models


def matrix_of(frame: pd.DataFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The frame as LightGBM itself encodes it, float64 of shape (rows, features)."""
    codes = frame.assign(colour=frame["colour"].cat.codes, grade=frame["grade"].cat.codes)
    return codes.astype(np.float64).to_numpy()


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("rows", [1, 2, 600])
def test_scores_equal_the_package_to_the_last_bit(
    frame: pd.DataFrame, kind: str, rows: int
) -> None:
    """A native booster scores any number of rows exactly as lightgbm.Booster does."""
    booster = getattr(models, kind)(frame).booster_
    matrix = matrix_of(frame)[:rows]
    native = NativeBooster(booster.model_to_string())
    expected = lightgbm.Booster(model_str=booster.model_to_string()).predict(matrix)
    assert np.array_equal(native.predict(matrix), expected)


def test_any_memory_layout_is_scored_alike(frame: pd.DataFrame) -> None:
    """A column-major or strided matrix gives the same scores as a row-major one."""
    native = NativeBooster(models.regression(frame).booster_.model_to_string())
    matrix = matrix_of(frame)
    expected = native.predict(matrix)
    assert np.array_equal(native.predict(np.asfortranarray(matrix)), expected)
    assert np.array_equal(native.predict(np.repeat(matrix, 2, axis=0)[::2]), expected)


def test_another_number_of_features_is_refused(frame: pd.DataFrame) -> None:
    """A matrix that is too narrow is refused before the library reads beyond it."""
    native = NativeBooster(models.regression(frame).booster_.model_to_string())
    with pytest.raises(ValueError, match="6 features, the matrix 5"):
        native.predict(matrix_of(frame)[:, :5])


def test_text_that_is_no_model_is_refused() -> None:
    """The library's own words come as an error, not as a crash."""
    with pytest.raises(LightGBMError, match="Model file"):
        NativeBooster("no model\n")


def test_threads_share_a_booster(frame: pd.DataFrame) -> None:
    """Predictions of one booster in several threads at once do not disturb each other."""
    native = NativeBooster(models.binary(frame).booster_.model_to_string())
    matrix = matrix_of(frame)
    expected = native.predict(matrix)
    with ThreadPoolExecutor(8) as pool:
        for scores in pool.map(native.predict, [matrix] * 100):
            assert np.array_equal(scores, expected)


def test_boosters_are_freed_once(frame: pd.DataFrame) -> None:
    """Making and dropping boosters leaves those that remain intact."""
    text = models.regression(frame).booster_.model_to_string()
    kept = NativeBooster(text)
    expected = kept.predict(matrix_of(frame))
    for _ in range(20):
        NativeBooster(text)
    gc.collect()
    assert np.array_equal(kept.predict(matrix_of(frame)), expected)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_contributions_are_those_of_the_package(frame: pd.DataFrame, kind: str) -> None:
    """Contributions equal `pred_contrib`, and add up to the raw score."""
    booster = getattr(models, kind)(frame).booster_
    matrix = matrix_of(frame)[:50]
    native = NativeBooster(booster.model_to_string())
    parts = native.explain(matrix)
    assert parts.shape == (50, native.classes, native.features + 1)
    expected = booster.predict(matrix, pred_contrib=True, validate_features=False)
    assert np.array_equal(parts.reshape(50, -1), expected)
    raw = np.asarray(booster.predict(matrix, raw_score=True, validate_features=False))
    assert np.allclose(parts.sum(axis=2), raw.reshape(50, -1), rtol=0, atol=1e-9)
