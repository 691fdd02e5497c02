"""Models of the Bento store: found, checked, opened."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import bentoml
import pytest
import yaml

from bentos import settings
from bentos.errors import IntegrityError
from bentos.model import golden, store
from bentos.model.intake import importing
from bentos.model.layout import BOOSTER, CONTRACT, FOLDER, MLFLOW_FOLDER
from bentos.model.store import StoredModel
from bentos.settings import Settings


@pytest.fixture
def spoilt(folders: dict[str, Path], tmp_path: Path) -> Iterator[bentoml.Model]:
    """A model of its own in the store, to be spoilt."""
    copied = shutil.copytree(folders["booster"], tmp_path / "spoilt")
    tag = importing.import_model(str(copied)).tag
    yield bentoml.models.get(tag)
    if tag in [str(model.tag) for model in bentoml.models.list()]:
        bentoml.models.delete(tag)


def test_open(stored: dict[str, StoredModel], imported: dict[str, str]) -> None:
    """A model is opened with its name, version, contract and provenance."""
    model = stored["binary"]
    assert f"{model.name}:{model.version}" == imported["binary"]
    assert model.contract.hash == model.provenance.contract_hash
    assert (model.folder / FOLDER / BOOSTER).is_file()
    assert model.created.startswith("20")


@pytest.mark.parametrize(
    "name", ["tabserve/booster.txt", "tabserve/contract.json", "tabserve/golden.json", "MLmodel"]
)
def test_changed_file(spoilt: bentoml.Model, name: str) -> None:
    """A file that was changed after the import is named, and the model is not opened."""
    path = Path(spoilt.path) / MLFLOW_FOLDER / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match=f"^{name} was changed after the model was imported"):
        store.open_model(spoilt)


def test_changed_metadata(spoilt: bentoml.Model) -> None:
    """Digests that were changed together with a file do not add up to the model's digest."""
    manifest = Path(spoilt.path) / "model.yaml"
    document = yaml.safe_load(manifest.read_text())
    document["metadata"]["files"]["MLmodel"] = "0" * 64
    manifest.write_text(yaml.safe_dump(document))
    with pytest.raises(IntegrityError, match=r"model\.yaml was changed"):
        store.open_model(bentoml.models.get(spoilt.tag))


@pytest.mark.parametrize(
    ("number", "words"),
    [(None, "was imported by an older tabserve: import it again"), (99, "by a newer tabserve")],
)
def test_model_of_another_tabserve(spoilt: bentoml.Model, number: int | None, words: str) -> None:
    """A digest of another kind is no change of the files: the model has to be imported again."""
    manifest = Path(spoilt.path) / "model.yaml"
    document = yaml.safe_load(manifest.read_text())
    document["metadata"]["digest"] = "0" * 64
    if number is None:
        del document["metadata"]["format"]
    else:
        document["metadata"]["format"] = number
    manifest.write_text(yaml.safe_dump(document))
    with pytest.raises(IntegrityError, match=words):
        store.open_model(bentoml.models.get(spoilt.tag))


def test_contract_of_another_version(spoilt: bentoml.Model) -> None:
    """A contract that this tabserve cannot read says to import the model again."""
    from bentos.model import integrity

    folder = Path(spoilt.path) / MLFLOW_FOLDER
    path = folder / FOLDER / CONTRACT
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    manifest = Path(spoilt.path) / "model.yaml"
    document = yaml.safe_load(manifest.read_text())
    document["metadata"]["files"] = integrity.digest_files(folder)
    digest = store.identify(document["metadata"]["files"])
    document["metadata"]["digest"] = digest
    document["version"] = digest[:12]
    manifest.write_text(yaml.safe_dump(document))
    Path(spoilt.path).rename(Path(spoilt.path).with_name(digest[:12]))
    with pytest.raises(IntegrityError, match="import the model again"):
        store.open_model(bentoml.models.get(f"{spoilt.tag.name}:{digest[:12]}"))


def test_files_of_another_tag(spoilt: bentoml.Model) -> None:
    """Digests that agree with changed files are refused: they do not belong to the tag."""
    from bentos.model import integrity

    folder = Path(spoilt.path) / MLFLOW_FOLDER
    (folder / FOLDER / golden.FILE).unlink()
    manifest = Path(spoilt.path) / "model.yaml"
    document = yaml.safe_load(manifest.read_text())
    document["metadata"]["files"] = integrity.digest_files(folder)
    document["metadata"]["digest"] = store.identify(document["metadata"]["files"])
    manifest.write_text(yaml.safe_dump(document))
    with pytest.raises(IntegrityError, match=r"model\.yaml was changed"):
        store.open_model(bentoml.models.get(spoilt.tag))


def test_model_of_somebody_else(folders: dict[str, Path]) -> None:
    """A model that BentoML imported without tabserve is refused: nobody recorded its digest."""
    stored = bentoml.mlflow.import_model("of-somebody-else", str(folders["booster"]))
    with pytest.raises(IntegrityError, match="was not imported by `tabserve import`"):
        store.open_model(bentoml.models.get(stored.tag))


# ---- which model


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a model of the user's choice."""
    monkeypatch.setenv("TABSERVE_MODEL", "mine:7")
    return settings.read()


def test_default_tag(tmp_path: Path) -> None:
    """Outside a Bento the setting's default is served."""
    assert store.find_tag(settings.read(), tmp_path / "src") == "credit-default:latest"


def test_bento_keeps_its_model(tmp_path: Path, chosen: Settings) -> None:
    """A built Bento serves the model that it was built with, unless the user names another."""
    manifest = tmp_path / "bento.yaml"
    services = [{"name": "front", "models": []}, {"name": "x", "models": [{"tag": "built:3"}]}]
    manifest.write_text(yaml.safe_dump({"services": services}))
    default = Settings.model_construct(_fields_set=set(), model="credit-default:latest")
    assert store.find_tag(default, tmp_path / "src") == "built:3"
    assert store.find_tag(chosen, tmp_path / "src") == "mine:7"
    manifest.write_text(yaml.safe_dump({"services": []}))
    assert store.find_tag(default, tmp_path / "src") == "credit-default:latest"
