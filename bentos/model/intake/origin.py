"""What MLflow knows of where a model comes from: registry, run, metrics."""

from __future__ import annotations

import json
import math
from pathlib import Path

import mlflow
import msgspec
from mlflow.exceptions import MlflowException
from mlflow.models import Model as MlflowModel

from bentos.errors import IntakeError
from bentos.model.engines.model_code import require_plain_files
from bentos.model.intake.uris import Uri


class Origin(msgspec.Struct, frozen=True):
    """Where a model comes from, as far as its URI and its own records tell.

    `uri`: the model as MLflow is asked for it, with the version resolved. `name`: what
    the Bento model is called by default.
    """

    uri: str
    name: str
    run_id: str = ""
    registry_name: str = ""
    registry_version: str = ""
    metrics: dict[str, float] = {}
    author: str = ""


def find_origin(uri: Uri) -> Origin:
    """Ask the registry and the run behind a URI. Raises IntakeError for what is not there."""
    client = mlflow.MlflowClient()
    try:
        if uri.place in ("alias", "version", "latest"):
            version = _find_version(client, uri)
            run_id = version.run_id or ""
            number = str(version.version)
            found = Origin(
                f"models:/{version.name}/{number}", version.name, run_id, version.name, number
            )
            return _of_run(client, found)
        if uri.place == "logged":
            model = client.get_logged_model(uri.reference)
            run_id = model.source_run_id or ""
            return _of_run(client, Origin(uri.text, model.name, run_id))
        if uri.place == "run":
            client.get_run(uri.reference)
            return _of_run(client, Origin(uri.text, _last(uri.text), uri.reference))
    except MlflowException as error:
        asked = mlflow.get_tracking_uri()
        raise IntakeError(
            f"MLflow does not have {uri.text}: {first_line(error)} (the store that was asked: "
            f"{_without_password(asked)}; MLFLOW_TRACKING_URI names another)"
        ) from None
    if uri.place == "artifact":
        return Origin(uri.text, _last(uri.text))
    run_id = _recorded_run(Path(uri.text))
    return _of_run(client, Origin(uri.text, _last(uri.text), run_id))


def download(origin: Origin, scratch: Path) -> Path:
    """Copy the model's files into a folder of their own. Raises IntakeError."""
    if (folder := Path(origin.uri)).is_dir():
        # MLflow copies what a link leads to, wherever it is.
        require_plain_files(folder)
    try:
        path = mlflow.artifacts.download_artifacts(
            artifact_uri=origin.uri, dst_path=str(scratch / "model")
        )
    except Exception as error:  # each artifact store raises errors of its own
        raise IntakeError(
            f"the files of {origin.uri} cannot be read: {_explain_download(error)}"
        ) from None
    model_dir = Path(path)
    require_plain_files(model_dir)
    if not (model_dir / "MLmodel").is_file():
        raise IntakeError(f"{origin.uri} is not an MLflow model: it has no file named MLmodel")
    # The registry's note of the download, not the model's: it differs between URIs of one model.
    (model_dir / "registered_model_meta").unlink(missing_ok=True)
    return model_dir


def _explain_download(error: BaseException) -> str:
    """MLflow lists the failure of each file after a first line that names none of them."""
    lines = [line.strip("# ") for line in str(error).splitlines() if line.strip("# ")]
    if len(lines) > 2 and "failures occurred while downloading" in lines[0]:
        return f"{lines[1].removeprefix('File ')}: {lines[2]}"
    return first_line(error)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _find_version(
    client: mlflow.MlflowClient, uri: Uri
) -> mlflow.entities.model_registry.ModelVersion:
    if uri.place == "alias":
        return client.get_model_version_by_alias(uri.name, uri.reference)
    if uri.place == "version":
        return client.get_model_version(uri.name, uri.reference)
    client.get_registered_model(uri.name)
    found = client.search_model_versions(f"name = {json.dumps(uri.name, ensure_ascii=False)}")
    if not found:
        raise IntakeError(f"the registered model of {uri.text} has no versions")
    return max(found, key=lambda version: int(version.version))


def _of_run(client: mlflow.MlflowClient, origin: Origin) -> Origin:
    """Add what its run tells."""
    if not origin.run_id:
        return origin
    try:
        data = client.get_run(origin.run_id).data
    except MlflowException:
        # A folder may have been copied from another tracking server.
        return origin
    metrics = {
        name: float(value) for name, value in sorted(data.metrics.items()) if math.isfinite(value)
    }
    author = str(data.tags.get("mlflow.user", ""))
    return msgspec.structs.replace(origin, metrics=metrics, author=author)


def _recorded_run(folder: Path) -> str:
    try:
        return MlflowModel.load(str(folder)).run_id or ""
    except Exception:  # what is wrong with the file is said where it is read for its contents
        return ""


def _last(text: str) -> str:
    return text.rstrip("/").rsplit("/", 1)[-1]


def _without_password(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
