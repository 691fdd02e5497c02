"""Where a model is said to be, told from the URI alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bentos.errors import IntakeError
from bentos.model.intake.uris import Uri, parse

_ID = "m-" + "0" * 32


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("models:/a b@champion", Uri("alias", "models:/a b@champion", "a b", "champion")),
        ("models:/name/7/", Uri("version", "models:/name/7", "name", "7")),
        ("models:/name/latest", Uri("latest", "models:/name/latest", "name", "latest")),
        (f"models:/{_ID}", Uri("logged", f"models:/{_ID}", reference=_ID)),
        ("runs:/ab/some/path", Uri("run", "runs:/ab/some/path", reference="ab")),
        ("s3://bucket/model", Uri("artifact", "s3://bucket/model")),
        ("mlflow-artifacts:/1/model", Uri("artifact", "mlflow-artifacts:/1/model")),
    ],
)
def test_forms(uri: str, expected: Uri) -> None:
    """Each form of MLflow's URIs is told apart; a slash at the end means nothing."""
    assert parse(uri) == expected


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("models:/name", "a models: URI is models:/NAME@ALIAS"),
        ("models:/@x", "a models: URI is"),
        ("models:/name/Production", "'Production' is no version number"),
        ("runs:/ab", "a runs: URI is runs:/RUN_ID/PATH"),
        ("nope", "neither a models: or runs: URI nor a folder"),
        ("file:///no/such/folder", "nor a folder with a file named MLmodel"),
    ],
)
def test_wrong_forms(uri: str, says: str) -> None:
    """What is no URI of a model is refused with the forms that there are."""
    with pytest.raises(IntakeError, match=says):
        parse(uri)


def test_folder(folders: dict[str, Path]) -> None:
    """A folder is named by its path or as file://, with its special characters escaped."""
    folder = folders["booster"]
    assert parse(str(folder)) == Uri("folder", str(folder))
    assert parse(folder.as_uri()) == Uri("folder", str(folder))


def test_bare_files(folders: dict[str, Path], tmp_path: Path) -> None:
    """A LightGBM model file is refused with how to save it; other files with what they are."""
    model = tmp_path / "model.txt"
    model.write_text("tree\nversion=v4\n")
    with pytest.raises(IntakeError, match=r"LightGBM model file.*mlflow\.lightgbm\.save_model"):
        parse(str(model))
    with pytest.raises(IntakeError, match="name the folder that it is in"):
        parse(str(folders["booster"] / "MLmodel"))
    model.write_text("something else")
    with pytest.raises(IntakeError, match="is a file, and no folder"):
        parse(str(model))


def test_nothing_slow_is_imported() -> None:
    """A wrong URI is found out before MLflow, pandas or LightGBM are imported."""
    code = (
        "import sys; from bentos.model.intake import uris; "
        "print({'mlflow', 'pandas', 'lightgbm', 'bentoml'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "set()"
