"""`tabserve import`: what it says, and with which exit code."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bentos.cli import main
from bentos.model import bundle


def run(*arguments: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, arguments)


def test_import(folders: dict[str, Path], tmp_path: Path) -> None:
    """A model is imported, with its warnings on standard error and the next command at the end."""
    copied = Path(shutil.copytree(folders["binary"], tmp_path / "by-command"))
    (copied / bundle.FOLDER / bundle.DECISION).unlink()
    result = run("import", str(copied), "--name", "by-command")
    assert result.exit_code == 0
    first, last = result.stdout.splitlines()
    assert first.startswith("imported by-command:")
    assert "(binary, 6 features, booster, contract " in first
    assert last.startswith("next: tabserve serve by-command:")
    assert result.stderr == (
        "warning: no decision.json was logged: labels change at a probability of 0.5\n"
    )
    again = run("import", str(copied), "--name", "by-command")
    assert again.stdout.startswith("already in the store: by-command:")


def test_import_refused() -> None:
    """A model that cannot be imported is exit code 1 and one line."""
    result = run("import", "models:/Nobody@champion")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: MLflow does not have models:/Nobody@champion: ")
    assert result.stderr.count("\n") == 1


def test_no_place_at_all_is_refused_before_mlflow_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is neither a URI nor a path needs no library to be refused."""
    monkeypatch.setitem(sys.modules, "bentos.model.intake.tracking", None)
    began = time.monotonic()
    result = run("import", "nope")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: nope is neither a models: or runs: URI nor a folder")
    assert time.monotonic() - began < 1.0
