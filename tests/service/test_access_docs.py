"""docs/access.md and the threat model: every command runs, every named file is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from bentos.protocols.protocol import Scope
from tests.service.process import server

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "access.md").read_text()


def run(block: str, folder: Path, url: str = "") -> str:
    """Run a block of commands as a reader would; gives what they print."""
    tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env={**os.environ, "PATH": tools, "URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{done.stderr}"
    return done.stdout


def test_the_commands_of_the_page(quick: dict[str, str], tmp_path: Path) -> None:
    """Keys are made, sent to a real service, changed over and revoked, as the page says."""
    make, ask, change = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    listed = run(make, tmp_path).splitlines()
    assert [line.split()[1] for line in listed[1:]] == ["risk-team", "prometheus", "batch-job"]
    keys = {"TABSERVE_KEYS_FILE": str(tmp_path / "keys.json"), "TABSERVE_REQUIRE_KEYS": "true"}
    (tmp_path / "server").mkdir()
    with server(tmp_path / "server", TABSERVE_MODEL=quick["binary"], **keys) as started:
        started.wait_until_ready()
        url = f"http://127.0.0.1:{started.port}"
        assert "tabserve_access_keys 3.0" in run(ask, tmp_path, url)
        run(change, tmp_path, url)
        both = {
            name: (tmp_path / name).read_text().strip() for name in ("risk-team.key", "new.key")
        }

        def status(name: str) -> int:
            headers = {"Authorization": f"Bearer {both[name]}"}
            return started.request("GET", "/v1/model", headers=headers).status

        started.wait_for(lambda: status("risk-team.key") == 401)
        assert status("new.key") == 200


def test_every_scope_is_in_the_table() -> None:
    """The table lists the scopes of the code."""
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(get_args(Scope))


def test_what_the_threat_model_points_to_is_there() -> None:
    """Each test that it names as the proof exists."""
    text = (ROOT / "docs" / "threat-model.md").read_text()
    named = re.findall(r"`(tests/[\w/.]+|test_\w+\.py)`", text)
    assert len(named) > 12
    for name in named:
        found = (ROOT / name).exists() or (ROOT / "tests" / "service" / name).exists()
        assert found, name
