"""monitoring/compose.yaml runs what the manifests run, from the same files."""

from __future__ import annotations

from typing import Any

import yaml

from tests.k8s.rendered import ROOT, containers, pods

FOLDER = ROOT / "monitoring"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())


def test_images_are_those_of_the_manifests() -> None:
    """No image differs from the one that the kind overlay runs."""
    ours = {
        each["image"] if "/" in each["image"] else f"docker.io/library/{each['image']}"
        for _, template in pods("kind")
        for each in containers(template)
    }
    assert {service["image"] for service in COMPOSE["services"].values()} == ours


def test_mounted_files_are_there() -> None:
    """Every file or folder of the tree that a service mounts exists, and cannot be written."""
    named = COMPOSE["volumes"].keys()
    found = 0
    for service in COMPOSE["services"].values():
        for mount in service.get("volumes", []):
            source, _, target = mount.partition(":")
            if source not in named:
                assert (FOLDER / source).exists(), source
                assert target.endswith(":ro"), source
                found += 1
    assert found >= 5


def test_only_loopback_is_reachable() -> None:
    """No port is open to other machines."""
    for service in COMPOSE["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_every_service_is_restricted() -> None:
    """As in the cluster: a root that cannot be written, no capabilities, no new privileges."""
    for service in COMPOSE["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_prometheus_reads_the_rules() -> None:
    """Its configuration is the cluster's but for the discovery of pods."""
    own = yaml.safe_load(COMPOSE["configs"]["prometheus"]["content"])
    theirs = yaml.safe_load((ROOT / "k8s/components/monitoring/prometheus.yml").read_text())
    for key in ("global", "rule_files", "alerting"):
        assert own[key] == theirs[key]
    assert {job["job_name"] for job in own["scrape_configs"]} <= {
        job["job_name"] for job in theirs["scrape_configs"]
    }
