"""Logs in Parquet files that were prepared, in local folders and at remote URLs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec  # type: ignore[import-untyped]  # it publishes no types
import pytest

from bentos.records.parquet.store import ParquetStore


@pytest.fixture(params=["folder", "file", "memory", "dir"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ParquetStore]:
    """A log that was prepared: a local one, named in both ways, and two remote ones."""
    location = {
        "folder": str(tmp_path / "log"),
        "file": f"file://{tmp_path}/log",
        "memory": f"memory://{tmp_path.name}/log",
        # No object store to fsspec: a file is written under another name and moved.
        "dir": f"dir::memory://{tmp_path.name}/log",
    }[request.param]
    opened = ParquetStore(location)
    opened.prepare()
    yield opened
    opened.close()
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of `local`."""
    return tmp_path / "log"


@pytest.fixture
def local(folder: Path) -> ParquetStore:
    """A log in a local folder that was prepared."""
    opened = ParquetStore(str(folder))
    opened.prepare()
    return opened
