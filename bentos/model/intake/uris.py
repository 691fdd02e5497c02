"""Where a model is said to be, told from the URI alone: no network, and no import of MLflow.

What is wrong with the URI itself is found here, before anything slow begins.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from bentos.errors import IntakeError

Place = Literal["alias", "version", "latest", "logged", "run", "folder", "artifact"]

_FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME/latest or models:/m-ID"
_LOGGED = re.compile(r"m-[0-9a-f]{32}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


class Uri(msgspec.Struct, frozen=True):
    """A URI read: `name` of a registered model, `reference` its alias, version, or an id.

    `text`: as MLflow takes it; a path for a folder.
    """

    place: Place
    text: str
    name: str = ""
    reference: str = ""


def parse(uri: str) -> Uri:
    """Read a URI. Raises IntakeError for a form that is not known, or a folder without a model."""
    text = uri.strip().rstrip("/")
    if text.startswith("models:"):
        return _registry(text)
    if text.startswith("runs:"):
        run_id, _, path = text.removeprefix("runs:/").partition("/")
        if not run_id or not path:
            raise IntakeError("a runs: URI is runs:/RUN_ID/PATH, such as runs:/RUN_ID/model")
        return Uri("run", text, reference=run_id)
    if text.startswith("file:"):
        return _folder(unquote(urlsplit(text).path))
    if _SCHEME.match(text):
        return Uri("artifact", text)
    return _folder(text)


def _registry(text: str) -> Uri:
    reference = text.removeprefix("models:/").lstrip("/")
    if _LOGGED.fullmatch(reference):
        return Uri("logged", text, reference=reference)
    name, at, alias = reference.rpartition("@")
    if at and name and alias:
        return Uri("alias", text, name, alias)
    name, slash, version = reference.rpartition("/")
    if slash and name:
        if version.isdecimal():
            return Uri("version", text, name, version)
        if version.lower() == "latest":
            return Uri("latest", text, name, version)
        raise IntakeError(
            f"'{version}' is no version number: stages are gone from MLflow's registry, so name a "
            f"model as {_FORMS}"
        )
    raise IntakeError(f"a models: URI is {_FORMS}")


def _folder(path: str) -> Uri:
    folder = Path(path)
    if folder.is_file():
        raise IntakeError(_explain_file(folder))
    if not (folder / "MLmodel").is_file():
        raise IntakeError(
            f"{path} is neither a models: or runs: URI nor a folder with a file named MLmodel"
        )
    return Uri("folder", str(folder))


def _explain_file(path: Path) -> str:
    if path.name == "MLmodel":
        return f"{path} is a file of an MLflow model: name the folder that it is in"
    with path.open("rb") as file:
        is_booster = file.read(5) == b"tree\n"
    if not is_booster:
        return (
            f"{path} is a file, and no folder with a file named MLmodel: log the model with MLflow"
        )
    return (
        f"{path} is a LightGBM model file, which does not say the types of its columns. Save it "
        "with MLflow: mlflow.lightgbm.save_model(lightgbm.Booster(model_file=FILE), FOLDER, "
        "signature=mlflow.models.infer_signature(X, booster.predict(X))), X a frame of training "
        "rows; then import FOLDER"
    )
