"""`tabserve diff`: contracts compared, and its exit codes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from bentos.cli import main
from bentos.model import contract
from tests.rows import PLAIN, WIDE


def run(*arguments: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Contracts as files: one, one with a harmless change, one with a breaking change."""
    threshold = msgspec.structs.replace(PLAIN, threshold=0.5)
    made = {"plain": PLAIN, "wide": WIDE, "threshold": threshold}
    for name, one in made.items():
        (tmp_path / name).write_bytes(contract.dump(one))
    return {name: str(tmp_path / name) for name in made}


def test_same(files: dict[str, str]) -> None:
    """No change is exit code 0."""
    result = run("diff", files["plain"], files["plain"])
    assert (result.exit_code, result.output) == (0, "no change that a client could notice\n")


def test_harmless(files: dict[str, str]) -> None:
    """Changes that break nobody are listed, with exit code 0."""
    result = run("diff", files["plain"], files["threshold"])
    assert result.exit_code == 0
    assert result.output == "ok        (answer): threshold changed from None to 0.5\n"


def test_breaking(files: dict[str, str]) -> None:
    """A breaking change is exit code 1, the others listed beside it."""
    result = run("diff", files["plain"], files["wide"])
    assert result.exit_code == 1
    assert "BREAKING  note: added, required\n" in result.output
    assert "ok        bonus: added, optional\n" in result.output


def test_tags(imported: dict[str, str], files: dict[str, str]) -> None:
    """Bento tags are compared as files are."""
    assert run("diff", imported["binary"], imported["binary"]).exit_code == 0
    result = run("diff", imported["binary"], imported["regression"])
    assert result.exit_code == 1
    assert "task changed from binary to regression" in result.output


@pytest.mark.parametrize("source", ["nothing:here", "no-such-file.json"])
def test_unreadable(source: str, files: dict[str, str]) -> None:
    """What cannot be read is exit code 2: 1 would mean that clients break."""
    result = run("diff", source, files["plain"])
    assert result.exit_code == 2
    assert f"{source} is neither a contract file nor a model" in result.stderr


def test_no_contract(files: dict[str, str], tmp_path: Path) -> None:
    """A file that is no contract is exit code 2 too."""
    (tmp_path / "other.json").write_text("{}")
    assert run("diff", files["plain"], "other.json").exit_code == 2
