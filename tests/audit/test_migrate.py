"""`tabserve migrate` makes a log, and finds one made."""

from __future__ import annotations

from pathlib import Path

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
