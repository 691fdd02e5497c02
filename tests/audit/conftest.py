"""A log of its own for each test, and the models that answer."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bentos.model.intake import importing
from bentos.model.loading import LoadedModel
from tests.audit import logged


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own, with the default data directory in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TABSERVE_SUBJECT_KEYS", logged.KEYS)
    return tmp_path / ".tabserve"


@pytest.fixture
def log(data_dir: Path) -> Path:
    """Where the default log is; it is not there yet."""
    return data_dir / "records.db"


@pytest.fixture(scope="session")
def served(imported: dict[str, str]) -> dict[str, LoadedModel]:
    """The models of `imported`, as a worker serves them, by kind."""
    return {kind: logged.open_served(tag) for kind, tag in imported.items()}


@pytest.fixture(scope="session")
def rows(frame: pd.DataFrame) -> list[dict[str, object]]:
    """The training rows as clients send them."""
    return logged.values_of(frame)


@pytest.fixture(scope="session")
def pipeline(pipeline_folder: Path) -> LoadedModel:
    """A model that only MLflow runs, as a worker serves it."""
    return logged.open_served(
        importing.import_model(str(pipeline_folder), name="test-audit-pipe", trusts_code=True).tag
    )
