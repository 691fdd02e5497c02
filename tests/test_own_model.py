"""The page of one's own model, run as it is written, on a table that is not the reference data."""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner

from bentos.cli import main

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "own-model"
PAGE = (FOLDER / "README.md").read_text()
DRIFT = ROOT / ".venv-drift" / "bin" / "python"
PORT = "3000"


def free_port() -> str:
    """A loopback port that is free at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def read_commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Every command of the console blocks, with the lines that it shows."""
    for block in re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.splitlines()
            yield command, shown


def plain(line: str) -> str:
    """A line without numbers, digests and spacing, which differ from machine to machine."""
    line = re.sub(r"\b[0-9a-f-]*\d[0-9a-f-]*\b", "0", line)
    return " ".join(re.sub(r"[+-]?0([.,]0)*", "0", line).split())


def require_shown(command: str, shown: list[str], output: str) -> None:
    """Fail unless the lines of the page occur in the output, in their order; `...` is anything."""
    lines = iter([plain(line) for line in output.splitlines()])
    for wanted in shown:
        if wanted == "...":
            continue
        expected = plain(wanted.removesuffix("..."))
        is_cut = wanted.endswith("...")
        assert any(line.startswith(expected) if is_cut else line == expected for line in lines), (
            f"$ {command}\nshows no line\n{wanted}\nbut\n{output}"
        )


class Terminal:
    """Types commands as a reader would; those of tabserve run in this process, to be quick.

    MLflow and pandas take ten seconds to import on a busy machine, for each command anew.
    """

    def __init__(self, port: str) -> None:
        self._port = port
        self._server: subprocess.Popen[str] | None = None
        self._open = contextlib.ExitStack()

    def type(self, command: str) -> str:
        """Run one command; gives its output, standard error included. Fails for a failure."""
        command = command.replace(f":{PORT}", f":{self._port}")
        words = shlex.split(os.path.expandvars(command))
        match words:
            case ["export", assignment]:
                name, _, value = assignment.partition("=")
                os.environ[name] = value
                mlflow.set_tracking_uri(value)
                return ""
            case ["python", script, *arguments]:
                return self._script(script, arguments)
            case ["tabserve", "serve", *arguments]:
                return self._serve([word if word != PORT else self._port for word in arguments])
            case ["tabserve", *arguments]:
                result = CliRunner().invoke(main, arguments)
                assert result.exit_code == 0, f"$ {command}\n{result.output}{result.exception!r}"
                return result.output
            case ["make", *_] if not DRIFT.exists():
                if os.environ.get("CI") == "true":
                    pytest.fail("the drift job's environment is missing: make drift-setup")
                return self._skipped
            case _:
                shell = command.replace("~/tabserve", shlex.quote(str(ROOT)))
                done = subprocess.run(
                    ["bash", "-c", shell], capture_output=True, text=True, check=True
                )
                return done.stdout + done.stderr

    # What a reader without the drift job's environment cannot see is not compared.
    _skipped = "the drift job's environment is not here"

    def _script(self, script: str, arguments: list[str]) -> str:
        output = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
            patch.setattr(sys, "argv", [script, *arguments])
            runpy.run_path(script, run_name="__main__")
        return output.getvalue()

    def _serve(self, arguments: list[str]) -> str:
        command = [sys.executable, "-m", "bentos.cli", "serve", *arguments]
        log = self._open.enter_context(Path("serve.log").open("w"))  # noqa: SIM115 - it stays open
        self._server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._server.stdout is not None
        for line in self._server.stdout:
            if line.startswith("ready"):
                return line
        raise AssertionError(f"the server did not start: {Path('serve.log').read_text()[-2000:]}")

    def stop(self) -> None:
        """Stop the server as Ctrl-C does."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            assert self._server.wait(60) == 0
            assert self._server.stdout is not None
            self._server.stdout.close()
        self._open.close()


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A terminal in a copy of the page's folder, whose path has a space."""
    copied = shutil.copytree(FOLDER, tmp_path / "own model")
    monkeypatch.chdir(copied)
    before = os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", before)
    opened = Terminal(free_port())
    try:
        yield opened
    finally:
        opened.stop()
        mlflow.set_tracking_uri(before)


def test_the_page_runs_as_written(terminal: Terminal) -> None:
    """Every command of the page succeeds and shows what the page shows, numbers aside."""
    commands = list(read_commands(PAGE))
    assert len(commands) > 10
    for command, shown in commands:
        output = terminal.type(command)
        if output != Terminal._skipped:
            require_shown(command, shown, output)


def test_a_model_without_evidence_answers_the_example_of_the_readme(terminal: Terminal) -> None:
    """Integers, categories and no reference: README's Python example runs all the same."""
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert example is not None
    for command, _ in list(read_commands(PAGE))[:3]:
        terminal.type(command)
    terminal.type(f"tabserve serve flight-late --port {PORT}")
    Path("example.py").write_text(example.group(1).replace(f":{PORT}", f":{terminal._port}"))
    shown = terminal.type("python example.py")
    assert re.search(r"^0\.\d+ [01]$", shown, flags=re.MULTILINE), shown
    assert "/instances/1/" in shown
