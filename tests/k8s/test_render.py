"""Every overlay and combination renders to objects that Kubernetes takes, to the last field."""

from __future__ import annotations

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from k8s import rules
from tests.k8s.rendered import K8S, NAMES, OVERLAYS, render

# Kinds that a cluster has only with somebody's operator: their schemas are not Kubernetes' own.
CUSTOM = {"HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject", "ServiceMonitor"}
VERSIONS = ("1.32", "1.34", "1.37")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NAMES)
def test_objects_are_valid(name: str, version: str) -> None:
    """Each object meets the schema of its kind, with no field that the schema does not have."""
    for item in render(name):
        if item["kind"] not in CUSTOM:
            kubernetes_validate.validate(item, version, strict=True)


def test_a_wrong_field_would_be_found() -> None:
    """The check above can fail: a misspelt field is refused in every version."""
    for item in render("kind"):
        if item["kind"] == "CronJob":
            wrong = {**item, "spec": {**item["spec"], "concurrencyPolice": "Forbid"}}
            for version in VERSIONS:
                with pytest.raises(kubernetes_validate.ValidationError):
                    kubernetes_validate.validate(wrong, version, strict=True)


def test_every_file_is_used() -> None:
    """Every manifest is a resource or a patch of the kustomization beside it."""
    for path in K8S.rglob("*.yaml"):
        if path.name == "kustomization.yaml":
            continue
        assert path.name in (path.parent / "kustomization.yaml").read_text(), path


def test_every_component_is_rendered() -> None:
    """No component is left out of these tests."""
    used = {
        Path(reference).name
        for path in [*(K8S / "overlays").rglob("kustomization.yaml")]
        for reference in yaml.safe_load(path.read_text())["components"]
    }
    found = {path.parent.name for path in (K8S / "components").rglob("kustomization.yaml")}
    assert found - used - set(NAMES) - {"pushgateway"} == set()


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlays_are_short(name: str) -> None:
    """An overlay says what differs, and holds no copy of an object."""
    folder = K8S / "overlays" / name
    assert [path.name for path in folder.iterdir()] == ["kustomization.yaml"]
    text = (folder / "kustomization.yaml").read_text()
    assert len(text.splitlines()) <= 30


@pytest.mark.parametrize("name", NAMES)
def test_names_are_unique(name: str) -> None:
    """No two objects of a kind have one name, and all are in the namespace."""
    found = [(item["kind"], item["metadata"]["name"]) for item in render(name)]
    assert len(found) == len(set(found))
    for item in render(name):
        if item["kind"] != "Namespace":
            assert item["metadata"]["namespace"] == "tabserve", item["metadata"]["name"]


@pytest.mark.parametrize("name", NAMES)
def test_an_annotation_can_hold_each_object(name: str) -> None:
    """`kubectl apply` keeps each object in an annotation of at most 256 KiB."""
    for item in render(name):
        assert len(yaml.safe_dump(item)) < 256 * 1024, item["metadata"]["name"]


def test_one_owner_of_replicas() -> None:
    """Where an autoscaler scales the Deployment, the Deployment does not set its replicas."""
    for name in NAMES:
        items = render(name)
        scaled = [
            item for item in items if item["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}
        ]
        assert len(scaled) <= 1
        (serving,) = [
            item
            for item in items
            if (item["kind"], item["metadata"]["name"]) == ("Deployment", "tabserve")
        ]
        assert not (scaled and "replicas" in serving["spec"]), name


def test_the_operators_rules_are_the_mixins() -> None:
    """The PrometheusRule holds what the mixin renders: `make monitoring` writes it anew."""
    assert rules.TARGET.read_text() == rules.render()
