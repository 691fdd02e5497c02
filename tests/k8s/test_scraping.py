"""Prometheus may read the service's metrics, with keys and without."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.k8s.rendered import K8S, Object, pods, render
from tests.service.checks import require

CONFIG = K8S / "components" / "monitoring" / "prometheus.yml"


def _find_volume(name: str) -> tuple[str, Object]:
    """Path of the credentials that Prometheus sends to the service, and the volume they are on."""
    (job,) = [
        job
        for job in yaml.safe_load(CONFIG.read_text())["scrape_configs"]
        if job["job_name"] == "tabserve"
    ]
    path = Path(job["authorization"]["credentials_file"])
    (template,) = [each for owner, each in pods(name) if owner == "Deployment/prometheus"]
    (container,) = template["spec"]["containers"]
    (mount,) = [each for each in container["volumeMounts"] if each["mountPath"] == str(path.parent)]
    assert "subPath" not in mount, "a file mounted by itself never changes"
    (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == mount["name"]]
    return path.name, volume


def test_with_keys_it_has_one() -> None:
    """components/keys gives the plain Prometheus the key of the Secret for scrapes."""
    from k8s import secrets

    file, volume = _find_volume("keys-monitoring")
    assert volume["secret"]["secretName"] == "tabserve-metrics"
    assert file in secrets.make()[volume["secret"]["secretName"]]


@pytest.mark.parametrize("name", ["kind", "monitoring"])
def test_without_keys_the_file_is_there(name: str) -> None:
    """A missing file would fail every scrape, so one without a secret stands in its place."""
    file, volume = _find_volume(name)
    (found,) = [
        item
        for item in render(name)
        if (item["kind"], item["metadata"]["name"]) == ("ConfigMap", volume["configMap"]["name"])
    ]
    assert found["data"][file]


@pytest.mark.parametrize("name", ["keys", "production"])
def test_the_operator_names_the_same_secret(name: str) -> None:
    """The PodMonitor sends the key that the plain Prometheus does."""
    (monitor,) = [item for item in render(name) if item["kind"] == "PodMonitor"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    _, volume = _find_volume("keys-monitoring")
    assert endpoint["authorization"]["credentials"]["name"] == volume["secret"]["secretName"]


def test_prometheus_takes_the_configuration() -> None:
    """Its own check reads every field."""
    promtool = require("promtool", "prometheus")
    subprocess.run([promtool, "check", "config", "--syntax-only", CONFIG], check=True)
