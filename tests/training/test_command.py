from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from bentos.model import bundle
from bentos.training import registry
from tests.training.conftest import SMALL, Outcome, make_rows, run

pytestmark = pytest.mark.usefixtures("store")


def champion_of(name: str) -> str | None:
    """The champion's version, None without one."""
    champion = registry.find_champion(name)
    return None if champion is None else str(champion.version)


def count_versions(name: str) -> int:
    """How many versions are registered under a name."""
    return len(mlflow.MlflowClient().search_model_versions(f"name='{name}'"))


def metrics_of(outcome: Outcome) -> dict[str, dict[str, float]]:
    """Every candidate's metrics, without the time that fitting took."""
    found = {}
    for candidate in ("logistic_regression", "random_forest", "lightgbm"):
        metrics = dict(mlflow.get_run(outcome.run_of(candidate)).data.metrics)
        del metrics["fit_seconds"]
        found[candidate] = metrics
    return found


def test_command_tells_what_it_did(first: Outcome) -> None:
    """Table of candidates, version and alias, card line, and what to do next."""
    assert first.exit_code == 0, first.output
    assert "score: probability that default_next_month is 1" in first.output
    assert "registered credit-default version 1 as champion: there was no champion" in first.output
    assert "card: credit-default version 1: roc_auc" in first.output
    assert first.output.endswith("next: tabserve import models:/credit-default@champion\n")
    assert champion_of("credit-default") == "1"


def test_second_run_is_equal_and_no_better(first: Outcome) -> None:
    """The same settings give the same metrics to the last digit; an equal is a challenger.

    `--reuse` then finds the champion and does nothing; `--require-better` registers nothing.
    """
    again = run(*SMALL)
    assert again.exit_code == 0
    assert metrics_of(again) == metrics_of(first)
    assert "as challenger: not better by the margin" in again.output
    assert "models:/credit-default@challenger" in again.output
    assert (champion_of("credit-default"), count_versions("credit-default")) == ("1", 2)

    reused = run(*SMALL, "--reuse")
    assert reused.exit_code == 0
    assert "credit-default version 1 is champion and was trained on the same data" in reused.output
    assert "next: tabserve import models:/credit-default@champion" in reused.output
    assert "parent run" not in reused.output

    refused = run(*SMALL, "--require-better")
    assert refused.exit_code == 1
    assert "nothing registered: not better by the margin" in refused.output
    assert count_versions("credit-default") == 2


def test_any_file_can_be_trained_and_a_better_model_takes_over(mixed: Path) -> None:
    """A CSV of mixed columns makes a model with evidence; a stronger one becomes champion."""
    arguments = ("--data", str(mixed), "--target", "outcome", "--name", "mixed", "data.rows=null")
    weak = run(*arguments, *SMALL[1:], "lightgbm.maximum_trees=2", "--reuse")
    assert weak.exit_code == 0, weak.output
    assert "score: probability that outcome is yes" in weak.output
    assert "registered mixed version 1 as champion" in weak.output
    # Other settings than the champion's: there is nothing to reuse.
    strong = run(*arguments, *SMALL[1:], "--reuse", "--require-better")
    assert strong.exit_code == 0, strong.output
    assert "registered mixed version 2 as champion: better on the same rows" in strong.output
    assert champion_of("mixed") == "2"
    version = mlflow.MlflowClient().get_model_version("mixed", "2")
    folder = Path(mlflow.artifacts.download_artifacts(version.source))
    rows, scores = bundle.read_scored_rows(folder / bundle.FOLDER / bundle.GOLDEN)
    model = mlflow.lightgbm.load_model(str(folder))
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.predict_proba(rows)[:, 1].tobytes() == scores[:, 0].tobytes()


def test_time_column_orders_the_parts_and_bars_refuse(tmp_path: Path) -> None:
    """With --time the latest rows test; a bar that is missed registers nothing, and is kept."""
    rows = make_rows(1500)
    rows = rows.assign(day=pd.date_range("2026-01-01", periods=1500, freq="h").strftime("%FT%H:%M"))
    path = tmp_path / "timed.csv"
    rows.sample(frac=1.0, random_state=1).to_csv(path, index=False)
    arguments = ("--data", str(path), "--target", "outcome", "--name", "timed", "--time", "day")
    outcome = run(
        *arguments, "--drop", "count", "--require", "roc_auc>=0.5", "--require", "brier<=0.01",
        "data.rows=null", *SMALL[1:],
    )  # fmt: skip
    assert outcome.exit_code == 1
    assert "900 training rows, 300 validation rows, 300 test rows" in outcome.output
    assert "nothing registered: brier is 0." in outcome.output
    assert "brier<=0.01 is required" in outcome.output
    assert count_versions("timed") == 0
    run_id = outcome.run_of("lightgbm")
    card = mlflow.artifacts.load_text(f"runs:/{run_id}/model_card.md")
    assert "The parts follow `day`" in card
    assert "`roc_auc>=0.5` (met), `brier<=0.01` (not met)" in card
    parent = mlflow.get_run(run_id).data.tags["mlflow.parentRunId"]
    assert mlflow.get_run(parent).data.params["split.time"] == "day"


def test_model_that_does_not_beat_the_baseline_is_not_registered(tmp_path: Path) -> None:
    """Where a straight line is the truth, LightGBM loses: exit 1, no version, runs kept."""
    rows = make_rows(1500)
    linear = rows.assign(outcome=(rows["second"] + rows["count"] / 9 > 0.5).astype(int))
    path = tmp_path / "linear.parquet"
    linear.to_parquet(path)
    lost = run(
        "--data", str(path), "--target", "outcome", "--name", "linear", *SMALL[1:],
        "lightgbm.maximum_trees=1",
    )  # fmt: skip
    assert lost.exit_code == 1
    assert "does not beat the baseline" in lost.output
    assert champion_of("linear") is None
    assert count_versions("linear") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["lightgbm.trails=1"], 1, "there is no setting 'lightgbm.trails'"),
        (["fairness.slices=[{column: height}]"], 1, "no column 'height'"),
        (["data.rows=20"], 1, "rows of its rarer class"),
        (["--target", "outcome"], 2, "--data and --target go together"),
        (["--data", "nowhere.csv", "--target", "x"], 2, "does not exist"),
        (["--name", "a/b"], 2, "--name may not"),
        (["--name", ""], 2, "--name may not"),
        (["--data", __file__, "--target", "x"], 2, "--data needs --name"),
        (["--drop", "x"], 2, "--drop, --time and --task go with --data"),
        (["--task", "binary"], 2, "--drop, --time and --task go with --data"),
        (["--task", "ranking"], 2, "is not one of 'binary', 'multiclass', 'regression'"),
        (["data.task=ranking"], 1, "setting 'data.task' is out of range"),
        (["split.time=day"], 1, "split.time, data.drop and data.task go with a file"),
        (["--require", "auc=1"], 1, "'auc=1' is no bar"),
        (["--require", "auc>=1"], 1, "there is no metric 'auc'"),
        (["--data", __file__, "--target", "x", "--name", "x", "--drop", "y"], 1, "cannot be read"),
    ],
)
def test_mistakes_get_one_line(arguments: list[str], code: int, words: str) -> None:
    """A user's mistake is an error line and a code, never a trace."""
    outcome = run(*arguments)
    assert outcome.exit_code == code
    assert words in outcome.output
    assert "Traceback" not in outcome.output
    assert outcome.output.splitlines()[-1].startswith("Error: ")


def test_bad_data_never_show_a_value(tmp_path: Path) -> None:
    """The error of a bad file names column and count, and none of its cells."""
    path = tmp_path / "bad.csv"
    rows = make_rows().assign(secret=[f"person-{number}" for number in range(600)])
    rows.to_csv(path, index=False)
    outcome = run("--data", str(path), "--target", "outcome", "--name", "bad")
    assert outcome.exit_code == 1
    assert "column 'secret' has 600 different texts" in outcome.output
    assert "person-" not in outcome.output
    missing = run("--data", str(path), "--target", "result", "--name", "bad")
    assert (missing.exit_code, "no column 'result'" in missing.output) == (1, True)


def test_unusable_store_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracking server that cannot be reached is MLflow's error in one line."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://nowhere")
    path = tmp_path / "rows.csv"
    pd.DataFrame(make_rows()).to_csv(path, index=False)
    outcome = run("--data", str(path), "--target", "outcome", "--name", "rows", *SMALL[1:])
    assert outcome.exit_code == 1
    assert outcome.output.splitlines()[-1].startswith("Error: MLflow: ")


def test_command_is_quick_to_import() -> None:
    """Help needs no learning library: none is imported with the command."""
    code = (
        "import sys, bentos.training.command\n"
        "heavy = {'mlflow', 'lightgbm', 'pandas', 'sklearn', 'optuna', 'matplotlib', 'pandera'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
