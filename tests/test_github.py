"""What GitHub reads: owners, templates and dependency updates name places that exist."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"

# The file by which each ecosystem of dependabot finds what to update.
MANIFESTS = {
    "docker": ["*Dockerfile*", "*Containerfile*"],
    "github-actions": [".github/workflows/*.yaml"],
    "pip": ["requirements*.in"],
    "uv": ["uv.lock"],
}


def test_updates_name_folders_with_something_to_update() -> None:
    """Each ecosystem of dependabot.yml has its kind of file in the folder that it names."""
    document = yaml.safe_load((GITHUB / "dependabot.yml").read_text())
    for update in document["updates"]:
        folder = ROOT / update["directory"].strip("/")
        patterns = MANIFESTS[update["package-ecosystem"]]
        assert any(list(folder.glob(pattern)) for pattern in patterns), update["directory"]


def test_owned_paths_exist() -> None:
    """Every path of CODEOWNERS names something of the project."""
    lines = (GITHUB / "CODEOWNERS").read_text().splitlines()
    paths = [line.split()[0] for line in lines if line and not line.startswith("#")]
    assert paths
    for path in paths:
        assert path == "*" or (ROOT / path.strip("/")).exists(), path


@pytest.mark.parametrize(
    "path", sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yaml")), ids=lambda path: path.stem
)
def test_issue_forms_have_what_github_requires(path: Path) -> None:
    """An issue form has a name, a description, and inputs with ids of their own."""
    form = yaml.safe_load(path.read_text())
    assert form["name"]
    assert form["description"]
    identifiers = [item["id"] for item in form["body"]]
    assert len(set(identifiers)) == len(identifiers) > 0
    assert all(item["attributes"]["label"] for item in form["body"])
