"""`tabserve migrate` makes a log, and finds one made."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg

from tests.audit.logged import run, succeed


def test_migrate(log: Path) -> None:
    """The first run makes the schema, the second finds it up to date; readers then work."""
    for _ in range(2):
        assert succeed("migrate") == "the log's schema is up to date\n"
    assert log.is_file()
    assert succeed("records") == ""


def test_it_cannot(tmp_path: Path) -> None:
    """What cannot be migrated is one line and exit code 1."""
    (tmp_path / "file").write_text("")
    for url in (f"sqlite:///{tmp_path / 'file' / 'records.db'}", "none", "nothing"):
        result = run("migrate", "--store", url)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)


def test_what_was_dropped_is_named(log: Path) -> None:
    """A dropped table is named, by `migrate` and by a reader, with what can be done."""
    succeed("migrate")
    with closing(sqlite3.connect(log)) as connection:
        connection.execute("DROP TABLE outcomes")
    for command in ("migrate", "records"):
        result = run(command)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "the log's schema is damaged: outcomes is missing" in result.stderr
        assert "restore a backup" in result.stderr


def test_what_was_dropped_is_named_in_postgresql(database: str) -> None:
    """The same in PostgreSQL: a table, a view, a function, and the list of migrations."""
    assert "up to date" in succeed("migrate", "--store", database)
    dropped = {
        "VIEW tabserve.drift_predictions": "tabserve.drift_predictions is missing",
        "FUNCTION tabserve.add_outcomes": "tabserve.add_outcomes() are missing",
        "TABLE tabserve.events": "tabserve.events, ",
        "TABLE tabserve.migrations": "tabserve.migrations is missing",
    }
    for what, words in dropped.items():
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(f"DROP {what}".encode())
        result = run("migrate", "--store", database)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert "the log's schema is damaged: " in result.stderr
        assert words in result.stderr
