"""XGBoost and CatBoost models, served without their libraries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import bentoml
import catboost
import mlflow
import msgspec
import numpy as np
import pandas as pd
import pytest
import xgboost
from mlflow.models import infer_signature

from bentos.errors import IntakeError, IntegrityError
from bentos.model import bundle, store
from bentos.model.contract import Contract
from bentos.model.engines.boosted import BoostedPredictor, read_notes
from bentos.model.frame import Framer
from bentos.model.intake import importing, inspection
from bentos.model.intake.rows import members_of
from bentos.model.json_rows import RowReader
from bentos.model.layout import FOLDER, TREES, TREES_NOTES
from bentos.model.loading import LoadedModel
from bentos.model.store import StoredModel
from bentos.model.validation import EncodedRow, Encoder
from bentos.serving.registration import register
from bentos.settings import Settings
from tests import models
from tests.zoo.catalogue import KINDS

pytestmark = pytest.mark.filterwarnings(
    # Of libraries about each other, while models are trained and logged as users do it.
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::UserWarning",
)


def settings(**values: Any) -> Settings:
    """Settings with values of their own."""
    return Settings(**values)


KIND = {
    "xgboost": "XGBoost with category columns",
    "bounded": "XGBoost booster with probabilities",
    "catboost": "CatBoost with text categories",
}


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The MLflow folder of a model of each kind, by kind."""
    folder = tmp_path_factory.mktemp("boosted")
    for kind, name in KIND.items():
        KINDS[name].log(folder / kind)
    return {kind: folder / kind for kind in KIND}


@pytest.fixture(scope="module")
def served(logged: dict[str, Path]) -> dict[str, StoredModel]:
    """The same models, imported."""
    tags = {kind: importing.import_model(str(path), kind).tag for kind, path in logged.items()}
    return {kind: store.open_model(bentoml.models.get(tag)) for kind, tag in tags.items()}


# In a process of its own, in which neither library can be imported, nor what they bring.
ALONE = """
import json, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in ("xgboost", "catboost", "lightgbm", "mlflow", "pandas", "scipy", "sklearn"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
import bentoml
from bentos.model import golden, store
from bentos.model.loading import LoadedModel
from bentos.settings import Settings
for tag in sys.argv[1:]:
    loaded = LoadedModel(store.open_model(bentoml.models.get(tag)), Settings())
    loaded.prove()
    rows = golden.encode_rows(loaded.golden, loaded.reader.read_row)
    scores = loaded.scorer.predict(rows).reshape(len(rows), -1)
    print(json.dumps([loaded.engine.name, scores.tolist() == loaded.golden.scores]))
"""


def test_neither_library_is_needed(served: dict[str, StoredModel]) -> None:
    """Without XGBoost, CatBoost, MLflow and pandas the model's own scores come, to the last bit."""
    tags = [f"{model.name}:{model.version}" for model in served.values()]
    ended = subprocess.run(
        [sys.executable, "-c", ALONE, *tags],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.returncode == 0, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert lines == [["accelerated", True]] * len(tags)


def test_golden_rows_are_hundreds_and_have_float32_scores(served: dict[str, StoredModel]) -> None:
    """Hundreds of rows are proved at every start; XGBoost's scores stay the float32 they are."""
    for kind, stored in served.items():
        loaded = LoadedModel(stored, settings())
        assert loaded.golden is not None
        assert len(loaded.golden.rows) == inspection.GOLDEN_ROWS
        scores = np.array(loaded.golden.scores)
        is_single = bool((scores == scores.astype(np.float32)).all())
        assert is_single == (kind != "catboost")


def test_other_trees_are_not_served(
    served: dict[str, StoredModel], logged: dict[str, Path], tmp_path: Path
) -> None:
    """A start with trees that give other scores is refused, and the message names the row."""
    stored = served["catboost"]
    folder = Path(shutil.copytree(stored.folder, tmp_path / "model"))
    model = catboost.CatBoostClassifier()
    model.load_model(str(logged["catboost"] / "model.cb"))
    model.set_scale_and_bias(1.0, 0.001)
    model.save_model(str(folder / FOLDER / TREES), format="cbm")
    name = f"{FOLDER}/{TREES}"
    with pytest.raises(IntegrityError, match="was changed after the model was imported"):
        LoadedModel(msgspec.structs.replace(stored, folder=folder), settings())
    loaded = LoadedModel(models.with_file(stored, folder, name), settings())
    with pytest.raises(IntegrityError, match="golden row 0 of 300"):
        loaded.prove()
    (folder / FOLDER / TREES).write_bytes(b"no trees")
    with pytest.raises(IntegrityError, match="lignum cannot open the trees of this model"):
        LoadedModel(models.with_file(stored, folder, name), settings())


def encode(made: Contract, row: dict[str, Any]) -> EncodedRow:
    """Take one row in as a client sends it."""
    return RowReader(Encoder(made)).read_row(msgspec.json.encode(row))[0]


def test_unseen_categories(served: dict[str, StoredModel], logged: dict[str, Path]) -> None:
    """CatBoost's text may be anything: what training never saw scores as CatBoost scores it."""
    stored = served["catboost"]
    model = catboost.CatBoostClassifier()
    model.load_model(str(logged["catboost"] / "model.cb"))
    texts = ["red", "", "never seen", "blü", "日本", 'a"b', " red", "None", "nan", "1", "\x7f"]
    frame = pd.DataFrame({"x": 0.25, "colour": texts, "whole": 3})
    rows = [encode(stored.contract, row) for row in members_of(frame)]
    scores = BoostedPredictor.of_folder(stored.folder, stored.contract).predict(
        Framer(stored.contract).frame(rows)
    )
    assert scores.tolist() == model.predict_proba(frame)[:, 1].tolist()


def test_what_the_library_refuses_is_refused(served: dict[str, StoredModel]) -> None:
    """A number beyond float32, which XGBoost's matrix does not take, fails its row alone."""
    stored = served["bounded"]
    assert read_notes(stored.read(f"{FOLDER}/{TREES_NOTES}")).is_bounded
    loaded = LoadedModel(stored, settings())
    good = {"x": 0.5, "whole": 1, "large": 7, "flag": True}
    rows = [encode(stored.contract, {**good, "x": x}) for x in (0.5, 1e39, None, -1e300, 3e38)]
    scored = loaded.scorer.score(rows).scored
    assert [one.is_refused for one in scored] == [False, True, False, True, False]


def test_importance_is_registered(served: dict[str, StoredModel]) -> None:
    """The drift reports have what each feature is worth to the trees, by its name."""
    for stored in served.values():
        importance = register(stored).importance
        assert list(importance) == list(stored.contract.names)
        assert sum(importance.values()) > 0


# What stands in for lignum in the process of the proof.
BROKEN = {
    "crashes": ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "crashed"),
    "refuses the model": ("def load(path):\n    raise RuntimeError('text')", "(RuntimeError)"),
    "gives other scores": (
        "import numpy\nclass load:\n"
        "    n_features = 1\n    categorical_features = ()\n"
        "    def __init__(self, path): pass\n"
        "    def predict(self, matrix, **_): return numpy.zeros((len(matrix), 3))",
        "its scores differ from the model's own on",
    ),
}


@pytest.mark.parametrize(("code", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_not_proved_is_run_by_mlflow(
    code: str,
    reason: str,
    logged: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever lignum does wrong at import, MLflow serves the model, and one line says why."""
    (tmp_path / "lignum.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    inspected = inspection.inspect(logged["xgboost"])
    assert (inspected.contract.engine, inspected.boosted) == ("pyfunc", None)
    (warning,) = inspected.warnings
    assert reason in warning
    assert "\n" not in warning


def test_categories_beyond_ascii(tmp_path: Path) -> None:
    """XGBoost keeps them cut: the import names the feature, and rows of the frame mend it."""
    colours = ["blau", "grün", "weiß", "日本", "rot"]
    random = np.random.default_rng(7)
    codes = random.integers(0, len(colours), 600)
    frame = pd.DataFrame(
        {
            "colour": pd.Series([colours[code] for code in codes]).astype(
                pd.CategoricalDtype(colours)
            ),
            "x": random.normal(size=600),
        }
    )
    model = xgboost.XGBClassifier(n_estimators=8, enable_categorical=True)
    model.fit(frame, (codes % 2) + frame["x"] > 0.5)
    example = frame.astype({"colour": str})
    signature = infer_signature(example, model.predict_proba(frame)[:, 1])
    folder = tmp_path / "model"
    mlflow.xgboost.save_model(model, str(folder), signature=signature, input_example=example[:3])
    with pytest.raises(IntakeError, match=r"'colour' are not all ASCII.*log golden\.parquet"):
        importing.import_model(str(folder), "umlauts")
    (folder / bundle.FOLDER).mkdir()
    scores = model.predict_proba(frame)
    bundle.write_scored_rows(
        folder / bundle.FOLDER / bundle.GOLDEN, frame[:50], scores[:50, 1], None
    )
    stored = store.open_model(
        bentoml.models.get(importing.import_model(str(folder), "umlauts").tag)
    )
    assert stored.contract.features[0].categories == tuple(colours)
    rows = [encode(stored.contract, row) for row in members_of(example)]
    given = LoadedModel(stored, settings()).scorer.predict(rows)
    assert given.tolist() == scores[:, 1].tolist()
