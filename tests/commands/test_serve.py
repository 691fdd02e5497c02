"""`tabserve serve`: what it says before, while and after it serves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from bentos.cli import main

# A busy machine takes its time: each process imports BentoML.
SECONDS = 180


def run(*arguments: str) -> Result:
    """Run a command that ends by itself."""
    return CliRunner().invoke(main, arguments)


def test_serves_until_it_is_stopped(imported: dict[str, str], tmp_path: Path) -> None:
    """One command serves from any folder, prints the address once ready, and exits with 0.

    The settings of a `.env` in the current folder are used, and the log is written there.
    """
    tag = imported["binary"]
    (tmp_path / ".env").write_text("TABSERVE_STORE_URL=none\nTABSERVE_UNKNOWN_CATEGORY=missing\n")
    command = [sys.executable, "-m", "bentos.cli", "serve", tag.partition(":")[0], "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            ready = next(line for line in process.stdout if line.startswith("ready after"))
            address, named = ready.split()[4:6]
            assert named == tag
            assert address.startswith("http://127.0.0.1:")
            model = httpx.get(f"{address}/v1/model", timeout=SECONDS).json()
            assert model["name"] == tag.partition(":")[0]
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    assert not (tmp_path / "log.db").exists()


def test_port_in_use_is_one_line(imported: dict[str, str]) -> None:
    """A port that something listens on is refused before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        result = run("serve", imported["binary"], "--port", port)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: port {port} of 127.0.0.1 is in use: name another with --port, or stop what "
        "uses it\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nothing-here"], 1, "the Bento store has no model nothing-here"),
        (["--host", "192.0.2.1"], 1, "192.0.2.1 is no address of this machine"),
        (["--host", "no host"], 1, "no host is no address of this machine"),
        (["--port", "70000"], 2, "70000 is not in the range"),
        (["--workers", "0"], 2, "0 is not in the range"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], code: int, words: str, imported: dict[str, str]
) -> None:
    """A wrong model, address, port or number of workers is refused before anything starts."""
    if arguments[0].startswith("--"):
        arguments = [imported["binary"], *arguments]
    result = run("serve", *arguments)
    assert result.exit_code == code
    assert words in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ")


def test_unknown_setting_stops_the_start(
    imported: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt setting is one line, as when `bentoml serve .` is typed."""
    monkeypatch.setitem(os.environ, "TABSERVE_WORKER", "2")
    result = run("serve", imported["binary"])
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: TABSERVE_WORKER is not a setting, did you mean TABSERVE_WORKERS?\n"
    )
