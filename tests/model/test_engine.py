"""The choice of the predictor: whatever an accelerator does wrong, LightGBM serves."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from bentos.model import proof
from bentos.model.engine import choose
from bentos.model.engines import lightgbm as lightgbm_library
from bentos.model.engines.predictor import BoosterPredictor
from bentos.model.frame import Frame
from bentos.model.layout import BOOSTER, FOLDER
from bentos.model.store import StoredModel
from bentos.settings import Settings
from tests import models


def settings(**values: Any) -> Settings:
    """Settings with values of their own."""
    return Settings(**values)


def with_booster(stored: StoredModel, text: str, folder: Path) -> StoredModel:
    """A stored model that has nothing but a booster, in a folder of its own."""
    (folder / FOLDER).mkdir(exist_ok=True)
    (folder / FOLDER / BOOSTER).write_text(text)
    return models.with_file(stored, folder, f"{FOLDER}/{BOOSTER}")


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression", "booster"])
def test_a_proved_accelerator_serves(kind: str, stored: dict[str, StoredModel]) -> None:
    """Where the scores equal LightGBM's, the accelerator is chosen, with nothing to explain."""
    chosen = choose(stored[kind], settings())
    assert (chosen.name, chosen.reason) == ("accelerated", "")


def test_a_proved_accelerator_serves_without_lightgbm(stored: dict[str, StoredModel]) -> None:
    """Where the accelerator serves, LightGBM's library is not opened: its trees would be a copy."""
    lightgbm_library._library.cache_clear()
    assert choose(stored["binary"], settings()).name == "accelerated"
    assert lightgbm_library._library.cache_info().currsize == 0
    assert choose(stored["binary"], settings(accelerator=False)).name == "booster"
    assert lightgbm_library._library.cache_info().currsize == 1


def test_it_can_be_switched_off(stored: dict[str, StoredModel]) -> None:
    """TABSERVE_ACCELERATOR=false keeps LightGBM and says so."""
    chosen = choose(stored["binary"], settings(accelerator=False))
    assert chosen.name == "booster"
    assert "switched off" in chosen.reason


# What stands in for the library in the process of the proof, and what is said of it. It
# breaks at each step: when it is imported, when it reads the model, when it scores.
BROKEN = {
    "missing": ("raise ImportError('no such wheel')", "not installed"),
    "crashes on import": ("import os; os.abort()", "crashed during its proof (SIGABRT)"),
    "fails on import": ("1 / 0", "no result"),
    "refuses the model": (
        "def load(path, format):\n    raise RuntimeError('secret text of the model')",
        "refuses this model (RuntimeError)",
    ),
    "crashes on the model": (
        "import os, signal\ndef load(path, format):\n    os.kill(os.getpid(), signal.SIGSEGV)",
        "crashed during its proof (SIGSEGV)",
    ),
    "fails on rows": (
        "class load:\n    def __init__(self, path, format): pass\n"
        "    def predict(self, matrix, **_): raise ValueError('a value')",
        "fails on the rows of its proof (ValueError)",
    ),
    "gives other scores": (
        "import numpy\nclass load:\n    def __init__(self, path, format): pass\n"
        "    def predict(self, matrix, **_): return numpy.zeros(len(matrix))",
        "differ from LightGBM's on",
    ),
    "gives another shape": (
        "import numpy\nclass load:\n    def __init__(self, path, format): pass\n"
        "    def predict(self, matrix, **_): return numpy.zeros((len(matrix), 2))",
        "another shape",
    ),
    "exits": ("import sys; sys.exit(0)", "no result"),
    "prints and exits": ("import os; print('{'); os._exit(0)", "no result"),
}


@pytest.mark.parametrize(("code", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_library_keeps_lightgbm(
    code: str,
    reason: str,
    stored: dict[str, StoredModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An accelerator that fails at any step never keeps a model from serving; one line says why."""
    (tmp_path / "lignum.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    chosen = choose(stored["binary"], settings())
    assert chosen.name == "booster"
    assert reason in chosen.reason
    assert "\n" not in chosen.reason
    assert "secret" not in chosen.reason
    matrix = np.zeros((3, len(stored["binary"].contract.features)))
    assert len(chosen.predictor.predict(Frame((), matrix))) == 3


def test_a_slow_proof_keeps_lightgbm(
    stored: dict[str, StoredModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proof that does not end is ended, and no process of it is left."""
    code = """
import os, pathlib, time
pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
time.sleep(600)
"""
    (tmp_path / "lignum.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    reason = proof.why_not(stored["binary"].folder, timeout_seconds=15)
    assert reason == "its proof took longer than 15 seconds"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_library_that_breaks_after_its_proof(
    stored: dict[str, StoredModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that cannot be opened in the worker keeps LightGBM, too."""
    monkeypatch.setitem(sys.modules, "bentos.model.engines.accelerated", None)
    chosen = choose(stored["binary"], settings())
    assert chosen.name == "booster"
    assert "cannot be opened here (ModuleNotFoundError)" in chosen.reason


def test_a_file_that_is_swapped_after_its_check_is_not_read(
    stored: dict[str, StoredModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What serves is what was checked, though the file is another one when the proof has ended."""
    ours = stored["regression"].read(f"{FOLDER}/{BOOSTER}").decode()
    changed = stored["binary"].read(f"{FOLDER}/{BOOSTER}").decode()
    model = with_booster(stored["regression"], ours, tmp_path)
    (tmp_path / "other").write_text(changed)
    # The library itself, which replaces the file of the model as its process ends.
    (tmp_path / "lignum.py").write_text(f"""
import atexit, os, sys
sys.path.remove({str(tmp_path)!r})
del sys.modules["lignum"]
import lignum
atexit.register(os.replace, {str(tmp_path / "other")!r}, {str(model.folder / FOLDER / BOOSTER)!r})
""")
    monkeypatch.syspath_prepend(str(tmp_path))
    chosen = choose(model, settings())
    assert (chosen.name, chosen.reason) == ("accelerated", "")
    assert (model.folder / FOLDER / BOOSTER).read_text() == changed
    matrix = np.zeros((3, len(model.contract.features)))
    expected = BoosterPredictor(ours).predict(Frame((), matrix))
    assert np.array_equal(chosen.predictor.predict(Frame((), matrix)), expected)


@pytest.mark.parametrize(
    "parameters",
    [
        {"linear_tree": True},
        {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"reg_sqrt": True},
    ],
    ids=["linear", "forest", "square root"],
)
def test_what_the_accelerator_cannot_score(
    parameters: dict[str, Any], stored: dict[str, StoredModel], tmp_path: Path
) -> None:
    """Linear leaves, averaged trees and square roots are left to LightGBM, with a reason."""
    frame = models.training_frame(rows=300)
    numbers = frame[["amount", "count", "weight"]]
    model = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1, **parameters)
    text = model.fit(numbers, 1 + abs(models.signal(frame))).booster_.model_to_string()
    chosen = choose(with_booster(stored["regression"], text, tmp_path), settings())
    assert chosen.name == "booster"
    assert chosen.reason.startswith("no accelerator: ")


@pytest.mark.parametrize(
    "parameters",
    [
        *({"objective": name} for name in ("poisson", "gamma", "tweedie", "quantile", "huber")),
        {"zero_as_missing": True},
        {"use_missing": False},
        {"boosting_type": "dart"},
        {"max_cat_to_onehot": 1, "min_data_per_group": 1, "cat_smooth": 0.1},
    ],
    ids=str,
)
def test_every_objective_and_every_way_of_missing(
    parameters: dict[str, Any], stored: dict[str, StoredModel], tmp_path: Path
) -> None:
    """Links, zero as missing, no missing, many categories a split: equal to the last bit."""
    frame = models.training_frame(rows=1000)
    frame["count"] = frame["count"] - 4
    target = 1 + abs(models.signal(frame))
    model = lightgbm.LGBMRegressor(n_estimators=20, min_child_samples=3, verbose=-1, **parameters)
    text = model.fit(frame, target).booster_.model_to_string()
    assert proof.compare(with_booster(stored["regression"], text, tmp_path).folder) == ""


def test_missing_parted_from_present(stored: dict[str, StoredModel], tmp_path: Path) -> None:
    """A split of missing from present, which LightGBM writes as `threshold=inf`, is proved."""
    random = np.random.default_rng(5)
    gaps = np.where(random.random(1000) < 0.5, np.nan, random.normal(size=1000))
    matrix = np.column_stack([gaps, random.normal(size=1000)])
    model = lightgbm.LGBMRegressor(n_estimators=10, verbose=-1)
    text = model.fit(matrix, 9.0 * np.isnan(gaps) + matrix[:, 1]).booster_.model_to_string()
    assert any(
        "inf" in line.split("=")[1].split()
        for line in text.splitlines()
        if line.startswith("threshold=")
    )
    chosen = choose(with_booster(stored["regression"], text, tmp_path), settings())
    assert (chosen.name, chosen.reason) == ("accelerated", "")
    expected = BoosterPredictor(text).predict(Frame((), matrix))
    assert np.array_equal(chosen.predictor.predict(Frame((), matrix)), expected)


def test_one_bit_is_a_difference() -> None:
    """Scores that differ in the last bit alone are not equal, nor is a NaN to a NaN."""
    matrix = np.zeros((3, 1))

    def constant(score: float) -> proof.Score:
        return lambda rows: np.full(len(rows), score)

    assert proof.difference(constant(0.5), constant(0.5), matrix, "random") == ""
    for first, second in ((0.5, float(np.nextafter(0.5, 1))), (np.nan, np.nan)):
        found = proof.difference(constant(first), constant(second), matrix, "random")
        assert found == "its scores differ from LightGBM's on 3 of 3 random rows"


def test_a_slower_accelerator_does_not_serve() -> None:
    """What takes clearly longer than LightGBM is no accelerator, and the reason has the times."""

    def slow(rows: proof.Matrix) -> proof.Matrix:
        time.sleep(0.01)
        return rows[:, 0]

    def quick(rows: proof.Matrix) -> proof.Matrix:
        return rows[:, 0]

    matrix = np.zeros((8, 1))
    assert "slower than LightGBM on this model" in proof.slowness(quick, slow, matrix)
    assert proof.slowness(slow, quick, matrix) == ""
