"""The rules that every pod of ours keeps, whatever is put together."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from k8s import secrets
from tests.k8s.rendered import NAMES, ROOT, Object, containers, pods, render

OWN_IMAGES = {"tabserve", "tabserve-drift", "tabserve-training"}
# Pods that may call the Kubernetes API, and all that each may do there.
MAY_CALL = {
    # Host paths are refused here, so the collector reads logs through the API.
    "alloy": [("pods", "get list watch"), ("pods/log", "get")],
}


def _each(name: str) -> Iterator[tuple[str, Object, Object]]:
    for owner, template in pods(name):
        for container in containers(template):
            yield f"{owner}/{container['name']}", template, container


@pytest.mark.parametrize("name", NAMES)
def test_restricted(name: str) -> None:
    """Every pod meets Pod Security's `restricted`, on a root file system that it cannot write."""
    for where, template, container in _each(name):
        pod, own = template["spec"]["securityContext"], container["securityContext"]
        assert pod["runAsNonRoot"] is True, where
        assert pod["runAsUser"] > 0, where
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert own["allowPrivilegeEscalation"] is False, where
        assert own["capabilities"] == {"drop": ["ALL"]}, where
        assert own["readOnlyRootFilesystem"] is True, where
        assert not own.get("privileged"), where
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            assert not template["spec"].get(key), where
        for volume in template["spec"].get("volumes", []):
            assert "hostPath" not in volume, where


def test_the_namespace_enforces_it() -> None:
    """Pod Security refuses what does not meet `restricted`, and does not only warn."""
    for name in NAMES:
        (namespace,) = [item for item in render(name) if item["kind"] == "Namespace"]
        labels = namespace["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("name", NAMES)
def test_resources(name: str) -> None:
    """Every container requests CPU and memory, and has a limit of memory and none of CPU."""
    for where, _, container in _each(name):
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys(), where
        assert "memory" in resources["limits"], where
        assert "cpu" not in resources["limits"], where


@pytest.mark.parametrize("name", NAMES)
def test_emptydirs_are_bounded(name: str) -> None:
    """No folder can fill the node's disk, and each one is mounted."""
    for owner, template in pods(name):
        mounted = {
            mount["name"] for each in containers(template) for mount in each.get("volumeMounts", [])
        }
        for volume in template["spec"].get("volumes", []):
            assert volume["name"] in mounted, owner
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], owner


@pytest.mark.parametrize("name", NAMES)
def test_accounts(name: str) -> None:
    """No pod uses the namespace's default account; a token gets the one that needs it."""
    accounts = {
        item["metadata"]["name"]: item for item in render(name) if item["kind"] == "ServiceAccount"
    }
    for owner, template in pods(name):
        spec = template["spec"]
        assert spec["serviceAccountName"] in accounts, owner
        is_caller = spec["serviceAccountName"] in MAY_CALL
        assert spec["automountServiceAccountToken"] is is_caller, owner
    for account in accounts.values():
        assert account["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", NAMES)
def test_rights(name: str) -> None:
    """A Role is of one account, allows what is listed above, and ends at the namespace."""
    found = {}
    for item in render(name):
        assert item["kind"] not in {"ClusterRole", "ClusterRoleBinding"}
        if item["kind"] == "RoleBinding":
            assert item["roleRef"]["kind"] == "Role"
            (subject,) = item["subjects"]
            assert (subject["kind"], subject["name"]) == ("ServiceAccount", item["roleRef"]["name"])
        if item["kind"] == "Role":
            assert all(rule["apiGroups"] == [""] for rule in item["rules"])
            found[item["metadata"]["name"]] = [
                (" ".join(rule["resources"]), " ".join(rule["verbs"])) for rule in item["rules"]
            ]
    accounts = {template["spec"]["serviceAccountName"] for _, template in pods(name)}
    assert found == {account: MAY_CALL[account] for account in accounts & MAY_CALL.keys()}


@pytest.mark.parametrize("name", NAMES)
def test_service_links_are_off(name: str) -> None:
    """Kubernetes adds no variables for Services: their names are like those of settings."""
    for owner, template in pods(name):
        assert template["spec"]["enableServiceLinks"] is False, owner


@pytest.mark.parametrize("name", NAMES)
def test_probes(name: str) -> None:
    """A pod that stays has three probes; a job's has none, as it ends."""
    for owner, template in pods(name):
        for container in template["spec"]["containers"]:
            found = {key for key in container if key.endswith("Probe")}
            is_job = template["spec"].get("restartPolicy") == "Never"
            wanted = set() if is_job else {"startupProbe", "readinessProbe", "livenessProbe"}
            assert found == wanted, owner
            names = {port["name"] for port in container.get("ports", [])}
            for probe in found:
                handler = container[probe].get("httpGet") or container[probe].get("tcpSocket") or {}
                assert handler.get("port") in (names | {None}), owner


def test_ready_alive_and_started_differ() -> None:
    """The service is ready by its model's proof, alive and started by its process."""
    (serving,) = [template for owner, template in pods("kind") if owner == "Deployment/tabserve"]
    (container,) = serving["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["startupProbe"]["httpGet"]["path"] == "/livez"


def test_the_grace_period_is_longer_than_the_drain() -> None:
    """preStop, one request, one slow body and the log's last write fit into it."""
    from bentos.settings import Settings

    (serving,) = [template for owner, template in pods("kind") if owner == "Deployment/tabserve"]
    (container,) = serving["spec"]["containers"]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    timeout = Settings.model_fields["timeout_seconds"].default
    assert serving["spec"]["terminationGracePeriodSeconds"] >= pause + 3 * timeout + 10


@pytest.mark.parametrize("name", NAMES)
def test_images_are_pinned(name: str) -> None:
    """Every image is one of ours at the project's version, or has a full version or a digest."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for where, _, container in _each(name):
        image = container["image"]
        path, _, tag = image.rpartition(":")
        if path.rpartition("/")[2] in OWN_IMAGES:
            assert tag == version, where
        else:
            assert re.fullmatch(r"v?\d+(\.\d+)+(-[a-z]+)?|[0-9a-f]{64}", tag), where
            assert path.count("/") >= 2, f"{where}: which registry?"


@pytest.mark.parametrize("name", NAMES)
def test_services_select_pods(name: str) -> None:
    """Every Service, budget and monitor selects a pod that is made, and names its ports."""
    made = [template for _, template in pods(name)]
    for item in render(name):
        if item["kind"] == "Service":
            # A canary is made by `tabserve rollout` alone.
            wanted = {
                key: value
                for key, value in item["spec"]["selector"].items()
                if (key, value) != ("tabserve.io/track", "canary")
            }
            if wanted.get("app.kubernetes.io/component") == "shadow":
                # Nor a candidate in shadow mode: it is the stable Deployment with other labels.
                wanted["app.kubernetes.io/component"] = "serving"
        elif item["kind"] in {"PodDisruptionBudget", "PodMonitor"}:
            wanted = item["spec"]["selector"]["matchLabels"]
        else:
            continue
        selected = [each for each in made if wanted.items() <= each["metadata"]["labels"].items()]
        assert selected, item["metadata"]["name"]
        names = {
            port["name"]
            for each in selected
            for container in each["spec"]["containers"]
            for port in container.get("ports", [])
        }
        for port in item["spec"].get("ports", []):
            assert port["targetPort"] in names, item["metadata"]["name"]


def _references(template: Object) -> Iterator[tuple[str, str, str]]:
    """Kind, name and key (or nothing) of every ConfigMap and Secret that a pod refers to."""
    for container in containers(template):
        for source in container.get("envFrom", []):
            for word, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if word in source:
                    yield kind, source[word]["name"], ""
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            for word, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if word in source:
                    yield kind, source[word]["name"], source[word]["key"]
    for volume in template["spec"].get("volumes", []):
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            items: list[dict[str, Any]]
            if "configMap" in source:
                items = source["configMap"].get("items", [{"key": ""}])
                for each in items:
                    yield "ConfigMap", source["configMap"]["name"], each["key"]
            if "secret" in source:
                yield "Secret", source["secret"]["secretName"], ""


@pytest.mark.parametrize("name", NAMES)
def test_references_exist(name: str) -> None:
    """Every ConfigMap is rendered with its key; every Secret is one that README lists."""
    rendered = {
        item["metadata"]["name"]: item["data"]
        for item in render(name)
        if item["kind"] == "ConfigMap"
    }
    known: dict[str, dict[str, str]] = secrets.make()
    for owner, template in pods(name):
        for kind, reference, key in _references(template):
            source = rendered if kind == "ConfigMap" else known
            assert reference in source, f"{owner}: {kind} {reference}"
            assert not key or key in source[reference], f"{owner}: {kind} {reference} {key}"
    assert not [item for item in render(name) if item["kind"] == "Secret"], "no secret in the tree"


def test_secrets_are_documented() -> None:
    """README lists each Secret and its keys, and kind makes no other."""
    text = (ROOT / "k8s" / "README.md").read_text()
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| `([^|]+)` \|", text, re.MULTILINE))
    assert {name: set(values) for name, values in secrets.make().items()} == {
        name: set(re.findall(r"[\w-]+", keys)) for name, keys in listed.items()
    }


def test_config_changes_roll_the_pods() -> None:
    """Each ConfigMap that a pod reads has a hash of its content in its name."""
    for name in NAMES:
        for item in render(name):
            if item["kind"] == "ConfigMap":
                assert re.search(r"-[a-z0-9]{10}$", item["metadata"]["name"])


@pytest.mark.parametrize("name", NAMES)
def test_cronjobs(name: str) -> None:
    """Every CronJob has a zone, a policy, deadlines and limits; no run of it goes on for good."""
    for item in render(name):
        if item["kind"] == "CronJob":
            spec, job = item["spec"], item["spec"]["jobTemplate"]["spec"]
            assert spec["concurrencyPolicy"] == "Forbid"
            assert {"timeZone", "startingDeadlineSeconds"} <= spec.keys()
            assert {"successfulJobsHistoryLimit", "failedJobsHistoryLimit"} <= spec.keys()
            assert {
                "backoffLimit",
                "activeDeadlineSeconds",
                "ttlSecondsAfterFinished",
            } <= job.keys()


def test_updates_never_go_below() -> None:
    """A rolling update starts a new pod before it stops an old one."""
    for name in NAMES:
        for item in render(name):
            if (item["kind"], item["metadata"]["name"]) == ("Deployment", "tabserve"):
                assert item["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
