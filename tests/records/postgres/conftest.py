"""The log in PostgreSQL, and servers and roles of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from psycopg import sql

from bentos.records.store import Store
from tests.records.postgresql import Server

# Roles are of the whole server, which lives as long as the session.
_numbers = count(1)


@pytest.fixture
def store(database: str, open_log: Callable[[str], Store]) -> Store:
    """An empty log, as its owner."""
    return open_log(database)


@pytest.fixture(scope="module")
def fragile() -> Iterator[Server]:
    """A server that tests may end; its databases belong to a role without CREATEROLE."""
    server = Server()
    server.execute(sql.SQL("CREATE ROLE plain LOGIN").format())
    yield server
    server.close()


@pytest.fixture
def logins(server: Server) -> Callable[..., str]:
    """Make a role that logs in, a member of a group where one is named."""

    def make(group: str | None = None) -> str:
        login = f"login_{next(_numbers)}"
        server.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(login)))
        if group is not None:
            server.execute(
                sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(login))
            )
        return login

    return make
