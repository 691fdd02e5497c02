"""A store of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from bentos.records.opening import open_store
from bentos.records.store import Store
from tests.records.postgresql import Server

# The Parquet log needs an extra; without it, it is not there to be tested.
KINDS = [
    "sqlite",
    "postgresql",
    *(["parquet"] if find_spec("bentos.records.parquet.store") else []),
]


@pytest.fixture
def make_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Make an empty log of a kind, and give its URL."""

    def make(kind: str) -> str:
        if kind == "postgresql":
            server: Server = request.getfixturevalue("server")
            return server.make_database()
        return {
            "sqlite": f"sqlite:///{tmp_path}/records.db",
            "parquet": f"parquet:{tmp_path}/parquet",
        }[kind]

    return make


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, make_url: Callable[[str], str]) -> str:
    """URL of an empty log, of each kind in turn."""
    return make_url(request.param)


@pytest.fixture
def open_log() -> Iterator[Callable[[str], Store]]:
    """Open the log at a URL, prepared; it is closed after the test."""
    opened: list[Store] = []

    def open_prepared(url: str) -> Store:
        store = open_store(url)
        opened.append(store)
        store.prepare()
        return store

    yield open_prepared
    for store in opened:
        store.close()


@pytest.fixture
def store(url: str, open_log: Callable[[str], Store]) -> Store:
    """An empty log of each kind in turn."""
    return open_log(url)
