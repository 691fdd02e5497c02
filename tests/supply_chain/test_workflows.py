"""Workflows are well formed, give no more rights than they need, and run nothing unpinned."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ZIZMOR = Path(sys.executable).with_name("zizmor")
NODE = ROOT / "tests" / "k8s" / "node"


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


def run_actionlint(paths: list[Path]) -> subprocess.CompletedProcess[str]:
    """Let actionlint read workflows, without a network."""
    package = NODE / "node_modules" / "@tktco" / "node-actionlint"
    if not package.is_dir() and os.environ.get("CI") != "true":
        pytest.skip("npm ci in tests/k8s/node brings actionlint: make k8s-setup")
    node = shutil.which("node")
    assert node is not None
    return subprocess.run(
        [node, NODE / "actionlint.mjs", *paths], capture_output=True, text=True, check=False
    )


def test_workflows_are_well_formed() -> None:
    """actionlint finds nothing in any workflow: keys, expressions, needs, labels of runners."""
    done = run_actionlint(list((ROOT / ".github" / "workflows").iterdir()))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_released_image_is_listed() -> None:
    """Each pushed image has a list of contents, a scan and a signature, attested."""
    steps = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yaml").read_text())["jobs"][
        "build"
    ]["steps"]
    (push,) = [step["run"] for step in steps if step.get("id") == "push"]
    (signing,) = [step for step in steps if "cosign sign " in step.get("run", "")]
    pushed = re.search(r"for pair in (.+); do", push)
    assert pushed is not None
    names = [pair.partition(":")[0] for pair in pushed[1].split()]
    assert len(names) >= 2
    for name in names:
        digest = f"${{{{ steps.push.outputs.{name} }}}}"
        (made,) = [
            step["with"]["output-file"]
            for step in steps
            if step.get("uses", "").startswith("anchore/sbom-action@")
            and step["with"]["image"] == digest
        ]
        (scan,) = [step["with"] for step in steps if step.get("with", {}).get("sbom") == made]
        assert scan["fail-build"] is True
        (variable,) = [key for key, value in signing["env"].items() if value == digest]
        lines = [line.split() for line in signing["run"].splitlines()]
        assert ["cosign", "sign", "--yes", f'"${variable}"'] in lines
        attested = ["--type", "cyclonedx", "--predicate", made, f'"${variable}"']
        assert ["cosign", "attest", "--yes", *attested] in lines


def test_finds_mistakes(tmp_path: Path) -> None:
    """It finds a job, an output and a variable that do not exist, each of them."""
    text = (ROOT / ".github" / "workflows" / "release.yaml").read_text()
    for old, new in (
        ("needs: build\n", "needs: biuld\n"),
        ("steps.push.outputs.drift", "steps.pushed.outputs.drift"),
        ("vars.PROMETHEUS_URL", "variables.PROMETHEUS_URL"),
    ):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "release.yaml"
    path.write_text(text)
    done = run_actionlint([path])
    assert done.returncode == 1
    for word in ("biuld", "pushed", "variables"):
        assert f'"{word}"' in done.stdout
