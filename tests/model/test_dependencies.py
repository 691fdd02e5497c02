"""A pyfunc model is refused where its packages are missing, before it serves 503."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import bentoml
import pytest

from bentos.errors import ConfigurationError
from bentos.model import dependencies
from bentos.model.intake import importing
from bentos.model.layout import MLFLOW_FOLDER

REQUIREMENTS = Path(__file__).parents[2] / "bentos" / "requirements.txt"


@pytest.fixture(scope="module")
def pyfunc_tag(pipeline_folder: Path) -> str:
    """A scikit-learn model of the Bento store."""
    return importing.import_model(
        str(pipeline_folder), name="test-dependencies", trusts_code=True
    ).tag


def test_a_native_model_needs_nothing(
    imported: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is scored natively may be served and built with the base alone."""
    monkeypatch.setattr(sys, "argv", ["bentoml", "build", "."])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    dependencies.require(imported["binary"], REQUIREMENTS)


def test_serving_needs_mlflow(pyfunc_tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without MLflow a pyfunc model stops the start, with what to do."""
    dependencies.require(pyfunc_tag, REQUIREMENTS)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="a pyfunc model, which needs MLflow where"):
        dependencies.require(pyfunc_tag, REQUIREMENTS)


def test_a_bento_without_its_packages_is_not_built(
    pyfunc_tag: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`bentoml build` refuses what the Bento's requirements do not have, and names it."""
    monkeypatch.setattr(sys, "argv", ["/venv/bin/bentoml", "build", "."])
    with pytest.raises(ConfigurationError, match=r"would not have .*mlflow.*BENTO_EXTRAS=mlflow"):
        dependencies.require(pyfunc_tag, REQUIREMENTS)
    folder = Path(bentoml.models.get(pyfunc_tag).path) / MLFLOW_FOLDER
    complete = tmp_path / "requirements.txt"
    lacking = dependencies.find_lacking(folder, REQUIREMENTS)
    text = REQUIREMENTS.read_text() + "".join(f"\n{name}==1.0 \\\n    --hash=x" for name in lacking)
    complete.write_text(text)
    dependencies.require(pyfunc_tag, complete)
