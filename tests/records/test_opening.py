"""Which store a URL names."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.errors import ConfigurationError
from bentos.records.opening import open_store
from bentos.records.postgres.store import PostgresStore
from bentos.records.sqlite.store import SqliteStore
from tests.records.predictions import ALL


def test_sqlite_has_a_default_file(tmp_path: Path) -> None:
    """An empty path is records.db under the data directory, which is made."""
    store = open_store("sqlite:///", tmp_path / "data")
    assert isinstance(store, SqliteStore)
    store.prepare()
    store.close()
    assert (tmp_path / "data" / "records.db").exists()


def test_sqlite_takes_a_path(tmp_path: Path) -> None:
    """Four slashes begin an absolute path."""
    store = open_store(f"sqlite:///{tmp_path}/deep/down/log.db")
    store.prepare()
    assert list(store.read(ALL)) == []
    store.close()
    assert (tmp_path / "deep" / "down" / "log.db").exists()


@pytest.mark.parametrize("url", ["postgresql://u:p@host/db", "postgres://host", "postgresql:///db"])
def test_postgresql_by_either_name(url: str) -> None:
    """Both names of the scheme will do, and nothing connects yet."""
    assert isinstance(open_store(url), PostgresStore)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "none",
        "sqlite",
        "sqlite:relative.db",
        "sqlite://host/secret.db",
        "mysql://user:secret@host/db",
        "parquet:",
        "parquet",
        "secret",
        "postgresql",
        "postgresql:secret@host",
        "postgresql://user:secret@host/db?no_such_option=1",
        "postgresql://user:sec%ret@host/db",
    ],
)
def test_what_names_no_store(url: str) -> None:
    """Anything else stops the start, and is not repeated: it may hold a password."""
    with pytest.raises(ConfigurationError) as raised:
        open_store(url).close()
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None
