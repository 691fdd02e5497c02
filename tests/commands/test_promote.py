"""The gate in front of a promotion, the way back, and what both say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from bentos.commands import promote
from bentos.model import naming
from tests import models
from tests.audit import logged
from tests.audit.logged import NOW, run
from tests.commands.conftest import KINDS


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with an own log."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def champion(gated: dict[str, str]) -> Iterator[Callable[[str], str]]:
    """Makes version 1 of a kind champion, without a history; gives its Bento tag."""
    client = mlflow.MlflowClient()

    def make(kind: str) -> str:
        name = gated[kind]
        client.set_registered_model_alias(name, "champion", "1")
        client.set_registered_model_tag(name, "tabserve.champion.history", "")
        imported = run("import", f"models:/{name}/1")
        assert imported.exit_code == 0, imported.output
        return naming.resolve(f"{name}:v1")

    yield make
    for name in gated.values():
        for alias in ("champion", "canary"):
            if champion_of(name, alias) is not None:
                client.delete_registered_model_alias(name, alias)


def champion_of(name: str, alias: str = "champion") -> str | None:
    """The version that has an alias."""
    aliases = mlflow.MlflowClient().get_registered_model(name).aliases
    return None if alias not in aliases else str(aliases[alias])


def write_log(tag: str, frame: pd.DataFrame, outcomes: list[object] | None) -> None:
    """Put the answers of a model to the rows of a frame into the log, with outcomes."""
    served = logged.open_served(tag)
    records = logged.answer(served, logged.values_of(frame), start=NOW - timedelta(minutes=5))
    path = Path(".tabserve/records.db")
    path.parent.mkdir(exist_ok=True)
    logged.write(path, served, records)
    if outcomes is not None:
        with_store = logged.store_of(path)
        with_store.write_outcomes(
            [(one.id, str(value), "") for one, value in zip(records, outcomes, strict=True)]
        )
        with_store.close()


def truth(kind: str, frame: pd.DataFrame) -> list[object]:
    """What came of the rows, as the models of the tests learned it."""
    signal = models.signal(frame)
    if kind == "regression":
        return [float(value) for value in signal]
    if kind == "binary":
        return [int(value) for value in signal > np.median(signal)]
    names = np.array(["low", "middle", "high"])
    return [str(name) for name in names[np.digitize(signal, np.quantile(signal, [1 / 3, 2 / 3]))]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_does_worse_is_not_promoted(
    kind: str, gated: dict[str, str], champion: Callable[[str], str], frame: pd.DataFrame
) -> None:
    """Of each task: outcomes show that the new version is worse, and nothing changes."""
    tag = champion(kind)
    write_log(tag, frame, truth(kind, frame))
    refused = run("promote", gated[kind], "v2", "--since", "1h")
    assert refused.exit_code == 1, refused.output
    assert f"pass    no client of {tag} breaks" in refused.stdout
    metric = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "mae"}[kind]
    assert f"FAIL    {metric} on 600 labelled rows: " in refused.stdout
    assert ": worse" in refused.stdout
    assert refused.stderr.endswith("version 2 is not promoted: see FAIL above\n")
    assert champion_of(gated[kind]) == "1"
    assert naming.resolve(f"{gated[kind]}:latest") == tag
    # The same model again is no worse.
    passed = run("promote", gated[kind], "1", "--since", "1h", "--max-flipped", "0")
    assert passed.exit_code == 0, passed.output
    assert "FAIL" not in passed.stdout


def test_flipped_rows_are_a_condition_where_asked(
    gated: dict[str, str], champion: Callable[[str], str], frame: pd.DataFrame
) -> None:
    """--max-flipped refuses, --force promotes all the same, and a rollback goes back."""
    name = gated["binary"]
    tag = champion("binary")
    write_log(tag, frame.head(50), None)
    refused = run("promote", name, "2", "--since", "1h", "--max-flipped", "0.01")
    assert refused.exit_code == 1
    assert "more than the 1.00% of --max-flipped" in refused.stdout
    assert "unknown 0 rows with an outcome" in refused.stdout
    forced = run("promote", name, "2", "--since", "1h", "--max-flipped", "0.01", "--force")
    assert forced.exit_code == 0, forced.output
    assert "FAIL" in forced.stdout
    assert "champion of gate-binary is version 2, was 1" in forced.stdout
    assert champion_of(name) == "2"
    back = run("rollback", name)
    assert back.exit_code == 0, back.output
    assert "champion of gate-binary is version 1 again, was 2" in back.stdout
    assert f"restart the service: TABSERVE_MODEL={tag}" in back.stdout
    assert champion_of(name) == "1"
    assert naming.resolve(f"{name}:latest") == tag
    again = run("rollback", name)
    assert again.exit_code == 1
    assert again.stderr.startswith("Error: no earlier champion of gate-binary is recorded")
    assert champion_of(name) == "1"


def test_a_contract_that_breaks_clients_is_refused(
    gated: dict[str, str], champion: Callable[[str], str], frame: pd.DataFrame
) -> None:
    """A feature less breaks every client that sends it, and its recorded rows would be refused."""
    tag = champion("binary")
    write_log(tag, frame.head(50), None)
    refused = run("promote", gated["binary"], "3", "--since", "1h")
    assert refused.exit_code == 1
    assert f"FAIL    breaks clients of {tag}: " in refused.stdout
    assert "50 are refused" in refused.stdout
    assert champion_of(gated["binary"]) == "1"


def test_a_dry_run_changes_nothing(
    gated: dict[str, str], champion: Callable[[str], str], frame: pd.DataFrame
) -> None:
    """--dry-run prints the findings, ends with 0 and leaves alias, history and `latest` alone."""
    name = gated["regression"]
    tag = champion("regression")
    write_log(tag, frame, truth("regression", frame))
    dry = run("promote", name, "2", "--since", "1h", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "FAIL    mae on 600 labelled rows" in dry.stdout
    assert champion_of(name) == "1"
    assert naming.resolve(f"{name}:latest") == tag
    tags = mlflow.MlflowClient().get_registered_model(name).tags
    assert tags["tabserve.champion.history"] == ""


def test_the_first_champion_needs_no_log(gated: dict[str, str]) -> None:
    """Without a champion and without a log a version is promoted, and what is not known is said."""
    name = gated["multiclass"]
    first = run("promote", name, "v1", "--alias", "canary")
    assert first.exit_code == 0, first.output
    assert "against no champion" in first.stdout
    assert "unknown no recorded row was compared: " in first.stdout
    assert champion_of(name, "canary") == "1"
    assert "canary of gate-multiclass is version 1\n" in first.stdout
    mlflow.MlflowClient().delete_registered_model_alias(name, "canary")


def test_what_is_missing_for_drift_is_said(
    frame: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model without a reference is served, and drift says that it needs evidence."""
    bare = models.log(models.binary(frame), frame, tmp_path / "bare", with_bundle=False)
    assert run("import", str(bare), "--name", "bare").exit_code == 0
    promote.say_restart(naming.resolve("bare"))
    assert "`tabserve evidence` adds one" in capsys.readouterr().err
