"""What `bentoml build` makes: what serving needs, and the model of that moment."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bentoml
import pytest
import yaml

from bentos.model.intake import importing
from k8s.images import bento as image_context
from tests import models
from tests.service.driver import ROOT
from tests.service.process import server


@pytest.fixture(scope="module")
def built(quick: dict[str, str]) -> Iterator[bentoml.Bento]:
    """A Bento built with the latest model of a name, by the command that users type."""
    settings = {"TABSERVE_MODEL": quick["binary"].partition(":")[0] + ":latest"}
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "-o", "tag", "."],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("__tag__:")]
    tag = line.removeprefix("__tag__:")
    yield bentoml.get(tag)
    bentoml.bentos.delete(tag)


def _files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_contents(built: bentoml.Bento) -> None:
    """The Bento has the modules of the allow list and nothing else of the project."""
    listed = yaml.safe_load((ROOT / "bentofile.yaml").read_text())["include"]
    wanted = {path.relative_to(ROOT).as_posix() for name in listed for path in ROOT.glob(name)}
    assert all(list(ROOT.glob(name)) for name in listed), "the allow list names what is not there"
    found = _files(Path(built.path) / "src")
    assert found - {"bentofile.yaml", "pyproject.toml", "README.md"} == wanted
    for part in ("tests", "training", "intake", "k8s", "monitoring", "loadtests", ".tabserve"):
        assert not [name for name in found if part in name]
    assert {Path(name).suffix for name in found} <= {".py", ".sql", ".yaml", ".toml", ".md"}


def test_model_is_fixed(built: bentoml.Bento, quick: dict[str, str]) -> None:
    """`latest` became the tag of that moment."""
    assert [str(model.tag) for model in built.info.all_models] == [quick["binary"]]


def test_requirements(built: bentoml.Bento) -> None:
    """The image installs what the lock file pins, with hashes, and no training or import tools."""
    text = (Path(built.path) / "env" / "python" / "requirements.txt").read_text()
    names = {line.partition("==")[0].strip() for line in text.splitlines() if "==" in line}
    assert {"bentoml", "lightgbm", "msgspec", "numpy"} <= names
    assert not names & {"mlflow", "optuna", "pandas", "pytest", "matplotlib", "scikit-learn"}
    assert text.count("--hash=sha256:") >= len(names)


def test_served_from_anywhere(
    built: bentoml.Bento,
    quick: dict[str, str],
    rows: list[dict[str, Any]],
    scores: Any,
    tmp_path: Path,
) -> None:
    """`bentoml serve BENTO:TAG` from an empty folder answers the same, whatever came after it."""
    name, _, version = quick["binary"].partition(":")
    other = models.training_frame(seed=99)
    changed = models.log(models.binary(other), other, tmp_path / "newer", with_bundle=False)
    newer = importing.import_model(str(changed), name=name).tag
    try:
        assert bentoml.models.get(f"{name}:latest").tag == bentoml.Tag.from_str(newer)
        empty = tmp_path / "empty"
        empty.mkdir()
        with server(tmp_path, target=[str(built.tag)], working_dir=empty) as started:
            started.wait_until_ready()
            described = started.request("GET", "/v1/model").json()
            answer = started.post("/v1/predict/batch", {"instances": rows}).json()
            assert started.stop() == 0
        assert list(empty.iterdir()) == []
    finally:
        bentoml.models.delete(newer)
    assert (described["name"], described["version"]) == (name, version)
    found = [each["score"] for each in answer["predictions"]]
    assert found == pytest.approx(scores.tolist(), abs=1e-12)


def test_image_context(tmp_path: Path, built: bentoml.Bento) -> None:
    """The serving image gets the Bento, its one model, readable for all, and the command."""
    folder = tmp_path / "context"
    identity = image_context.lay_out(str(built.tag), folder)
    (model,) = built.info.all_models
    assert (identity.model_name, identity.model_version) == (
        model.tag.name,
        str(model.tag.version),
    )
    home = folder / "bento" / "home" / "models" / model.tag.name
    assert (home / "latest").read_text() == model.tag.version
    for path in home.rglob("*"):
        assert path.stat().st_mode & stat.S_IROTH
    assert (folder / "bento" / "models").resolve() == home.parent.resolve()
    assert (folder / "installed" / "bin" / "tabserve").stat().st_mode & stat.S_IXOTH
    assert "scipy==" not in (folder / "requirements.txt").read_text()
