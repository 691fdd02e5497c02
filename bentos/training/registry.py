"""Who is champion: MLflow's registry, its aliases, and the comparison that moves them.

A version carries tags with the digests of its data and settings, so that a second training
with the same of both can be recognised.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lightgbm
import mlflow
import numpy as np
from mlflow.exceptions import MlflowException

from bentos.model.intake import aliases
from bentos.training import candidates
from bentos.training.tasks import registry as tasks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow.entities.model_registry import ModelVersion
    from numpy.typing import NDArray

    from bentos.training.data import Dataset
    from bentos.training.settings import RegistrySettings

CHAMPION = "champion"
CHALLENGER = "challenger"
DATA_TAG = "tabserve.data_digest"
SETTINGS_TAG = "tabserve.settings_digest"


class IncomparableError(Exception):
    """The present champion cannot score the rows of this data set; says why."""


@dataclass(frozen=True)
class Verdict:
    """The alias that a model deserves, and one sentence why."""

    alias: str
    reason: str


def find_champion(name: str) -> ModelVersion | None:
    """The version that has the alias `champion`, None if there is no such model or alias."""
    try:
        return mlflow.MlflowClient().get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def is_same(version: ModelVersion, data_digest: str, settings_digest: str) -> bool:
    """Whether a version was trained on this data with these settings."""
    tags = version.tags
    return bool(tags.get(DATA_TAG) == data_digest and tags.get(SETTINGS_TAG) == settings_digest)


def judge(
    name: str, value: float, test: Dataset, data_digest: str, settings: RegistrySettings
) -> Verdict:
    """Compare a new model's deciding metric with the bar and with the champion's on these rows.

    `value`: of the new model on `test`. `data_digest`: of all the data, not of `test` alone.
    """
    task = tasks.pick(test.task)
    deciding, title = task.deciding, task.deciding.title
    bar = settings.minimum_auc
    if bar is not None and value < bar:
        return Verdict(CHALLENGER, f"{title} {value:.4f} is under the bar of {bar:.4f}")
    champion = find_champion(name)
    if champion is None:
        return Verdict(CHAMPION, "there was no champion")
    present = f"the champion (version {champion.version})"
    try:
        its_scores = score(champion, test)
    except IncomparableError as error:
        return Verdict(CHALLENGER, f"{present} cannot be compared: {error}")
    # The deciding metric of no task depends on a threshold.
    its_value = task.measure(test.outcomes, its_scores, 0.5)[deciding.metric]
    margin = settings.margin
    remark = ""
    if champion.tags.get(DATA_TAG) != data_digest:
        # It may have seen some of these rows in its training.
        remark = "; it was trained on other data, which may flatter it here"
    said = f"{value:.4f} against {its_value:.4f} of {present}, margin {margin:g}{remark}"
    if deciding.gain(value, its_value) > margin:
        return Verdict(CHAMPION, f"better on the same rows: {title} {said}")
    return Verdict(CHALLENGER, f"not better by the margin on the same rows: {title} {said}")


def score(version: ModelVersion, rows: Dataset) -> NDArray[np.float64]:
    """Score rows with a registered LightGBM model, as `Candidate.score` says.

    Raises IncomparableError if it takes other features, has other classes, or is no LightGBM
    model of this task.
    """
    try:
        model = mlflow.lightgbm.load_model(f"models:/{version.name}/{version.version}")
    except (MlflowException, OSError):
        raise IncomparableError("it cannot be loaded as a LightGBM model") from None
    is_regression = rows.task == "regression"
    kind = lightgbm.LGBMRegressor if is_regression else lightgbm.LGBMClassifier
    if not isinstance(model, kind):
        raise IncomparableError(
            f"it is no LightGBM {'regressor' if is_regression else 'classifier'}"
        )
    if not is_regression and model.classes_.tolist() != list(rows.classes):
        raise IncomparableError("it has other classes")
    # LightGBM writes spaces in names as underscores.
    columns = {str(name).replace(" ", "_"): name for name in rows.features}
    lacking = [name for name in model.feature_name_ if name not in columns]
    if lacking:
        raise IncomparableError(f"the data have no column {lacking[0]!r}, which it needs")
    try:
        taken = rows.features[[columns[name] for name in model.feature_name_]]
        return candidates.score(model, rows.task, taken)
    except (lightgbm.basic.LightGBMError, ValueError):
        raise IncomparableError("it takes columns of other types") from None


def register(name: str, model_uri: str, alias: str, tags: Mapping[str, str]) -> ModelVersion:
    """Register a logged model as a new version and give it the alias."""
    # MLflow reports every step on the error stream; the caller has its own messages.
    with contextlib.redirect_stderr(io.StringIO()):
        version = mlflow.register_model(model_uri, name, tags=dict(tags))
    aliases.move(name, alias, str(version.version))
    return version
