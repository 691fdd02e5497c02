"""Two of the faults, in short; `make test-faults` does all of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bentos.model import bundle
from bentos.model.intake import importing
from tests.faults.catalogue import FAULTS
from tests.faults.trial import run
from tests.records.postgresql import Server as PostgreSQL
from tests.service.checks import rows_of

SHORT = ("kill -9 of the database", "one of two workers frozen (SIGSTOP)")


@pytest.fixture(scope="module")
def tag(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that is ready at once: it has no golden rows."""
    copy = tmp_path_factory.mktemp("faults") / "model"
    shutil.copytree(folders["binary"], copy)
    (copy / bundle.FOLDER / bundle.GOLDEN).unlink()
    return str(importing.import_model(str(copy), name="faults").tag)


@pytest.mark.parametrize("name", SHORT)
def test_promise_is_kept(name: str, tag: str, server: PostgreSQL, frame: pd.DataFrame) -> None:
    """What is promised for the fault holds, under load, with PostgreSQL."""
    (fault,) = [fault for fault in FAULTS if fault.name == name]
    row: dict[str, Any] = rows_of(frame.head(1))[0]
    outcome = run(fault._replace(seconds=2.0), "postgresql", tag, row, server)
    assert not outcome.broken, outcome
