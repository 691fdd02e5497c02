"""MLflow URI -> Bento store: checked, made servable without MLflow, with provenance."""

from __future__ import annotations

import importlib.metadata
import json
import math
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import bentoml
import mlflow
import msgspec
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model as MlflowModel

from bentos.errors import IntakeError, Problem
from bentos.model import bundle, contract, golden, integrity
from bentos.model.contract import Contract
from bentos.model.engines import compilation
from bentos.model.engines.predictor import Scores
from bentos.model.intake.inspection import make_contract, read_rows
from bentos.model.json_rows import RowReader
from bentos.model.store import BOOSTER, CONTRACT, FOLDER, identify
from bentos.model.validation import Encoder

# What a model was trained and is run with: shown by /v1/model.
_RECORDED_PACKAGES = ("lightgbm", "mlflow", "numpy", "pandas", "scikit-learn")
_NOT_IN_TAGS = re.compile(r"[^a-z0-9_.-]+")


class Origin(msgspec.Struct, frozen=True):
    """Where a model comes from, as far as its URI and its own records tell."""

    uri: str
    run_id: str = ""
    registry_name: str = ""
    registry_version: str = ""
    metrics: dict[str, float] = {}


class Imported(msgspec.Struct, frozen=True):
    """What an import did. `warnings` name what will not work, and why."""

    tag: str
    contract: Contract
    digest: str
    is_new: bool
    warnings: tuple[str, ...]


def import_model(uri: str, name: str | None = None) -> Imported:
    """Bring a model into the Bento store.

    `uri`: `models:/name@alias`, `models:/name/7`, `runs:/id/model` or a local folder.
    `name`: of the Bento model; by default the registered name or the folder's.
    Raises IntakeError, saying what to do, where the model cannot be served. The tag is
    made of the registry version and the files' digest: importing twice changes nothing.
    """
    origin = find_origin(uri)
    with tempfile.TemporaryDirectory(prefix="tabserve-import-") as scratch:
        model_dir = download(uri, Path(scratch))
        warnings = tuple(prepare(model_dir))
        made = contract.load((model_dir / FOLDER / CONTRACT).read_bytes())
        files = integrity.digest_files(model_dir)
        digest = identify(files)
        prefix = f"v{origin.registry_version}-" if origin.registry_version else ""
        tag = (
            f"{bento_name(name or origin.registry_name or _folder_name(uri))}:{prefix}{digest[:12]}"
        )
        is_new = _make_latest(tag, files)
        if is_new:
            bentoml.mlflow.import_model(
                tag,
                str(model_dir),
                labels=_labels(origin, made),
                metadata=_metadata(origin, made, model_dir, files, digest),
            )
    return Imported(tag, made, digest, is_new, warnings)


def bento_name(name: str) -> str:
    """Make a valid Bento model name of any other."""
    return _NOT_IN_TAGS.sub("-", name.lower()).strip("-._") or "model"


def find_origin(uri: str) -> Origin:
    """Ask the registry and the run behind a URI. Raises IntakeError for what is not there."""
    client = mlflow.MlflowClient()
    try:
        if uri.startswith("models:/"):
            reference = uri.removeprefix("models:/")
            if "@" in reference:
                version = client.get_model_version_by_alias(*reference.rsplit("@", 1))
            elif "/" in reference:
                version = client.get_model_version(*reference.rsplit("/", 1))
            else:
                raise IntakeError("a models: URI is models:/NAME@ALIAS or models:/NAME/VERSION")
            run_id = version.run_id or ""
            return Origin(
                uri, run_id, version.name, str(version.version), _run_metrics(client, run_id)
            )
        if uri.startswith("runs:/"):
            run_id = uri.removeprefix("runs:/").split("/", 1)[0]
            client.get_run(run_id)
            return Origin(uri, run_id, metrics=_run_metrics(client, run_id))
    except MlflowException as error:
        raise IntakeError(f"MLflow does not have {uri}: {_first_line(error)}") from None
    if not (Path(uri) / "MLmodel").is_file():
        raise IntakeError(
            f"{uri} is neither a models: or runs: URI nor a folder with a file named MLmodel"
        )
    run_id = MlflowModel.load(uri).run_id or ""
    return Origin(str(Path(uri)), run_id, metrics=_run_metrics(client, run_id))


def _run_metrics(client: mlflow.MlflowClient, run_id: str) -> dict[str, float]:
    if not run_id:
        return {}
    try:
        metrics = client.get_run(run_id).data.metrics
    except MlflowException:
        # A folder may have been copied from another tracking server.
        return {}
    return {name: float(value) for name, value in sorted(metrics.items()) if math.isfinite(value)}


def download(uri: str, scratch: Path) -> Path:
    """Copy the model's files into a folder of their own. Raises IntakeError."""
    try:
        path = mlflow.artifacts.download_artifacts(
            artifact_uri=uri, dst_path=str(scratch / "model")
        )
    except (MlflowException, OSError) as error:
        raise IntakeError(f"the files of {uri} cannot be read: {_first_line(error)}") from None
    model_dir = Path(path)
    if not (model_dir / "MLmodel").is_file():
        raise IntakeError(f"{uri} is not an MLflow model: it has no file named MLmodel")
    return model_dir


def prepare(model_dir: Path) -> Iterator[str]:
    """Add what serving needs to a model's folder; yield a warning for each thing it lacks.

    Writes the contract, the booster as text and the golden rows as JSON, so that a
    server reads neither pickles nor Parquet and needs no MLflow.
    """
    served = model_dir / FOLDER
    served.mkdir(exist_ok=True)
    made, booster = make_contract(model_dir)
    (served / CONTRACT).write_bytes(contract.dump(made))
    if booster is not None:
        (served / BOOSTER).write_text(booster)
        if (reason := compilation.compile_trees(booster, served)) is not None:
            yield f"no compiled trees: {reason}; LightGBM itself scores, more slowly"
    if bundle.find(model_dir, bundle.REFERENCE) is None:
        yield (
            f"no {bundle.REFERENCE} was logged: no training ranges, so nothing is reported as out "
            "of range, and drift cannot be detected"
        )
    kept = read_rows(model_dir, bundle.GOLDEN)
    if kept is None:
        yield (
            f"no {bundle.GOLDEN} was logged: the server cannot prove at its start that it gives "
            "the scores of training"
        )
    else:
        (served / golden.FILE).write_bytes(_golden_json(made, *kept))
    if made.task == "binary" and bundle.find(model_dir, bundle.DECISION) is None:
        yield f"no {bundle.DECISION} was logged: labels change at a probability of 0.5"


def _golden_json(made: Contract, rows: pd.DataFrame, scores: Scores) -> bytes:
    lacking = [name for name in made.names if name not in rows.columns]
    if lacking:
        raise IntakeError(f"{bundle.GOLDEN} has no column '{lacking[0]}'")
    count = len(made.classes or ()) if made.task == "multiclass" else 1
    if scores.shape[1] != count:
        raise IntakeError(
            f"{bundle.GOLDEN} has {scores.shape[1]} scores a row, the model gives {count}"
        )
    documents = [
        msgspec.Raw(json.dumps({name: _json_value(value) for name, value in row.items()}).encode())
        for row in rows[list(made.names)].to_dict("records")
    ]
    # The rows must go in by the door that clients use; better found out here than at start.
    read_row = RowReader(Encoder(made)).read_row
    for number, document in enumerate(documents):
        try:
            read_row(bytes(document))
        except Problem as problem:
            fault = problem.faults[0]
            raise IntakeError(
                f"golden row {number} does not meet the model's own signature: {fault.pointer} "
                f"{fault.detail}; infer the signature from a frame that has such rows"
            ) from None
    return msgspec.json.encode(golden.Golden(rows=documents, scores=scores.tolist()))


def _json_value(value: object) -> object:
    # NaN, None, NaT and pandas' NA all mean missing.
    return None if value is pd.NA or value is None or value != value else value  # noqa: PLR0124 - NaN


def _make_latest(tag: str, files: dict[str, str]) -> bool:
    name = tag.partition(":")[0]
    try:
        stored = bentoml.models.get(tag)
    except bentoml.exceptions.NotFound:
        return True
    is_latest = bentoml.models.get(f"{name}:latest").tag == stored.tag
    if is_latest and stored.info.metadata.get("files") == files:
        return False
    # A rollback, or another compiler: the same model again, so that NAME:latest is what was
    # imported last, as it was imported last.
    bentoml.models.delete(tag)
    return True


def _folder_name(uri: str) -> str:
    return uri.rstrip("/").rsplit("/", 1)[-1]


def _labels(origin: Origin, made: Contract) -> dict[str, str]:
    labels = {
        "mlflow_run_id": origin.run_id,
        "registry_name": origin.registry_name,
        "registry_version": origin.registry_version,
        "contract": made.hash[:12],
        "task": made.task,
    }
    return {name: value for name, value in labels.items() if value}


def _metadata(
    origin: Origin, made: Contract, model_dir: Path, files: dict[str, str], digest: str
) -> dict[str, object]:
    recorded = MlflowModel.load(str(model_dir))
    flavors = sorted(set(recorded.flavors) - {"python_function"}) or ["python_function"]
    return {
        "source": origin.uri,
        "mlflow_run_id": origin.run_id,
        "registry_name": origin.registry_name,
        "registry_version": origin.registry_version,
        "flavor": flavors[0],
        "signature": json.dumps(recorded.signature.to_dict()),
        "contract_hash": made.hash,
        "digest": digest,
        "files": files,
        "metrics": origin.metrics,
        "packages": {name: importlib.metadata.version(name) for name in _RECORDED_PACKAGES},
    }


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
