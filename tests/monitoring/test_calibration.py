"""The command that measures how often the job is wrong, on a small scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitoring.drift import calibration
from monitoring.drift.sample import read_reference
from tests.monitoring.conftest import QUICK, make_frame, to_parquet


def test_it_measures_what_it_says() -> None:
    """Every kind of trial with one window: nothing drifted is quiet, what was done is found."""
    frame = make_frame(5_000, seed=1)
    frame["region"] = frame["region"].astype("category")
    data = to_parquet(frame)
    contract = calibration.describe(data, 0.5)
    assert [feature.kind for feature in contract.features] == [
        "float", "float", "category", "boolean",
    ]  # fmt: skip
    reference = read_reference(data, contract)
    training = calibration.measure_training(reference.scores[""].to_numpy())
    found = {
        (trial.name, trial.rows): calibration.run(trial, 1, reference, contract, training, QUICK)
        for trial in calibration.list_trials(["income", "age"])
        if trial.rows <= 2_000
    }
    quiet = ("resample", "reference and window share", "KS in any")
    for (name, rows), was_found in found.items():
        # A tenth of a standard deviation is not always found, and need not be.
        if "0.1" not in name:
            assert was_found == (not any(word in name for word in quiet)), (name, rows)


def test_it_writes_both_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command as it is called; one window of one kind here."""
    reference, output = tmp_path / "reference.parquet", tmp_path / "new" / "report.md"
    reference.write_bytes(to_parquet(make_frame(1_500, seed=1)))
    (tmp_path / "decision.json").write_text('{"threshold": 0.4, "method": ""}')
    first = next(iter(calibration.list_trials(["income"])))
    monkeypatch.setattr(calibration, "list_trials", lambda names: [first])
    arguments = ["--reference", str(reference), "--runs", "2", "--output", str(output)]
    assert calibration.main(arguments) == 0
    text = output.read_text()
    assert "| resample of the reference | 500 | 0 of 2 | 0.0% |" in text
    assert "alibi-detect 0.11.4" in text
    assert "## Power" in text


def test_training_metrics_are_those_of_many_rows() -> None:
    """Outcomes drawn from the scores: the Brier score is the mean of p * (1 - p)."""
    scores = np.random.default_rng(1).random(2_000)
    measured = calibration.measure_training(scores)
    assert measured["brier"] == pytest.approx(np.mean(scores * (1 - scores)))
    assert measured["roc_auc"] == pytest.approx(5 / 6, abs=0.01)
