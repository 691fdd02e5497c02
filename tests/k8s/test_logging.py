"""components/logging: what its configuration files say fits the objects around them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.k8s.rendered import K8S, pods, render

FOLDER = K8S / "components" / "logging"


def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return document


def test_old_lines_are_deleted() -> None:
    """The compactor deletes, by a period of days, on an index of which it can."""
    config = _read("loki.yml")
    assert config["compactor"]["retention_enabled"] is True
    (schema,) = config["schema_config"]["configs"]
    assert config["compactor"]["delete_request_store"] == schema["object_store"] == "filesystem"
    assert (schema["store"], schema["index"]["period"]) == ("tsdb", "24h")
    hours = re.fullmatch(r"(\d+)h", config["limits_config"]["retention_period"])
    assert hours is not None
    assert int(hours[1]) >= 24


def test_files_are_on_the_claim() -> None:
    """All that Loki writes lies under the volume of the claim."""
    config = _read("loki.yml")
    (loki,) = [item for item in render("logging") if item["kind"] == "StatefulSet"]
    (container,) = loki["spec"]["template"]["spec"]["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    (claim,) = loki["spec"]["volumeClaimTemplates"]
    data = mounts[claim["metadata"]["name"]]
    common = config["common"]
    assert common["path_prefix"] == data
    for path in (
        *common["storage"]["filesystem"].values(),
        config["compactor"]["working_directory"],
    ):
        assert path.startswith(f"{data}/")


def test_addresses_are_the_services() -> None:
    """Collector and data source name Loki's Service and its port."""
    (service,) = [
        item
        for item in render("logging")
        if (item["kind"], item["metadata"]["name"]) == ("Service", "loki")
    ]
    (port,) = [each["port"] for each in service["spec"]["ports"]]
    assert port == _read("loki.yml")["server"]["http_listen_port"]
    pushed = re.search(r'url = "(.+)"', (FOLDER / "config.alloy").read_text())
    assert pushed is not None
    (source,) = _read("grafana-datasource.yml")["datasources"]
    for url in (pushed[1], source["url"]):
        assert urlsplit(url).netloc == f"loki:{port}"
    assert urlsplit(pushed[1]).path == "/loki/api/v1/push"


def test_grafana_has_both_sources() -> None:
    """Beside components/monitoring, one folder of Grafana holds Prometheus and Loki."""
    (grafana,) = [template for owner, template in pods("logging") if owner == "Deployment/grafana"]
    spec = grafana["spec"]
    (mount,) = [
        mount
        for mount in spec["containers"][0]["volumeMounts"]
        if mount["mountPath"] == "/etc/grafana/provisioning/datasources"
    ]
    (volume,) = [each for each in spec["volumes"] if each["name"] == mount["name"]]
    maps = {
        item["metadata"]["name"]: item["data"]
        for item in render("logging")
        if item["kind"] == "ConfigMap"
    }
    files = [
        yaml.safe_load(maps[source["configMap"]["name"]][item["key"]])
        for source in volume["projected"]["sources"]
        for item in source["configMap"]["items"]
    ]
    sources = [source for file in files for source in file["datasources"]]
    assert {source["type"] for source in sources} == {"prometheus", "loki"}
    assert [source["name"] for source in sources if source.get("isDefault")] == ["Prometheus"]


@pytest.mark.parametrize("name", ["logging", "logging-operator"])
def test_a_side_car_finds_the_source(name: str) -> None:
    """The ConfigMap has the label by which Grafana's side-car looks for data sources."""
    (found,) = [
        item
        for item in render(name)
        if item["metadata"].get("labels", {}).get("grafana_datasource") == "1"
    ]
    assert list(found["data"]) == ["loki-datasource.yaml"]


def test_rows_in_errors_are_not_collected() -> None:
    """PostgreSQL's pods are dropped: its errors may quote a row."""
    text = (FOLDER / "config.alloy").read_text()
    dropped = re.findall(r'regex += "(\w+)"\n +action += "drop"', text)
    (database,) = [template for owner, template in pods("postgres") if "StatefulSet" in owner]
    assert dropped == [database["metadata"]["labels"]["app.kubernetes.io/name"]]
