from __future__ import annotations

import json
from pathlib import Path

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run
from mlflow.models import get_model_info

from bentos.model import bundle
from bentos.training import registry
from bentos.training.data import Dataset
from tests.training.conftest import Outcome

pytestmark = pytest.mark.usefixtures("store")
CANDIDATES = ("logistic_regression", "random_forest", "lightgbm")
METRICS = (
    "roc_auc",
    "pr_auc",
    "ks",
    "gini",
    "brier",
    "log_loss",
    "precision",
    "recall",
    "f1",
    "accuracy",
    "calibration_error",
    "calibration_gap",
)
URI = "models:/credit-default/1"


@pytest.fixture(scope="module")
def model_folder(first: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first registered model's files."""
    assert first.exit_code == 0, first.output
    version = mlflow.MlflowClient().get_model_version("credit-default", "1")
    target = tmp_path_factory.mktemp("model")
    return Path(download_artifacts(version.source, dst_path=str(target)))


def get(first: Outcome, candidate: str) -> Run:
    """A candidate's run."""
    return mlflow.get_run(first.run_of(candidate))


def test_candidates_are_runs_under_one_parent(first: Outcome) -> None:
    """Three finished children in the parent's experiment, named after their candidate."""
    runs = [get(first, candidate) for candidate in CANDIDATES]
    parents = {run.data.tags["mlflow.parentRunId"] for run in runs}
    assert len(parents) == 1
    parent = mlflow.get_run(parents.pop())
    assert {run.info.experiment_id for run in runs} == {parent.info.experiment_id}
    assert [run.info.run_name for run in runs] == list(CANDIDATES)
    assert {run.info.status for run in [parent, *runs]} == {"FINISHED"}
    assert parent.data.params["data.rows"] == "3000"


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_every_run_logs_its_metrics(first: Outcome, candidate: str) -> None:
    """Every metric on test and validation rows, the threshold, and both groups of sex."""
    metrics = get(first, candidate).data.metrics
    for name in METRICS:
        assert np.isfinite(metrics[f"test_{name}"])
        assert np.isfinite(metrics[f"validation_{name}"])
    assert 0 < metrics["threshold"] < 1
    for rate in ("roc_auc", "approval_rate", "false_negative_rate"):
        assert f"fairness_sex_female_{rate}" in metrics
        assert f"fairness_age_under_30_{rate}" in metrics


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_every_run_logs_its_pictures(first: Outcome, candidate: str) -> None:
    """Five pictures each, and LightGBM's importance."""
    run = get(first, candidate)
    listed = mlflow.MlflowClient().list_artifacts(run.info.run_id, "figures")
    expected = {"roc", "precision_recall", "calibration", "confusion", "scores"}
    if candidate == "lightgbm":
        expected |= {"importance"}
    assert {Path(item.path).stem for item in listed} == expected


def test_a_part_has_its_number_of_rows(first: Outcome) -> None:
    """How many rows a metric stands on is a metric too: drift of performance needs it."""
    metrics = get(first, "lightgbm").data.metrics
    assert (metrics["test_rows"], metrics["validation_rows"]) == (600, 600)


def test_artifacts_stay_in_the_data_directory(first: Outcome, folder: Path) -> None:
    """Parent and children write into the folder of the database, not into the current folder."""
    for candidate in CANDIDATES:
        assert get(first, candidate).info.artifact_uri.startswith((folder / "mlartifacts").as_uri())


def test_data_digest_is_logged(first: Outcome) -> None:
    """Each run names its three parts with a digest over all their rows."""
    logged = get(first, "lightgbm").inputs
    assert logged is not None
    inputs = logged.dataset_inputs
    contexts = {item.tags[0].value: item.dataset.digest for item in inputs}
    assert set(contexts) == {"training", "validation", "test"}
    assert len(set(contexts.values())) == 3
    assert {item.dataset.name for item in inputs} == {"credit-default"}


def test_search_is_logged_as_a_curve(first: Outcome) -> None:
    """One point for each of the two trials."""
    history = mlflow.MlflowClient().get_metric_history(
        first.run_of("lightgbm"), "trial_validation_roc_auc"
    )
    assert [point.step for point in history] == [0, 1]


def test_signature_is_what_clients_send(first: Outcome, reference: Dataset) -> None:
    """Strings for categories, doubles for numbers, in the order of training; labels come out."""
    assert first.exit_code == 0
    signature = get_model_info(URI).signature
    types = {item.name: item.type.name for item in signature.inputs}
    assert list(types) == list(reference.features.columns)
    assert {name for name, kind in types.items() if kind == "string"} == {
        "sex",
        "education",
        "marriage",
    }
    assert set(types.values()) == {"string", "double"}
    assert signature.outputs.inputs[0].type == np.dtype("int64")


def test_golden_scores_are_the_logged_models(model_folder: Path) -> None:
    """The model that comes out of MLflow scores the golden rows to the last bit."""
    model = mlflow.lightgbm.load_model(str(model_folder))
    rows, scores = bundle.read_scored_rows(model_folder / bundle.FOLDER / bundle.GOLDEN)
    assert len(rows) == 256
    assert rows.isna().any(axis=1).sum() >= rows.shape[1]
    assert model.predict_proba(rows)[:, 1].tobytes() == scores[:, 0].tobytes()


def test_booster_alone_gives_the_golden_scores(model_folder: Path) -> None:
    """The booster's text with category codes by hand scores as the classifier does."""
    model = mlflow.lightgbm.load_model(str(model_folder))
    rows, scores = bundle.read_scored_rows(model_folder / bundle.FOLDER / bundle.GOLDEN)
    booster = lightgbm.Booster(model_str=model.booster_.model_to_string())
    encoded = np.column_stack(
        [
            rows[name].cat.codes.astype(float).replace(-1.0, np.nan)
            if isinstance(rows[name].dtype, pd.CategoricalDtype)
            else rows[name]
            for name in rows
        ]
    )
    assert np.asarray(booster.predict(encoded)).tobytes() == scores[:, 0].tobytes()


def test_all_evidence_travels(model_folder: Path, first: Outcome, reference: Dataset) -> None:
    """Reference, golden rows, decision, descriptions and card are logged with the model."""
    folder = model_folder / bundle.FOLDER
    rows, scores = bundle.read_scored_rows(folder / bundle.REFERENCE)
    assert rows.shape == (500, 23)
    assert scores.shape == (500, 1)
    decision = json.loads((folder / bundle.DECISION).read_bytes())
    assert decision["threshold"] == get(first, "lightgbm").data.metrics["threshold"]
    assert "validation rows" in decision["method"]
    assert set(json.loads((folder / bundle.FEATURES).read_bytes())) == set(rows.columns)
    assert (folder / bundle.CARD).read_text().startswith("# Model card: credit-default\n")
    assert set(rows.columns) == set(reference.features.columns)


def test_model_names_exact_requirements(model_folder: Path) -> None:
    """Every package that loads the model is pinned to the version that trained it."""
    lines = (model_folder / "requirements.txt").read_text().split()
    assert f"lightgbm=={lightgbm.__version__}" in lines
    assert all("==" in line for line in lines)


def test_input_example_has_plain_values(model_folder: Path) -> None:
    """Three rows of strings and numbers."""
    example = json.loads((model_folder / "input_example.json").read_text())
    assert len(example["data"]) == 3
    assert {type(value) for value in example["data"][0]} == {float, str}


def test_version_carries_the_digests(first: Outcome) -> None:
    """The registered version says on what data and settings it stands."""
    version = mlflow.MlflowClient().get_model_version("credit-default", "1")
    assert len(version.tags[registry.DATA_TAG]) == 32
    assert len(version.tags[registry.SETTINGS_TAG]) == 64
    metrics = get(first, "lightgbm").data.metrics
    assert float(version.tags["test_roc_auc"]) == metrics["test_roc_auc"]
    assert version.run_id == first.run_of("lightgbm")
