"""The drift CronJob fits the image that it runs and the folder that it reports into."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]


def read(path: Path) -> dict[str, Any]:
    """The one object of a file."""
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def test_the_drift_job_runs_as_its_image_does() -> None:
    """User and version are those of its image and the project; two folders are writable."""
    pod = read(ROOT / "k8s/components/drift/cronjob.yaml")["spec"]["jobTemplate"]["spec"]
    pod = pod["template"]["spec"]
    (container,) = pod["containers"]
    containerfile = (ROOT / "k8s/images/drift.Containerfile").read_text()
    user = re.search(r"^USER (\d+):(\d+)$", containerfile, re.MULTILINE)
    assert user is not None
    context = pod["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == tuple(map(int, user.groups()))
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert container["image"] == f"tabserve-drift:{version[1]}"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"tmp": "/tmp", "reports": "/reports"}  # noqa: S108 - in the container
    assert [volume["name"] for volume in pod["volumes"]] == list(mounts)


def test_the_drift_job_reports_into_a_volume() -> None:
    """README's patch puts a claim in its place, and leaves the rest as it is."""
    job = read(ROOT / "k8s/components/drift/cronjob.yaml")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    arguments = pod["containers"][0]["args"]
    assert arguments[arguments.index("--report") + 1] == "/reports"
    text = (ROOT / "k8s/README.md").read_text()
    (block,) = [part.partition("```")[0] for part in text.split("```yaml\n") if "patches:" in part]
    (patch,) = yaml.safe_load(block)["patches"]
    assert patch["target"] == {"kind": job["kind"], "name": job["metadata"]["name"]}
    check, replacement = yaml.safe_load(patch["patch"])
    volumes, place = "/spec/jobTemplate/spec/template/spec/volumes/", 1
    assert check["path"] == f"{volumes}{place}/name"
    assert replacement["path"] == f"{volumes}{place}"
    assert pod["volumes"][place]["name"] == check["value"] == replacement["value"]["name"]
    pod["volumes"][place] = replacement["value"]
    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
