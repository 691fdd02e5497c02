"""Models of each task in MLflow's registry, in versions that a gate has to tell apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests import models

KINDS = ("binary", "multiclass", "regression")


def register(name: str, folder: Path, home: Path) -> None:
    """Log a model's folder in a run and register it as the next version of a name."""
    client = mlflow.MlflowClient()
    try:
        client.get_registered_model(name)
    except mlflow.exceptions.MlflowException:
        client.create_registered_model(name)
    experiment = mlflow.get_experiment_by_name("commands")
    number = (
        mlflow.create_experiment("commands", artifact_location=home.as_uri())
        if experiment is None
        else experiment.experiment_id
    )
    with mlflow.start_run(experiment_id=number) as run:
        mlflow.log_artifacts(str(folder), "model")
    client.create_model_version(name, f"{run.info.artifact_uri}/model", run_id=run.info.run_id)


def shuffled(kind: str, frame: pd.DataFrame) -> Any:
    """A model whose target has nothing to do with its rows: of the same contract, and worse."""
    mixed = frame.sample(frac=1.0, random_state=3).reset_index(drop=True)
    fit = {
        "binary": models.binary,
        "multiclass": models.multiclass,
        "regression": models.regression,
    }[kind]
    model = fit(frame)
    target = model.predict(mixed)
    return type(model)(**model.get_params()).fit(frame, target)


@pytest.fixture(scope="session")
def gated(
    folders: dict[str, Path], frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Registered names by kind.

    Version 1 is the test model, version 2 learned a shuffled target, version 3 (of the binary
    one) has a feature less.
    """
    home = tmp_path_factory.mktemp("gated")
    names = {}
    for kind in KINDS:
        names[kind] = f"gate-{kind}"
        register(names[kind], folders[kind], home)
        classes = ["high", "low", "middle"] if kind == "multiclass" else None
        worse = models.log(shuffled(kind, frame), frame, home / kind, classes=classes)
        register(names[kind], worse, home)
    narrow = frame.drop(columns="weight")
    target = (models.signal(frame) > np.median(models.signal(frame))).astype(int)
    smaller = type(models.binary(frame))(n_estimators=10, verbose=-1, num_threads=1)
    smaller.fit(narrow, target)
    register(names["binary"], models.log(smaller, narrow, home / "narrow"), home)
    return names
