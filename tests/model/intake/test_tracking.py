"""Where MLflow keeps runs and models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from bentos.model.intake import tracking


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A data directory of its own, and MLflow as it was afterwards."""
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv(tracking.DATA_DIR_VARIABLE, str(tmp_path / "data"))
    monkeypatch.delenv(tracking.URI_VARIABLE, raising=False)
    monkeypatch.setattr(tracking, "_configured", set())
    yield
    mlflow.set_tracking_uri(before)


def test_default(tmp_path: Path) -> None:
    """Without a server runs are kept in one SQLite file under the data directory."""
    uri = tracking.configure()
    assert uri == f"sqlite:///{tmp_path / 'data' / 'mlflow.db'}"
    assert mlflow.get_tracking_uri() == uri
    assert (tmp_path / "data").is_dir()


def test_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data directory is absolute, and `.tabserve` in the working directory by default."""
    assert tracking.data_dir() == tmp_path / "data"
    monkeypatch.delenv(tracking.DATA_DIR_VARIABLE)
    monkeypatch.chdir(tmp_path)
    assert tracking.data_dir() == tmp_path / ".tabserve"
    assert not tracking.data_dir().exists()


def test_server_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """MLFLOW_TRACKING_URI names a server instead, and no folder is made."""
    chosen = f"sqlite:///{tmp_path / 'chosen.db'}"
    monkeypatch.setenv(tracking.URI_VARIABLE, chosen)
    assert tracking.configure() == chosen
    assert mlflow.get_tracking_uri() == chosen
    assert not (tmp_path / "data").exists()


def test_own_copy_is_no_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URI that MLflow copied into its variable is not taken for the user's choice."""
    first = tracking.configure()
    monkeypatch.setenv(tracking.URI_VARIABLE, first)
    monkeypatch.setenv(tracking.DATA_DIR_VARIABLE, str(tmp_path / "other"))
    assert tracking.configure() == f"sqlite:///{tmp_path / 'other' / 'mlflow.db'}"


def test_experiment(tmp_path: Path) -> None:
    """An experiment of the default store keeps its artifacts there; asked again it is the same."""
    tracking.configure()
    made = tracking.open_experiment("first")
    assert tracking.open_experiment("first") == made
    location = mlflow.get_experiment(made).artifact_location
    assert location == (tmp_path / "data" / "mlartifacts").as_uri()


def test_experiment_of_a_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A server decides for itself where its artifacts go."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(tracking.URI_VARIABLE, f"sqlite:///{tmp_path / 'chosen.db'}")
    tracking.configure()
    made = mlflow.get_experiment(tracking.open_experiment("second"))
    assert not str(made.artifact_location).startswith((tmp_path / "data").as_uri())
