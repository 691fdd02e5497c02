"""The canary is the stable Deployment with another image, and its share is what is asked for."""

from __future__ import annotations

import kubernetes_validate
import pytest

from bentos.errors import ConfigurationError
from bentos.rollout import plan
from tests.k8s.rendered import Object, render

IMAGE = "docker.io/library/tabserve:0.2.0"


@pytest.fixture(scope="module")
def stable() -> Object:
    """The Deployment that the production overlay makes."""
    for item in render("production"):
        if (item["kind"], item["metadata"]["name"]) == ("Deployment", plan.STABLE):
            return item
    raise AssertionError("no Deployment")


def test_steps() -> None:
    """Steps rise and stay below 100; anything else is refused in one line."""
    assert plan.read_steps("5,25,50") == (5, 25, 50)
    for wrong in ("", "5,5", "50,25", "0,5", "5,100", "five", "5;25"):
        with pytest.raises(ConfigurationError, match="rising percentages"):
            plan.read_steps(wrong)


@pytest.mark.parametrize("stable_replicas", [1, 2, 3, 10, 40])
def test_replicas(stable_replicas: int) -> None:
    """The share is at least what is asked for, and by less than one pod more."""
    for percent in (5, 25, 50):
        canary = plan.count_replicas(percent, stable_replicas)
        assert plan.share(canary, stable_replicas) >= percent / 100
        if canary > 1:
            assert plan.share(canary - 1, stable_replicas) < percent / 100


def test_the_canary(stable: Object) -> None:
    """Same pods but for image and track; its selector takes none of the stable version's pods."""
    canary = plan.make_canary(stable, IMAGE, 3)
    kubernetes_validate.validate(canary, "1.37", strict=True)
    assert plan.find_container(canary["spec"]["template"])["image"] == IMAGE
    assert canary["spec"]["replicas"] == 3
    own = canary["spec"]["selector"]["matchLabels"]
    assert own.items() <= canary["spec"]["template"]["metadata"]["labels"].items()
    assert not own.items() <= stable["spec"]["template"]["metadata"]["labels"].items()
    before, after = stable["spec"]["template"]["spec"], canary["spec"]["template"]["spec"]
    after["containers"][0]["image"] = before["containers"][0]["image"]
    assert before == after


def test_the_service_sends_to_both(stable: Object) -> None:
    """The Service's selector takes the canary's pods as well as the stable ones."""
    (service,) = [
        item
        for item in render("production")
        if (item["kind"], item["metadata"]["name"]) == ("Service", "tabserve")
    ]
    canary = plan.make_canary(stable, IMAGE, 1)
    for item in (stable, canary):
        labels = item["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()


def test_the_replay(stable: Object) -> None:
    """It runs the candidate's image once, as the log's reader, where no Service finds it."""
    job = plan.make_replay(plan.make_canary(stable, IMAGE, 1), "24h", 0.1, "tabserve-replay")
    kubernetes_validate.validate(job, "1.37", strict=True)
    template = job["spec"]["template"]
    container = plan.find_container(template)
    assert container["image"] == IMAGE
    assert container["env"][0]["valueFrom"]["secretKeyRef"]["name"] == "tabserve-drift"
    assert "serving" not in template["metadata"]["labels"].values()
    assert "--since 24h --max-flipped 0.1" in container["command"][2]


def test_a_strange_deployment_is_refused(stable: Object) -> None:
    """A Deployment without our container is no stable version."""
    with pytest.raises(ConfigurationError, match="no container named tabserve"):
        plan.find_container({"spec": {"containers": [{"name": "other"}]}})
