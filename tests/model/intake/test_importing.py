"""MLflow models of every kind, by every kind of URI, into the Bento store."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bentoml
import lightgbm
import mlflow
import msgspec
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema

from bentos.errors import IntakeError
from bentos.model import bundle, contract, golden, store
from bentos.model.intake import importing
from bentos.model.intake.origin import find_origin
from bentos.model.intake.uris import parse
from bentos.model.layout import BOOSTER, CONTRACT, FOLDER
from bentos.model.store import StoredModel
from tests import models


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


# ---- where models come from


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


# ---- what it prepares


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the binary model's MLflow folder, to be spoilt."""
    return Path(shutil.copytree(folders["binary"], tmp_path / "model"))


def test_complete_model_has_no_warnings(folder: Path) -> None:
    """A model with reference, golden rows and decision is prepared without a warning."""
    assert list(importing.prepare(folder)) == []
    served = folder / FOLDER
    made = contract.load((served / CONTRACT).read_bytes())
    assert (made.threshold, made.threshold_method) == (0.4, "chosen for the tests")
    assert made.features[0].description == "Money, in euro."
    kept = golden.read((served / golden.FILE).read_bytes())
    assert len(kept.rows) == 64
    assert msgspec.json.decode(kept.rows[0]).keys() == set(made.names)


def test_bare_model_is_warned_of(folder: Path) -> None:
    """A model without its bundle is accepted; each warning names what will not work."""
    shutil.rmtree(folder / bundle.FOLDER)
    warnings = list(importing.prepare(folder))
    assert [warning.split(" was logged")[0] for warning in warnings] == [
        "no reference.parquet",
        "no golden.parquet",
        "no decision.json",
    ]
    assert "drift cannot be detected" in warnings[0]
    assert "300 rows drawn from the contract" in warnings[1]
    assert "0.5" in warnings[2]
    kept = golden.read((folder / FOLDER / golden.FILE).read_bytes())
    assert (len(kept.rows), kept.is_generated) == (300, True)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (bundle.GOLDEN, b"no parquet", "golden.parquet cannot be read"),
        (bundle.REFERENCE, b"no parquet", "reference.parquet cannot be read"),
        (bundle.DECISION, b'{"threshold": "high"}', "decision.json cannot be read"),
        (bundle.DECISION, b'{"threshold": -5, "method": ""}', "no probability from 0 to 1"),
        (bundle.DECISION, b'{"threshold": 1e999, "method": ""}', "decision.json cannot be read"),
        (bundle.FEATURES, b'["amount"]', "features.json cannot be read"),
    ],
)
def test_broken_bundle(folder: Path, name: str, content: bytes, says: str) -> None:
    """A file of the bundle that cannot be read is named."""
    (folder / bundle.FOLDER / name).write_bytes(content)
    with pytest.raises(IntakeError, match=says):
        list(importing.prepare(folder))


def write_golden(folder: Path, frame: pd.DataFrame, scores: Any, **options: Any) -> None:
    """Put other golden rows into a model's folder."""
    bundle.write_scored_rows(folder / bundle.FOLDER / bundle.GOLDEN, frame, scores, **options)


def test_golden_rows_must_be_rows(folder: Path, frame: pd.DataFrame) -> None:
    """Golden rows that are none, lack a feature or have other scores are refused at import."""
    empty = frame.head(0).assign(**{bundle.SCORE_PREFIX: 0.0})
    empty.to_parquet(folder / bundle.FOLDER / bundle.GOLDEN)
    with pytest.raises(IntakeError, match=r"golden\.parquet has no rows"):
        list(importing.prepare(folder))
    write_golden(folder, frame.head(3).drop(columns="grade"), np.zeros(3))
    with pytest.raises(IntakeError, match="no column 'grade'"):
        list(importing.prepare(folder))
    write_golden(folder, frame.head(3), np.zeros((3, 2)), classes=[0, 1])
    with pytest.raises(IntakeError, match="2 scores a row, the model gives 1"):
        list(importing.prepare(folder))


@pytest.mark.parametrize(
    ("score", "says"),
    [
        (-0.1, "row 2 of reference.parquet has a score that is no probability from 0 to 1"),
        (1.5, "no probability"),
        (np.nan, "no probability"),
        (np.inf, "no probability"),
    ],
)
def test_scores_of_the_reference(
    folder: Path, frame: pd.DataFrame, score: float, says: str
) -> None:
    """Scores of the reference that the model cannot have given are refused, by row."""
    scores = np.array([0.0, 1.0, score])
    path = folder / bundle.FOLDER / bundle.REFERENCE
    bundle.write_scored_rows(path, frame.head(3), scores)
    with pytest.raises(IntakeError, match=says):
        list(importing.prepare(folder))
    bundle.write_scored_rows(path, frame.head(3), np.zeros((3, 2)), classes=[0, 1])
    with pytest.raises(
        IntakeError, match=r"reference\.parquet has 2 scores a row, the model gives 1"
    ):
        list(importing.prepare(folder))


def test_golden_rows_must_meet_the_signature(folder: Path, frame: pd.DataFrame) -> None:
    """A golden row that the server would refuse is named by number and feature."""
    rows = frame.head(3).astype({"count": "Int64"})
    rows.loc[1, "count"] = pd.NA
    write_golden(folder, rows, np.zeros(3))
    with pytest.raises(IntakeError, match=r"row 1 of golden\.parquet .*: /count may not be null"):
        list(importing.prepare(folder))


def test_pandas_values_become_json(
    folder: Path, frame: pd.DataFrame, trained: dict[str, Any]
) -> None:
    """NaN and pandas' NA become null, numpy's scalars JSON's own values."""
    rows = frame.head(2).astype({"amount": "Float64"})
    rows["amount"] = pd.array([pd.NA, 1.5], dtype="Float64")
    rows["colour"] = pd.Categorical([None, "red"], categories=models.COLOURS)
    write_golden(folder, rows, models.scores_of(trained["binary"], rows))
    list(importing.prepare(folder))
    kept = golden.read((folder / FOLDER / golden.FILE).read_bytes())
    first, second = (msgspec.json.decode(row) for row in kept.rows)
    assert (first["amount"], first["colour"]) == (None, None)
    assert (second["amount"], second["colour"]) == (1.5, "red")
    assert isinstance(second["is_member"], bool)


def test_golden_scores_of_another_model(folder: Path, frame: pd.DataFrame) -> None:
    """Golden rows whose scores the model does not give are refused at import."""
    write_golden(folder, frame.head(3), np.zeros(3))
    with pytest.raises(IntakeError, match=r"golden row 0 was logged with another score.*3 of 3"):
        list(importing.prepare(folder))


def test_golden_rows_that_no_client_can_send(
    folder: Path, frame: pd.DataFrame, trained: dict[str, Any]
) -> None:
    """Rows with an infinity or an integer beyond float64 are left out, with a warning."""
    rows = frame.head(4).copy()
    rows["amount"] = [np.inf, 1.0, 2.0, 3.0]
    rows["count"] = [1, 2**60, 3, 4]
    write_golden(folder, rows, models.scores_of(trained["binary"], rows))
    (warning,) = importing.prepare(folder)
    assert warning.startswith("2 of 4 golden rows have an infinity")
    kept = golden.read((folder / FOLDER / golden.FILE).read_bytes())
    assert (len(kept.rows), kept.is_generated) == (2, False)
    write_golden(folder, rows.head(2), models.scores_of(trained["binary"], rows.head(2)))
    (warning,) = importing.prepare(folder)
    kept = golden.read((folder / FOLDER / golden.FILE).read_bytes())
    assert kept.is_generated


# ---- a whole way for a schema with everything


@pytest.fixture(scope="module")
def wide() -> Iterator[tuple[pd.DataFrame, ModelSignature]]:
    """A frame with nullable columns, and a signature in which some are optional."""
    base = models.training_frame(seed=11, rows=300)
    base["visits"] = base["count"].astype("int32")
    frame = base.astype({"colour": object})
    frame["colour"] = pd.Categorical(frame["colour"], categories=models.COLOURS)
    columns = Schema(
        [
            ColSpec("double", "amount", required=False),
            ColSpec("long", "count", required=False),
            ColSpec("boolean", "is_member", required=False),
            ColSpec("string", "colour", required=False),
            ColSpec("long", "grade"),
            ColSpec("float", "weight"),
            ColSpec("integer", "visits"),
        ]
    )
    yield frame, ModelSignature(columns, Schema([ColSpec("double")]))


def test_optional_columns(wide: tuple[pd.DataFrame, ModelSignature], tmp_path: Path) -> None:
    """Columns with `required=False` may be left out or null, whatever their type."""
    frame, signature = wide
    model = models.regression(frame)
    path = tmp_path / "model"
    mlflow.lightgbm.save_model(model, str(path), signature=signature, pip_requirements=["lightgbm"])
    list(importing.prepare(path))
    made = contract.load((path / FOLDER / CONTRACT).read_bytes())
    assert {feature.name for feature in made.features if feature.optional} == {
        *("amount", "count", "is_member", "colour")
    }
    assert made.features[-1].dtype == "integer"
    assert all(feature.profile is None for feature in made.features)


def test_no_signature(frame: pd.DataFrame, trained: dict[str, Any], tmp_path: Path) -> None:
    """A model without a signature is refused, and the message says how to log it."""
    path = tmp_path / "model"
    mlflow.lightgbm.save_model(trained["booster"], str(path), pip_requirements=["lightgbm"])
    with pytest.raises(IntakeError, match=r"signature=mlflow\.models\.infer_signature"):
        importing.import_model(str(path))


def test_datetime_column(frame: pd.DataFrame, trained: dict[str, Any], tmp_path: Path) -> None:
    """A datetime column is refused by name, with what to train on instead."""
    dated = frame.assign(opened=pd.Timestamp("2026-01-01"))
    path = tmp_path / "model"
    mlflow.lightgbm.save_model(
        trained["booster"],
        str(path),
        signature=infer_signature(dated, np.zeros(len(dated))),
        pip_requirements=["lightgbm"],
    )
    with pytest.raises(IntakeError, match=r"'opened' is a datetime.*days since"):
        importing.import_model(str(path))


# ---- code that comes with a model


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
