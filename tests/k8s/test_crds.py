"""Custom resources meet the schemas that their operators publish, in values and in fields."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.k8s.rendered import NAMES, Object, render

NODE = Path(__file__).parent / "node"
TSC = NODE / "node_modules" / ".bin" / "tsc"
# The package of @kubernetes-models that has a group's schemas.
GROUPS = {
    "gateway.networking.k8s.io": "gateway-api",
    "keda.sh": "keda",
    "monitoring.coreos.com": "prometheus-operator",
}


@pytest.fixture(scope="module")
def items() -> list[Object]:
    """Every custom resource of every overlay and combination, each once."""
    if not TSC.is_file() and os.environ.get("CI") != "true":
        pytest.skip("npm ci in tests/k8s/node brings the schemas: make k8s-setup")
    found = {
        json.dumps(item, sort_keys=True): item
        for name in NAMES
        for item in render(name)
        if item["apiVersion"].partition("/")[0] in GROUPS
    }
    assert {item["kind"] for item in found.values()} == {
        *("HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject", "ServiceMonitor")
    }
    return list(found.values())


def find_faults(items: list[Object]) -> list[str]:
    """What the published validators say."""
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(
        [node, "validate.js", json.dumps(GROUPS)],
        input=json.dumps(items),
        cwd=NODE,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def find_unknown_fields(items: list[Object], folder: Path) -> list[str]:
    """What tsc says of the objects as literals of the published types."""
    lines = []
    for number, item in enumerate(items):
        group, version = item["apiVersion"].split("/")
        kind = item["kind"]
        path = NODE / "node_modules" / "@kubernetes-models" / GROUPS[group] / group / version / kind
        lines.append(f"import type {{ I{kind} as T{number} }} from {json.dumps(str(path))};")
        lines.append(f"export const item{number}: T{number} = {json.dumps(item)};")
    source = folder / "items.ts"
    source.write_text("\n".join(lines))
    options = [
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "--module",
        "nodenext",
        "--target",
        "es2022",
    ]
    done = subprocess.run(
        [TSC, *options, str(source)], cwd=NODE, capture_output=True, text=True, check=False
    )
    return done.stdout.splitlines()


def test_values_are_valid(items: list[Object]) -> None:
    """Types, patterns, enumerations and required fields."""
    assert find_faults(items) == []


def test_fields_are_known(items: list[Object], tmp_path: Path) -> None:
    """No field is misspelt: the API server would drop it in silence."""
    assert find_unknown_fields(items, tmp_path) == []


def test_mistakes_would_be_found(items: list[Object], tmp_path: Path) -> None:
    """A wrong value and a misspelt field of each kind are refused."""
    broken = []
    for kind in ("HTTPRoute", "PodMonitor", "ScaledObject"):
        item = next(item for item in items if item["kind"] == kind)
        broken.append({**item, "spec": {**item["spec"], "misspelt": 1}})
    assert len([line for line in find_unknown_fields(broken, tmp_path) if "misspelt" in line]) == 3
    (route,) = [item for item in broken if item["kind"] == "HTTPRoute"]
    route["spec"]["rules"] = [{"backendRefs": [{"name": "x", "port": 3000, "weight": "all"}]}]
    assert any("weight" in fault for fault in find_faults([route]))
