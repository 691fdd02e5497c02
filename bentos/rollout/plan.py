"""The steps of a rollout, and the canary's Deployment made from the stable one. Pure."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from math import ceil
from typing import Any

from bentos.errors import ConfigurationError

STABLE = "tabserve"
CANARY = "tabserve-canary"
SHADOW = "tabserve-shadow"
# Of components/gateway: a route of this name, and a Service for each track.
ROUTE = "tabserve"
_TRACKS = {"stable": "tabserve-stable", "canary": "tabserve-canary"}
TRACK = "tabserve.io/track"
CONTAINER = "tabserve"

STEPS = (5, 25, 50)

_NOT_FOR_A_SHADOW = {"TABSERVE_SHADOW", "TABSERVE_MIRROR_URL"}

Object = dict[str, Any]


def read_steps(text: str) -> tuple[int, ...]:
    """Read rising percentages, such as `5,25,50`. Raises ConfigurationError for anything else.

    100 is no step: it is the promotion, which follows the last one.
    """
    try:
        steps = tuple(int(part) for part in text.split(","))
    except ValueError:
        steps = ()
    if not steps or list(steps) != sorted(set(steps)) or steps[0] < 1 or steps[-1] > 99:
        raise ConfigurationError("--steps must be rising percentages below 100, such as 5,25,50")
    return steps


def count_replicas(percent: int, stable: int) -> int:
    """How many canaries give them about `percent` of new connections.

    The stable version keeps its replicas, so that it can take everything back at once. One of
    few is more than 5 %: the share that is reached is `share`.
    """
    return max(1, ceil(stable * percent / (100 - percent)))


def share(canary: int, stable: int) -> float:
    """The canary's share of the pods, and so about of new connections."""
    return canary / (canary + stable)


def set_weights(route: Object, percent: int) -> Object:
    """The HTTPRoute with `percent` of the requests for the canary, and the rest for the stable.

    All rules that name both Services are changed. Raises ConfigurationError where none does.
    """
    weights = {_TRACKS["stable"]: 100 - percent, _TRACKS["canary"]: percent}
    made: Object = {
        "apiVersion": route["apiVersion"],
        "kind": route["kind"],
        "metadata": {key: route["metadata"][key] for key in ("name", "namespace")},
        "spec": copy.deepcopy(route["spec"]),
    }
    is_changed = False
    for rule in made["spec"].get("rules", ()):
        backends = rule.get("backendRefs", ())
        if {backend["name"] for backend in backends} >= weights.keys():
            is_changed = True
            for backend in backends:
                backend["weight"] = weights.get(backend["name"], backend.get("weight", 1))
    if not is_changed:
        raise ConfigurationError(
            f"no rule of the HTTPRoute {ROUTE} has both Services, {' and '.join(weights)}"
        )
    return made


def make_shadow(stable: Object, image: str) -> Object:
    """The Deployment of a candidate that answers nobody: one pod, its rows marked in the log.

    No Service for clients selects it: its component is another one.
    """
    made = make_canary(stable, image, 1)
    made["metadata"]["name"] = SHADOW
    container = find_container(made["spec"]["template"])
    others = [one for one in container.get("env", ()) if one["name"] not in _NOT_FOR_A_SHADOW]
    container["env"] = [
        *others,
        {"name": "TABSERVE_SHADOW", "value": "true"},
        # The candidate is no one's stable version: it must not send copies on.
        {"name": "TABSERVE_MIRROR_URL", "value": ""},
    ]
    template = made["spec"]["template"]
    for labels in (
        made["metadata"]["labels"],
        made["spec"]["selector"]["matchLabels"],
        template["metadata"]["labels"],
    ):
        labels["app.kubernetes.io/component"] = "shadow"
        labels[TRACK] = "shadow"
    return made


def make_canary(stable: Object, image: str, replicas: int) -> Object:
    """The canary's Deployment: the stable one of the cluster, with another image and track."""
    made = copy.deepcopy(stable)
    metadata = made["metadata"]
    made["metadata"] = {
        "name": CANARY,
        "namespace": metadata["namespace"],
        "labels": {**metadata.get("labels", {}), TRACK: "canary"},
    }
    made.pop("status", None)
    spec = made["spec"]
    spec["replicas"] = replicas
    spec["selector"]["matchLabels"][TRACK] = "canary"
    template = spec["template"]
    template["metadata"]["labels"][TRACK] = "canary"
    find_container(template)["image"] = image
    return made


def make_replay(canary: Object, window: str, max_flipped: float, name: str) -> Object:
    """A Job that scores recorded rows with the candidate's own image, before it gets traffic."""
    template = copy.deepcopy(canary["spec"]["template"])
    container = find_container(template)
    template["metadata"] = {
        "labels": {
            # Not the serving component: no Service may send it requests.
            "app.kubernetes.io/name": "tabserve-drift",
            "app.kubernetes.io/component": "replay",
            "app.kubernetes.io/part-of": "tabserve",
        }
    }
    for key in ("readinessProbe", "livenessProbe", "startupProbe", "lifecycle", "ports", "envFrom"):
        container.pop(key, None)
    # The image holds one model, under its own name.
    script = (
        'exec tabserve replay --model "$(ls "$BENTOML_HOME/models" | head -1):latest" '
        f"--since {window} --max-flipped {max_flipped}"
    )
    container["command"] = ["sh", "-c", script]
    # The reader's rights are enough, and the service's are not.
    container["env"] = [
        {
            "name": "TABSERVE_STORE_URL",
            "valueFrom": {"secretKeyRef": {"name": "tabserve-drift", "key": "TABSERVE_STORE_URL"}},
        }
    ]
    spec = template["spec"]
    spec["restartPolicy"] = "Never"
    for key in ("topologySpreadConstraints", "terminationGracePeriodSeconds"):
        spec.pop(key, None)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": canary["metadata"]["namespace"]},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": 900,
            "ttlSecondsAfterFinished": 3600,
            "template": template,
        },
    }


def find_container(template: Object) -> Object:
    """The service's container in a pod template. Raises ConfigurationError if there is none."""
    containers: Sequence[Object] = template["spec"]["containers"]
    for container in containers:
        if container["name"] == CONTAINER:
            return container
    raise ConfigurationError(f"the Deployment {STABLE} has no container named {CONTAINER}")
