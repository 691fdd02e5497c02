"""Each task from a table to scores: trained, imported, scored, on names as people write them."""

from __future__ import annotations

import csv
from pathlib import Path

import bentoml
import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from bentos.cli import main
from bentos.model import bundle, store
from bentos.model.intake import importing
from bentos.training import registry
from tests.training.conftest import SMALL, Outcome, run

pytestmark = pytest.mark.usefixtures("store")

SETTINGS = [one for one in SMALL if not one.startswith("data.rows")]


def make_houses(count: int = 1200) -> pd.DataFrame:
    """Rents and kinds of homes, with a space, an umlaut, gaps, integers and booleans."""
    generator = np.random.default_rng(8)
    size = generator.gamma(6.0, 12.0, count).round(1)
    rooms = generator.integers(1, 7, count)
    district = generator.choice(["Süd", "Nord", "Mitte"], count).astype(object)
    rent = 9.0 * size * (1.0 + 0.5 * (district == "Mitte") * (rooms > 3)) + 20 * rooms**2
    kind = np.select([rooms * size > 350, (district == "Süd") & (rooms > 2)], ["Haus", "Loft"], "")
    homes = pd.DataFrame(
        {
            "Wohnfläche in m²": size,
            "Zimmer": rooms,
            "Bezirk der Stadt": district,
            "möbliert": generator.random(count) < 0.3,
            "Miete": (rent + generator.normal(0.0, 30.0, count)).round(2),
            "Art": np.where(kind == "", "Wohnung", kind),
        }
    )
    homes.loc[homes.index % 9 == 0, ["Wohnfläche in m²", "Bezirk der Stadt"]] = None
    return homes


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The homes as a CSV."""
    path = tmp_path_factory.mktemp("homes") / "homes.csv"
    make_houses().to_csv(path, index=False)
    return path


def train(homes: Path, name: str, target: str, drop: str, *more: str) -> Outcome:
    """Train on the homes."""
    return run(
        "--data", str(homes), "--name", name, "--target", target, "--drop", drop, *SETTINGS, *more
    )


def score(homes: Path, name: str, folder: Path) -> tuple[list[dict[str, str]], store.StoredModel]:
    """Import the champion and score the table with `tabserve predict`, as a user does."""
    imported = importing.import_model(f"models:/{name}@champion")
    assert imported.warnings == ()
    scored = folder / "scored.csv"
    result = CliRunner().invoke(main, ["predict", name, str(homes), "--output", str(scored)])
    assert result.exit_code == 0, result.output
    assert "1,200 rows scored, 0 refused" in result.stderr
    with scored.open(newline="") as lines:
        return list(csv.DictReader(lines)), store.open_model(bentoml.models.get(imported.tag))


def read_model(name: str) -> tuple[Path, pd.DataFrame, np.ndarray]:
    """The registered model's files, and its golden rows with their scores."""
    version = mlflow.MlflowClient().get_model_version_by_alias(name, "champion")
    folder = Path(mlflow.artifacts.download_artifacts(version.source))
    rows, scores = bundle.read_scored_rows(folder / bundle.FOLDER / bundle.GOLDEN)
    return folder, rows, scores


def figures_of(outcome: Outcome) -> set[str]:
    """Names of the pictures that LightGBM's run has."""
    listed = mlflow.MlflowClient().list_artifacts(outcome.run_of("lightgbm"), "figures")
    return {Path(item.path).stem for item in listed}


def test_a_number(homes: Path, tmp_path: Path) -> None:
    """Regression: metrics in the target's unit, no threshold, and the model's own values."""
    outcome = train(
        homes, "rents", "Miete", "Art", "--require", "r2>=0.5", "--require", "mae<=500",
        'fairness.slices=[{column: "Bezirk der Stadt"}, {column: Zimmer, edges: [3]}]',
    )  # fmt: skip
    assert outcome.exit_code == 0, outcome.output
    assert "Miete is a number: learning its value" in outcome.output
    assert "score: value of Miete, in its own unit" in outcome.output
    assert "linear_regression" in outcome.output
    assert "card: rents version 1: rmse " in outcome.output
    assert figures_of(outcome) == {"predicted", "errors", "calibration", "importance"}
    metrics = mlflow.get_run(outcome.run_of("lightgbm")).data.metrics
    assert metrics["test_rows"] == 240
    assert "fairness_Bezirk_der_Stadt_Mitte_mean_error" in metrics
    assert "threshold" not in metrics
    folder, rows, scores = read_model("rents")
    card = (folder / bundle.FOLDER / bundle.CARD).read_text()
    assert "Its score is the value of `Miete`, in its own unit." in card
    assert "`r2>=0.5` (met), `mae<=500` (met)" in card
    assert "| Zimmer: under 3 |" in card
    assert bundle.find(folder, bundle.DECISION) is None
    model = mlflow.lightgbm.load_model(str(folder))
    assert np.asarray(model.predict(rows)).tobytes() == scores[:, 0].tobytes()

    answers, opened = score(homes, "rents", tmp_path)
    assert opened.contract.task == "regression"
    assert [one.name for one in opened.contract.features][:3] == [
        "Wohnfläche in m²",
        "Zimmer",
        "Bezirk der Stadt",
    ]
    found = np.array([float(row["score"]) for row in answers])
    assert 1 - np.var(found - make_houses()["Miete"]) / np.var(make_houses()["Miete"]) > 0.5

    again = train(homes, "rents", "Miete", "Art")
    assert "as challenger: not better by the margin on the same rows: RMSE" in again.output
    refused = train(homes, "rents", "Miete", "Art", "--require", "roc_auc>=0.5")
    assert refused.exit_code == 1
    assert "there is no metric 'roc_auc' of a regression target" in refused.output


def test_several_classes(homes: Path, tmp_path: Path) -> None:
    """Several classes: a probability of each, and the label is the most probable."""
    outcome = train(
        homes, "kinds", "Art", "Miete", "--require", "accuracy>=0.6",
        "fairness.slices=[{column: möbliert}]",
    )  # fmt: skip
    assert outcome.exit_code == 0, outcome.output
    assert "Art has 3 values: learning the probability of each\n" in outcome.output
    assert figures_of(outcome) == {"confusion", "classes", "calibration", "importance"}
    folder, rows, scores = read_model("kinds")
    model = mlflow.lightgbm.load_model(str(folder))
    assert model.classes_.tolist() == ["Haus", "Loft", "Wohnung"]
    assert np.asarray(model.predict_proba(rows)).tobytes() == scores.tobytes()
    card = (folder / bundle.FOLDER / bundle.CARD).read_text()
    assert "probability of each of the 3 values of `Art`" in card
    assert "| möbliert: True |" in card
    assert "a threshold is of binary targets only" in card

    answers, opened = score(homes, "kinds", tmp_path)
    assert opened.contract.classes == ("Haus", "Loft", "Wohnung")
    assert set(answers[0]) == {
        "row",
        "score_Haus",
        "score_Loft",
        "score_Wohnung",
        "label",
        "faults",
    }
    for row in answers[:50]:
        chances = {name: float(row[f"score_{name}"]) for name in opened.contract.classes}
        assert row["label"] == max(chances, key=lambda name: chances[name])
    right = np.mean([row["label"] for row in answers] == make_houses()["Art"])
    assert right > 0.7
    version = registry.find_champion("kinds")
    assert version is not None
    assert "test_log_loss" in version.tags


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "binary"], "has 3 different values, not two"),
        (["--task", "regression"], "is no number: a regression cannot be learned"),
        (["registry.minimum_auc=0.7"], "registry.minimum_auc is a bar for binary targets"),
        (["--require", "rmse<=1"], "there is no metric 'rmse' of a multiclass target"),
    ],
)
def test_what_does_not_apply_is_said(arguments: list[str], words: str, homes: Path) -> None:
    """An option that a task has no use for is one line, before anything is trained."""
    outcome = train(homes, "never", "Art", "Miete", *arguments)
    assert outcome.exit_code == 1
    assert words in outcome.output.splitlines()[-1]
    assert registry.find_champion("never") is None
