"""Models in the Bento store: where their files are, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import bentoml
import msgspec
import yaml

from bentos.errors import IntegrityError
from bentos.model import contract, integrity
from bentos.model.contract import Contract
from bentos.model.layout import CONTRACT, FOLDER, MLFLOW_FOLDER
from bentos.settings import Settings

# How the intake writes a model down: raise it with what a model's files or digest are made of.
# Models imported before it was written down have 0, and digests of several kinds.
FORMAT = 1


class Provenance(msgspec.Struct, frozen=True):
    """The metadata that the intake records with a model."""

    digest: str
    files: dict[str, str]
    format: int = 0
    source: str = ""
    mlflow_run_id: str = ""
    registry_name: str = ""
    registry_version: str = ""
    flavor: str = ""
    signature: str = ""
    contract_hash: str = ""
    metrics: dict[str, float] = {}
    packages: dict[str, str] = {}
    code: list[str] = []


class StoredModel(msgspec.Struct, frozen=True):
    """One model of the store, checked against what was imported."""

    name: str
    version: str
    created: str
    folder: Path
    provenance: Provenance
    contract: Contract

    def read(self, name: str) -> bytes:
        """Read a file of the model, by its path from the folder, and check what was read.

        Raises IntegrityError where it is not what was imported.
        """
        return integrity.read_file(self.folder, name, self.provenance.files)


def identify(files: Mapping[str, str]) -> str:
    """One digest for a model, over all its files."""
    return integrity.digest_of(files)


def tag_suffix(digest: str) -> str:
    """The part of a digest that ends a model's tag."""
    return digest[:12]


def find_tag(settings: Settings, project: Path) -> str:
    """Say which Bento model to serve.

    `TABSERVE_MODEL` if it is set; inside a built Bento (`project` is its `src` folder)
    the tag that it was built with; else the default of the setting.
    """
    manifest = project.parent / "bento.yaml"
    if "model" not in settings.model_fields_set and manifest.is_file():
        for service in yaml.safe_load(manifest.read_text())["services"]:
            for model in service["models"]:
                return str(model["tag"])
    return settings.model


def open_model(stored: bentoml.Model) -> StoredModel:
    """Read a model of the store.

    Raises IntegrityError where it was not imported by tabserve, or where a file is not
    what was imported.
    """
    folder = Path(stored.path) / MLFLOW_FOLDER
    try:
        provenance = msgspec.convert(dict(stored.info.metadata), Provenance)
    except msgspec.ValidationError:
        raise IntegrityError(
            f"{stored.tag} was not imported by `tabserve import`: it has no digest"
        ) from None
    if provenance.format > FORMAT:
        raise IntegrityError(
            f"{stored.tag} was imported by a newer tabserve: import it again with this one"
        )
    is_whole = identify(provenance.files) == provenance.digest
    # The tag is what people, Bentos and records name a model by: it cannot be given other files.
    if not is_whole or str(stored.tag.version).rpartition("-")[2] != tag_suffix(provenance.digest):
        if provenance.format < FORMAT:
            raise IntegrityError(_outdated(stored))
        raise IntegrityError("model.yaml was changed after the model was imported")
    integrity.check_files(folder, provenance.files)
    try:
        made = contract.load(integrity.read_file(folder, f"{FOLDER}/{CONTRACT}", provenance.files))
    except ValueError as error:
        if provenance.format < FORMAT:
            raise IntegrityError(_outdated(stored)) from None
        raise IntegrityError(str(error)) from None
    return StoredModel(
        name=stored.tag.name,
        version=str(stored.tag.version),
        created=stored.info.creation_time.isoformat(),
        folder=folder,
        provenance=provenance,
        contract=made,
    )


def _outdated(stored: bentoml.Model) -> str:
    return f"{stored.tag} was imported by an older tabserve: import it again with `tabserve import`"
