"""The service in this process and in processes of its own, on real models."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from bentos.model import bundle
from bentos.model.intake import importing
from tests import models
from tests.service.checks import rows_of
from tests.service.driver import App, serving
from tests.service.process import Server, server


@pytest.fixture(scope="session")
def quick(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Tags of the models of `folders` without logged golden rows: ready without MLflow."""
    tags = {}
    for kind, folder in folders.items():
        copy = tmp_path_factory.mktemp("quick") / kind
        shutil.copytree(folder, copy)
        (copy / bundle.FOLDER / bundle.GOLDEN).unlink()
        tags[kind] = importing.import_model(str(copy), name=f"quick-{kind}").tag
    return tags


@pytest.fixture(scope="session")
def app(quick: dict[str, str]) -> Iterator[App]:
    """The service on the binary model, as it comes."""
    with serving(quick["binary"]) as started:
        yield started


@pytest.fixture(scope="session")
def two_workers(
    imported: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """`bentoml serve` with two workers on the binary model and its golden rows."""
    folder = tmp_path_factory.mktemp("server")
    settings = {"TABSERVE_MODEL": imported["binary"], "TABSERVE_WORKERS": "2"}
    with server(folder, **settings) as started:
        started.wait_until_ready(workers=2)
        yield started


@pytest.fixture(scope="session")
def fresh() -> pd.DataFrame:
    """200 rows that no model was trained on, all different."""
    return models.training_frame(seed=23, rows=200)


@pytest.fixture(scope="session")
def rows(fresh: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `fresh` as clients send them."""
    return rows_of(fresh)


@pytest.fixture(scope="session")
def scores(trained: dict[str, Any], fresh: pd.DataFrame) -> NDArray[np.float64]:
    """What the binary model itself says of `fresh`, float64 of shape (200,)."""
    return models.scores_of(trained["binary"], fresh)


@pytest.fixture
def row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One good row, free to be changed."""
    return dict(rows[0])
