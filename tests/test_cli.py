"""The command line: what it lists, and what it says of a failure."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner, Result

from bentos.cli import EXTRAS, LazyGroup, main
from bentos.errors import StoreDown


def run(*arguments: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, arguments)


def test_help_lists_every_command_in_whole_sentences() -> None:
    """Each command has one line under its section, and no line is cut off."""
    result = run("--help")
    assert result.exit_code == 0
    for title, names in LazyGroup.sections.items():
        _, found, section = result.output.partition(f"{title}:\n")
        assert found
        lines = section.partition("\n\n")[0].splitlines()
        assert [line.split()[0] for line in lines] == list(names)
        assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []
    assert len(LazyGroup.modules) == sum(map(len, LazyGroup.sections.values()))


@pytest.mark.parametrize("name", sorted(LazyGroup.modules))
def test_every_command_explains_itself(name: str) -> None:
    """A command's help begins with an imperative sentence; every option has a text."""
    assert importlib.util.find_spec(LazyGroup.modules[name]) is not None
    with click.Context(main) as context:
        command = main.get_command(context, name)
    assert command is not None
    assert command.help is not None
    assert command.help[0].isupper()
    assert command.help.splitlines()[0].endswith(".")
    options = [one for one in command.params if isinstance(one, click.Option)]
    assert [option.name for option in options if not option.help] == []
    assert [one.name for one in options if one.help and not one.help.endswith(".")] == []


def test_version() -> None:
    """The version is that of the package."""
    from importlib.metadata import version

    assert version("tabserve") in run("--version").output


def test_list_of_commands_needs_no_heavy_package() -> None:
    """`tabserve --help` imports neither BentoML, MLflow, pandas nor numpy."""
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom bentos.cli import main\n"
        "CliRunner().invoke(main, ['--help'])\n"
        "print(sorted({'bentoml', 'mlflow', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (StoreDown("the log is away"), "the log is away"),
        (
            ModuleNotFoundError("No module named 'optuna.trial'", name="optuna.trial"),
            "this command needs optuna: pip install 'tabserve[train]'",
        ),
        (FileNotFoundError(2, "No such file or directory", "rows.csv"), "rows.csv"),
        (ValueError("age 36 of Ada"), "ValueError in fail (test_cli.py:"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_is_one_line(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a command raises becomes one line and exit 1; no unexpected text is shown."""

    @click.command("diff")
    def fail() -> None:
        raise error

    monkeypatch.setattr(LazyGroup, "get_command", lambda *_: fail)
    result = run("diff")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert line in result.stderr
    assert "Ada" not in result.stderr
    assert run("--debug", "diff").exception is error


def test_packages_of_extras_are_those_of_the_project() -> None:
    """Each package that an extra is named for is installed by that extra."""
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    for extra, packages in EXTRAS.items():
        listed = " ".join(extras[extra]).replace("scikit-learn", "sklearn")
        assert [package for package in packages if package not in listed] == []


def test_unknown_command() -> None:
    """An unknown command is a usage error."""
    assert run("score-all").exit_code == 2
