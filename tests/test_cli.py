"""The command line: what it says, and with which exit code."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from bentos.cli import main
from bentos.model import bundle, contract
from tests.rows import PLAIN, WIDE


def run(*arguments: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, arguments)


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory of its own: nothing is written into the project."""
    monkeypatch.chdir(tmp_path)


def test_help() -> None:
    """The help lists every command, those that need an extra included."""
    result = run("--help")
    assert result.exit_code == 0
    log = ("export", "forget", "migrate", "performance", "records", "replay", "retention")
    for command in ("import", "diff", "train", *log):
        assert f"  {command} " in result.output


def test_version() -> None:
    """The version is that of the package."""
    from importlib.metadata import version

    assert version("tabserve") in run("--version").output


def test_import(folders: dict[str, Path], tmp_path: Path) -> None:
    """A model is imported, with its warnings on standard error and the next command at the end."""
    copied = Path(shutil.copytree(folders["binary"], tmp_path / "by-command"))
    (copied / bundle.FOLDER / bundle.DECISION).unlink()
    result = run("import", str(copied), "--name", "by-command")
    assert result.exit_code == 0
    first, last = result.stdout.splitlines()
    assert first.startswith("imported by-command:")
    assert "(binary, 6 features, booster, contract " in first
    assert last.startswith("serve it: TABSERVE_MODEL=by-command:")
    assert result.stderr == (
        "warning: no decision.json was logged: labels change at a probability of 0.5\n"
    )
    again = run("import", str(copied), "--name", "by-command")
    assert again.stdout.startswith("already in the store: by-command:")


def test_import_refused() -> None:
    """A model that cannot be imported is exit code 1 and one line."""
    result = run("import", "models:/Nobody@champion")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: MLflow does not have models:/Nobody@champion: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [
        (("import", "somewhere"), "bentos.model.intake.tracking", "mlflow"),
        (("train",), "bentos.training.command", "train"),
    ],
)
def test_extra_is_missing(
    command: tuple[str, ...], module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command whose packages are not installed names the extra that has them."""
    # None in sys.modules is Python's own way to say that a module cannot be imported.
    monkeypatch.setitem(sys.modules, module, None)
    parent, _, name = module.rpartition(".")
    if parent in sys.modules:
        monkeypatch.delattr(sys.modules[parent], name, raising=False)
    result = run(*command)
    assert result.exit_code == 1
    assert f"pip install 'tabserve[{extra}]'" in result.stderr


def test_unknown_command() -> None:
    """An unknown command is a usage error."""
    assert run("serve").exit_code == 2


# ---- diff


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
