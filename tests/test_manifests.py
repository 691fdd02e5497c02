"""The manifests are what Kubernetes takes, to the last field, and fit what they run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parent.parent
MANIFESTS = [
    path for path in sorted((ROOT / "k8s").rglob("*.yaml")) if path.name != "kustomization.yaml"
]


def read(path: Path) -> dict[str, Any]:
    """The one object of a file."""
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)
def test_manifests_are_valid(path: Path) -> None:
    """Each object meets the schema of its kind, with no field that the schema does not have."""
    kubernetes_validate.validate(read(path), kubernetes_validate.latest_version(), strict=True)


def test_a_wrong_field_would_be_found() -> None:
    """The check above can fail: a misspelt field is refused."""
    job = read(ROOT / "k8s/components/drift/cronjob.yaml")
    job["spec"]["concurrencyPolice"] = "Forbid"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)


def test_components_list_their_files() -> None:
    """Every manifest is a resource of the kustomization beside it."""
    for path in MANIFESTS:
        assert path.name in read(path.parent / "kustomization.yaml")["resources"]


def test_the_drift_job_runs_as_its_image_does() -> None:
    """User and version are those of the Dockerfile and the project; only /tmp is writable."""
    pod = read(ROOT / "k8s/components/drift/cronjob.yaml")["spec"]["jobTemplate"]["spec"]
    pod = pod["template"]["spec"]
    (container,) = pod["containers"]
    dockerfile = (ROOT / "monitoring/drift/Dockerfile").read_text()
    user = re.search(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    assert user is not None
    context = pod["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == tuple(map(int, user.groups()))
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert container["image"] == f"tabserve-drift:{version[1]}"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]  # noqa: S108 - in the container
