"""From MLflow into the Bento store: sources, names, and code that comes with a model."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import bentoml
import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.models import infer_signature

from bentos.errors import IntakeError
from bentos.model import store
from bentos.model.intake import importing
from bentos.model.intake.origin import find_origin
from bentos.model.intake.uris import parse
from bentos.model.layout import BOOSTER, FOLDER
from bentos.model.store import StoredModel


@pytest.fixture(scope="module")
def registered(
    folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """A model logged in a run, registered twice, version 1 with the alias `champion`."""
    home = tmp_path_factory.mktemp("registry")
    experiment = mlflow.create_experiment("intake", artifact_location=home.as_uri())
    client = mlflow.MlflowClient()
    client.create_registered_model("Credit Risk!")
    runs = []
    for kind in ("binary", "booster"):
        with mlflow.start_run(experiment_id=experiment) as run:
            mlflow.log_metrics({"auc": 0.75, "broken": float("nan")})
            mlflow.log_artifacts(str(folders[kind]), "model")
        runs.append(run.info.run_id)
        client.create_model_version(
            "Credit Risk!", f"{run.info.artifact_uri}/model", run_id=run.info.run_id
        )
    client.set_registered_model_alias("Credit Risk!", "champion", "1")
    return {"run_id": runs[0], "second_run_id": runs[1]}


def open_tag(tag: str) -> StoredModel:
    """Open a model of the store by tag."""
    return store.open_model(bentoml.models.get(tag))


def test_registry_alias(registered: dict[str, str]) -> None:
    """`models:/name@alias` is imported with its registry name, version, run and metrics."""
    made = importing.import_model("models:/Credit Risk!@champion")
    assert made.is_new
    assert made.tag.startswith("credit-risk:v1-")
    model = bentoml.models.get(made.tag)
    assert model.info.labels == {
        "mlflow_run_id": registered["run_id"],
        "registry_name": "Credit Risk!",
        "registry_version": "1",
        "contract": made.contract.hash[:12],
        "task": "binary",
    }
    provenance = open_tag(made.tag).provenance
    assert provenance.source == "models:/Credit Risk!/1"
    assert provenance.mlflow_run_id == registered["run_id"]
    assert (provenance.registry_name, provenance.registry_version) == ("Credit Risk!", "1")
    assert provenance.flavor == "lightgbm"
    assert provenance.contract_hash == made.contract.hash
    assert provenance.digest == made.digest
    # A metric that is no number cannot be shown as JSON.
    assert provenance.metrics == {"auc": 0.75}
    assert [
        column["name"] for column in json.loads(json.loads(provenance.signature)["inputs"])
    ] == [*made.contract.names]
    assert provenance.packages["lightgbm"] == lightgbm.__version__


def test_registry_version_and_rollback(registered: dict[str, str]) -> None:
    """Importing an older version again makes it `:latest`; importing the latest is no change."""
    first = importing.import_model("models:/Credit Risk!/1", name="rolled")
    second = importing.import_model("models:/Credit Risk!/2", name="rolled")
    assert second.tag.startswith("rolled:v2-")
    assert str(bentoml.models.get("rolled:latest").tag) == second.tag
    again = importing.import_model("models:/Credit Risk!/1", name="rolled")
    assert again.tag == first.tag
    assert again.is_new
    assert str(bentoml.models.get("rolled:latest").tag) == first.tag
    assert open_tag(first.tag).provenance.registry_version == "1"


def test_run(registered: dict[str, str]) -> None:
    """`runs:/id/path` is imported with the run's id and metrics, and no registry version."""
    made = importing.import_model(f"runs:/{registered['run_id']}/model", name="of-a-run")
    provenance = open_tag(made.tag).provenance
    assert provenance.mlflow_run_id == registered["run_id"]
    assert provenance.metrics == {"auc": 0.75}
    assert provenance.registry_version == ""
    assert made.tag == f"of-a-run:{made.digest[:12]}"


def test_alias_and_number_are_one_model(registered: dict[str, str]) -> None:
    """A version gets one tag by its alias, its number, or as the latest one."""
    first = importing.import_model("models:/Credit Risk!@champion", name="spelled")
    again = importing.import_model("models:/Credit Risk!/1", name="spelled")
    assert (again.tag, again.is_new) == (first.tag, False)
    newest = importing.import_model("models:/Credit Risk!/latest", name="spelled")
    assert newest.tag.startswith("spelled:v2-")
    assert not importing.import_model("models:/Credit Risk!/2", name="spelled").is_new


def test_logged_model(trained: dict[str, Any], frame: pd.DataFrame, tmp_path: Path) -> None:
    """The URI that MLflow's `log_model` gives, `models:/m-...`, is taken."""
    experiment = mlflow.create_experiment("logged", artifact_location=tmp_path.as_uri())
    with mlflow.start_run(experiment_id=experiment) as run:
        info = mlflow.lightgbm.log_model(
            trained["booster"],
            name="scores",
            signature=infer_signature(frame, np.zeros(len(frame))),
            pip_requirements=["lightgbm"],
        )
    assert info.model_uri.startswith("models:/m-")
    made = importing.import_model(info.model_uri)
    assert made.tag.startswith("scores:")
    assert open_tag(made.tag).provenance.mlflow_run_id == run.info.run_id


def test_file_uri(folders: dict[str, Path], imported: dict[str, str]) -> None:
    """A `file://` URI is the folder that it names."""
    again = importing.import_model(folders["binary"].as_uri() + "/", name="test-binary")
    assert (again.tag, again.is_new) == (imported["binary"], False)


def test_long_name(folders: dict[str, Path]) -> None:
    """A name that BentoML does not take is refused, and the message says --name."""
    with pytest.raises(IntakeError, match=r"64 characters, and a Bento model at most 63.*--name"):
        importing.import_model(str(folders["booster"]), name="n" * 64)


def test_twice_is_once(folders: dict[str, Path], imported: dict[str, str]) -> None:
    """A model imported twice is one model, and the second import says so."""
    again = importing.import_model(str(folders["binary"]), name="test-binary")
    assert not again.is_new
    assert again.tag == imported["binary"]


def test_files_are_digested(stored: dict[str, StoredModel]) -> None:
    """The metadata holds the SHA-256 of every file, those of the intake included."""
    files = stored["binary"].provenance.files
    assert {"MLmodel", "tabserve/contract.json", "tabserve/booster.txt"} <= set(files)
    assert {"tabserve/golden.json", "extra_files/reference.parquet"} <= set(files)
    assert all(len(digest) == 64 for digest in files.values())


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("models:/Nobody@champion", "MLflow does not have"),
        ("models:/Nobody/3", "MLflow does not have"),
        ("models:/Nobody", "models:/NAME@ALIAS, models:/NAME/VERSION"),
        ("runs:/0123456789abcdef0123456789abcdef/model", "MLflow does not have"),
        ("no/such/folder", "neither a models: or runs: URI nor a folder"),
    ],
)
def test_not_there(uri: str, says: str) -> None:
    """A URI of something that is not there is refused in one line."""
    with pytest.raises(IntakeError, match=says) as caught:
        importing.import_model(uri)
    assert "\n" not in str(caught.value)


def test_run_without_model(registered: dict[str, str]) -> None:
    """A run's path that holds nothing, or no model, is refused."""
    with pytest.raises(IntakeError, match="cannot be read"):
        importing.import_model(f"runs:/{registered['run_id']}/nothing")
    with pytest.raises(IntakeError, match="no file named MLmodel"):
        importing.import_model(f"runs:/{registered['run_id']}/model/extra_files")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Credit Risk!", "credit-risk"),
        ("a_b.c-1", "a_b.c-1"),
        ("Güteklasse Straße", "guteklasse-strasse"),
        ("日本", "model"),
        ("!", "model"),
    ],
)
def test_bento_name(name: str, expected: str) -> None:
    """Any name becomes a valid Bento model name."""
    assert importing.bento_name(name) == expected
    bentoml.Tag.from_taglike(f"{importing.bento_name(name)}:v1")


def test_name_of_a_folder(folders: dict[str, Path], tmp_path: Path) -> None:
    """A model of a folder is named after it."""
    copied = tmp_path / "Weather Model"
    shutil.copytree(folders["booster"], copied)
    assert importing.import_model(f"{copied}/").tag.startswith("weather-model:")


def test_copied_folder(folders: dict[str, Path], tmp_path: Path) -> None:
    """A folder names its run, if only by id: another tracking server may have its metrics."""
    copied = Path(shutil.copytree(folders["booster"], tmp_path / "copied"))
    manifest = copied / "MLmodel"
    manifest.write_text(manifest.read_text() + f"run_id: {'ab' * 16}\n")
    provenance = open_tag(importing.import_model(str(copied)).tag).provenance
    assert provenance.mlflow_run_id == "ab" * 16
    assert provenance.metrics == {}


def test_pipeline(pipeline_folder: Path) -> None:
    """A model that only MLflow can run is imported with its flavor, and without a booster."""
    made = importing.import_model(str(pipeline_folder), name="pipeline", trusts_code=True)
    assert (made.contract.engine, made.contract.task) == ("pyfunc", "binary")
    model = open_tag(made.tag)
    assert model.provenance.flavor == "sklearn"
    assert not (model.folder / FOLDER / BOOSTER).exists()
    assert len(made.warnings) == 3


def test_code_needs_trust(pipeline_folder: Path, tmp_path: Path) -> None:
    """A model whose loading runs its own code is refused unless that is allowed."""
    with pytest.raises(
        IntakeError, match=r"runs code that came with it: model\.pkl, a pickle \(flavor sklearn\)"
    ):
        importing.import_model(str(pipeline_folder), name="untrusted")
    made = importing.import_model(str(pipeline_folder), name="untrusted", trusts_code=True)
    assert made.warnings[0].startswith("this import ran code that came with the model: model.pkl")
    assert open_tag(made.tag).provenance.code == ["model.pkl, a pickle (flavor sklearn)"]


def test_pickle_is_not_run(folders: dict[str, Path], tmp_path: Path) -> None:
    """A refused import has run nothing of the model's."""
    path = shutil.copytree(folders["binary"], tmp_path / "spoilt")
    witness = tmp_path / "it-ran"
    (path / "model.pkl").write_bytes(pickle.dumps(_Touch(witness)))
    manifest = yaml.safe_load((path / "MLmodel").read_text())
    manifest["flavors"]["lightgbm"].update(data="model.pkl", serialization_format="pickle")
    (path / "MLmodel").write_text(yaml.safe_dump(manifest))
    with pytest.raises(IntakeError, match="Import it with --trust-code if you trust who made it"):
        importing.import_model(str(path), name="spoilt")
    assert not witness.exists()
    with pytest.raises(IntakeError):
        importing.import_model(str(path), name="spoilt", trusts_code=True)
    assert witness.exists(), "the check above cannot fail"


class _Touch:
    """An object whose pickle makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_link_in_a_folder(folders: dict[str, Path], tmp_path: Path) -> None:
    """A link in a model's folder is refused: the copy would take what it leads to."""
    path = shutil.copytree(folders["binary"], tmp_path / "linked")
    (path / "notes.txt").symlink_to("/etc/hostname")
    with pytest.raises(IntakeError, match=r"^notes\.txt in the model's folder is a link"):
        importing.import_model(str(path), name="linked")


def test_author_of_code(registered: dict[str, str], tmp_path: Path) -> None:
    """A refusal says who logged the model, as far as MLflow knows."""
    origin = find_origin(parse("models:/Credit Risk!@champion"))
    assert origin.author
    text = importing._explain_code(["model.pkl, a pickle"], origin)
    assert f"by {origin.author} in run {registered['run_id']}" in text
