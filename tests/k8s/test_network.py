"""The network policies allow the edges that the documentation draws, and no other."""

from __future__ import annotations

import re
from typing import Any

from bentos.rollout import plan
from tests.k8s.rendered import ROOT, Object, pods, render

_EDGE = re.compile(r"^ +(\w+) -->\|(\d+)\| (\w+)$", re.MULTILINE)
# Names of the picture that are no pods.
_OUTSIDE = {"clients", "world", "database", "mlflow", "apiserver"}
# Pods that no overlay makes: a rollout does, or a component that is not in it.
_NOT_HERE = {"shadow", "retraining", "mlflow", "alloy", "loki"}


def _drawn() -> set[tuple[str, str, int]]:
    text = (ROOT / "k8s" / "README.md").read_text()
    start = text.index("```mermaid")
    picture = text[start : text.index("```", start + 3)]
    return {(one, other, int(port)) for one, port, other in _EDGE.findall(picture)}


def _short(labels: dict[str, str]) -> str:
    if labels.get("app.kubernetes.io/component") == "shadow":
        return "shadow"
    return labels["app.kubernetes.io/name"].removeprefix("tabserve-")


def _peers(rule: Object, word: str) -> list[str]:
    found = []
    for peer in rule.get(word, []):
        if "podSelector" in peer:
            found.append(_short(peer["podSelector"]["matchLabels"]))
        elif "ipBlock" in peer:
            found.append("apiserver")
        elif "tabserve.io/clients" in peer["namespaceSelector"]["matchLabels"]:
            found.append("clients")
        else:
            found.append("dns")
    return found or ["world"]


def _allowed(side: str) -> set[tuple[str, str, int]]:
    edges = set()
    for policy in render("kind"):
        selector: dict[str, Any] = policy.get("spec", {}).get("podSelector", {}).get("matchLabels")
        if policy["kind"] != "NetworkPolicy" or not selector:
            continue
        own = _short(selector)
        word = "from" if side == "ingress" else "to"
        for rule in policy["spec"].get(side, []):
            for peer in _peers(rule, word):
                for port in rule["ports"]:
                    edge = (peer, own) if side == "ingress" else (own, peer)
                    edges.add((*edge, port["port"]))
    return edges


def test_outgoing_edges() -> None:
    """What pods may reach is what is drawn."""
    drawn = {edge for edge in _drawn() if edge[0] not in ("clients", "log_users")}
    assert _allowed("egress") == drawn


def test_incoming_edges() -> None:
    """Who may reach pods is what is drawn."""
    assert _allowed("ingress") == {edge for edge in _drawn() if edge[1] not in _OUTSIDE}


def test_everything_else_is_denied() -> None:
    """One policy selects every pod and allows nothing, in either direction."""
    (deny,) = [
        item
        for item in render("kind")
        if (item["kind"], item["metadata"]["name"]) == ("NetworkPolicy", "default-deny")
    ]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_each_selector_finds_a_pod() -> None:
    """Each policy is about a pod that is there."""
    made = [template["metadata"]["labels"] for _, template in pods("kind")]
    for policy in render("kind"):
        if policy["kind"] == "NetworkPolicy":
            wanted = policy["spec"]["podSelector"].get("matchLabels", {})
            if wanted and _short(wanted) in _NOT_HERE:
                continue
            assert [labels for labels in made if wanted.items() <= labels.items()]


def test_logging_has_the_pods_of_its_policies() -> None:
    """The collector's and Loki's policies select pods of components/logging."""
    made = {
        template["metadata"]["labels"]["app.kubernetes.io/name"] for _, template in pods("logging")
    }
    assert {"alloy", "loki", "grafana"} <= made


def test_a_database_outside_is_one_edge() -> None:
    """Production adds one policy: all that use the log may reach one range, one port."""
    (policy,) = [
        item
        for item in render("production")
        if (item["kind"], item["metadata"]["name"]) == ("NetworkPolicy", "external-postgresql")
    ]
    (chosen,) = policy["spec"]["podSelector"]["matchExpressions"]
    users = {
        edge[0]
        for edge in _allowed("egress")
        if edge[1:] == ("postgresql", 5432) and edge[0] != "shadow"
    }
    assert {name.removeprefix("tabserve-") for name in chosen["values"]} == users
    (rule,) = policy["spec"]["egress"]
    assert list(rule["to"][0]) == ["ipBlock"]
    assert [port["port"] for port in rule["ports"]] == [5432]
    assert ("log_users", "database", 5432) in _drawn()


def test_a_shadow_is_not_of_the_service() -> None:
    """What a rollout makes for shadow mode is selected by no Service for clients."""
    (stable,) = [
        item
        for item in render("shadow")
        if (item["kind"], item["metadata"]["name"]) == ("Deployment", "tabserve")
    ]
    made = plan.make_shadow(stable, "registry.example/tabserve:2")
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert made["spec"]["selector"]["matchLabels"].items() <= labels.items()
    selecting = {
        item["metadata"]["name"]
        for item in render("shadow")
        if item["kind"] == "Service" and item["spec"]["selector"].items() <= labels.items()
    }
    assert selecting == {"tabserve-shadow"}
    variables = {
        each["name"]: each.get("value")
        for each in plan.find_container(made["spec"]["template"])["env"]
    }
    assert variables["TABSERVE_SHADOW"] == "true"
    assert not variables["TABSERVE_MIRROR_URL"]
