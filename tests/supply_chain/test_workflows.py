"""Workflows give no more rights than they need, and run nothing that is not pinned."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ZIZMOR = Path(sys.executable).with_name("zizmor")


def run_zizmor(folder: Path) -> subprocess.CompletedProcess[str]:
    """Let zizmor look at a folder, without a network."""
    return subprocess.run(
        [ZIZMOR, "--offline", "--quiet", "--no-config", folder],
        capture_output=True,
        text=True,
        check=False,
    )


def test_workflows() -> None:
    """zizmor finds nothing in the project's workflows and updates."""
    done = run_zizmor(ROOT / ".github")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8", "checkout@v5"),
        ("  pull_request:", "  pull_request_target:"),
        ("run: make audit", 'run: echo "${{ github.event.pull_request.title }}"'),
    ],
    ids=["not pinned", "dangerous trigger", "injection"],
)
def test_finds_faults(tmp_path: Path, old: str, new: str) -> None:
    """It finds actions that are not pinned, dangerous triggers, and injected text."""
    folder = Path(shutil.copytree(ROOT / ".github", tmp_path / ".github"))
    path = folder / "workflows" / "supply-chain.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert run_zizmor(folder).returncode != 0
