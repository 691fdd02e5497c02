"""The command that measures how often the job is wrong, on a small scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.model import contract as contracts
from bentos.model.contract import Contract
from monitoring.drift.calibration import __main__ as command
from monitoring.drift.calibration import trials
from tests.monitoring.conftest import make_frame, to_parquet


@pytest.fixture
def two_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """One trial without drift and one with: the others are tested by themselves."""
    listed = list(trials.list_trials(command.describe(to_parquet(make_frame(600, seed=1)), 0.5)))
    chosen = [listed[0], next(trial for trial in listed if "10 %" in trial.name)]
    monkeypatch.setattr(command, "list_trials", lambda _: chosen)


@pytest.mark.usefixtures("two_trials")
def test_it_writes_its_tables(tmp_path: Path) -> None:
    """The command on a reference alone: the tables, what was measured, and on what."""
    reference, output = tmp_path / "reference.parquet", tmp_path / "new" / "report.md"
    reference.write_bytes(to_parquet(make_frame(4_500, seed=1)))
    (tmp_path / "decision.json").write_text('{"threshold": 0.4, "method": ""}')
    arguments = ["--reference", str(reference), "--runs", "2", "--output", str(output)]
    assert command.main(arguments) == 0
    text = output.read_text()
    assert "| resample of the reference | 500 | 0 of 2 | 0.0% |" in text
    assert "found as that alone | 2,000 | 2 of 2 | 100.0% |" in text
    assert "alibi-detect 0.11.4" in text
    assert "| a normal feature moves | by 0.13 standard deviations |" in text


@pytest.mark.usefixtures("two_trials")
def test_it_measures_a_model_of_the_bento_store(tmp_path: Path, contract: Contract) -> None:
    """By its contract, whatever its task: the folder holds all that is needed."""
    folder = tmp_path / "credit" / "v1"
    (folder / "mlflow_model" / "extra_files").mkdir(parents=True)
    (folder / "mlflow_model" / "tabserve").mkdir()
    (folder / "mlflow_model/extra_files/reference.parquet").write_bytes(
        to_parquet(make_frame(4_500, seed=1))
    )
    (folder / "mlflow_model/tabserve/contract.json").write_bytes(contracts.dump(contract))
    output = tmp_path / "report.md"
    arguments = ["--model", str(folder), "--runs", "1", "--output", str(output)]
    assert command.main(arguments) == 0
    assert "Reference: credit:v1, 4,500 rows, 4 features" in output.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "{}/none"], "none: contract.json is missing or cannot be read"),
        (["--reference", "{}/none.parquet"], "none.parquet cannot be read: FileNotFoundError"),
        (["--reference", "{}/damaged"], "damaged cannot be read: ArrowInvalid"),
        (["--reference", "{}/small"], "the reference has 600 rows: two halves of 500 are needed"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It exits 2, and no table is written."""
    (tmp_path / "damaged").write_bytes(b"no Parquet")
    (tmp_path / "small").write_bytes(to_parquet(make_frame(600, seed=1)))
    given = [argument.format(tmp_path) for argument in arguments]
    assert command.main([*given, "--output", str(tmp_path / "out.md")]) == 2
    assert capsys.readouterr().err == f"{message}\n"
    assert not (tmp_path / "out.md").exists()
