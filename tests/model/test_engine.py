"""The choice of the predictor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from bentos.model import engine
from bentos.model.engine import choose
from bentos.model.engines import compilation
from bentos.model.engines.trees import Unsupported
from bentos.model.frame import Frame
from bentos.model.store import FOLDER, StoredModel
from bentos.settings import Settings
from tests.service.checks import require


@pytest.fixture
def served(stored: dict[str, StoredModel], tmp_path: Path) -> Iterator[StoredModel]:
    """A copy of the binary model with freshly compiled trees."""
    require("cc", "gcc")
    source = stored["binary"]
    (tmp_path / FOLDER).mkdir()
    text = (source.folder / FOLDER / "booster.txt").read_text()
    (tmp_path / FOLDER / "booster.txt").write_text(text)
    assert compilation.compile_trees(text, tmp_path / FOLDER) is None
    yield msgspec.structs.replace(source, folder=tmp_path)


def settings(**values: Any) -> Settings:
    """Settings with values of their own."""
    return Settings(**values)


def test_proved_trees_serve(served: StoredModel) -> None:
    """Compiled trees that equal the booster are chosen, with nothing to explain."""
    chosen = choose(served, settings(), [])
    assert (chosen.name, chosen.reason) == ("compiled", "")


def test_trees_can_be_switched_off(served: StoredModel) -> None:
    """TABSERVE_COMPILED_TREES=false keeps the booster and says so."""
    chosen = choose(served, settings(compiled_trees=False), [])
    assert chosen.name == "booster"
    assert "switched off" in chosen.reason


def test_trees_of_another_model_do_not_serve(served: StoredModel, trained: dict[str, Any]) -> None:
    """A library whose scores differ is found out on random rows, and the booster serves."""
    other = trained["binary"].booster_.model_to_string(num_iteration=39)
    assert compilation.compile_trees(other, served.folder / FOLDER) is None
    chosen = choose(served, settings(), [])
    assert chosen.name == "booster"
    assert "differ from the booster on" in chosen.reason


class Constant:
    """A predictor that gives the same score to every row."""

    def __init__(self, score: float) -> None:
        self.score = score

    def predict(self, frame: Frame) -> NDArray[np.float64]:
        return np.full(len(frame.matrix), self.score)


def test_one_bit_is_a_difference() -> None:
    """Scores that differ in the last bit alone are not equal, nor is a NaN to a NaN."""
    frame = Frame((), np.zeros((3, 1)))
    engine.require_equal(Constant(0.5), Constant(0.5), frame)
    for first, second in ((0.5, np.nextafter(0.5, 1)), (np.nan, np.nan)):
        with pytest.raises(Unsupported, match="3 of 3 rows"):
            engine.require_equal(Constant(float(first)), Constant(float(second)), frame)
