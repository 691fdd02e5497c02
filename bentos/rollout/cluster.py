"""The cluster, through kubectl: what is there, and what is changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from typing import Any

from bentos.errors import ConfigurationError, TabserveError
from bentos.rollout.plan import CANARY, CONTAINER, ROUTE, STABLE, Object, find_container

_RECORD = "tabserve-rollout"
_MANAGER = "tabserve-rollout"


class ClusterError(TabserveError):
    """kubectl failed; the message is its own last line."""


class Cluster:
    """One namespace of the cluster that kubectl's configuration names."""

    def __init__(self, namespace: str, context: str | None = None) -> None:
        if shutil.which("kubectl") is None:
            raise ConfigurationError("a rollout needs kubectl on PATH")
        self.namespace = namespace
        self._command = ["kubectl", "--namespace", namespace]
        if context:
            self._command += ["--context", context]

    def read_stable(self) -> Object:
        """The stable Deployment as it is."""
        found = self.read("deployment", STABLE)
        if found is None:
            raise ConfigurationError(
                f"the namespace {self.namespace} has no Deployment {STABLE}: apply an overlay first"
            )
        return found

    def read(self, kind: str, name: str) -> Object | None:
        """An object, or nothing."""
        text = self._run("get", kind, name, "--ignore-not-found", "--output", "json")
        document: Object | None = json.loads(text) if text.strip() else None
        return document

    def read_route(self) -> Object | None:
        """The HTTPRoute that shares requests out, or nothing: also where the API is not there."""
        try:
            return self.read("httproutes.gateway.networking.k8s.io", ROUTE)
        except ClusterError as error:
            if "the server doesn't have a resource type" in str(error):
                return None
            raise

    def apply(self, item: Object) -> None:
        """Make an object, or bring it to what is given."""
        self._run(
            *("apply", "--server-side", "--force-conflicts", "--field-manager", _MANAGER),
            *("--filename", "-"),
            text=json.dumps(item),
        )

    def delete(self, kind: str, name: str) -> None:
        """Remove an object, if it is there; what runs in it ends by itself."""
        self._run("delete", kind, name, "--ignore-not-found", "--wait=false")

    def scale_canary(self, replicas: int) -> None:
        """Set the number of canaries."""
        self._run("scale", "deployment", CANARY, f"--replicas={replicas}")

    def wait(self, name: str, timeout_seconds: int) -> bool:
        """Wait for a Deployment to have all its pods ready; False if it does not get there."""
        try:
            self._run("rollout", "status", f"deployment/{name}", f"--timeout={timeout_seconds}s")
        except ClusterError:
            return False
        return True

    def run_job(self, job: Object, timeout_seconds: int) -> tuple[bool, str]:
        """Run a Job to its end; whether it succeeded, and what it printed."""
        name = job["metadata"]["name"]
        self.delete("job", name)
        self.apply(job)
        until = time.monotonic() + timeout_seconds
        while time.monotonic() < until:
            status = (self.read("job", name) or {}).get("status", {})
            if status.get("succeeded") or status.get("failed"):
                return bool(status.get("succeeded")), self._run("logs", f"job/{name}", "--tail=50")
            time.sleep(2)
        return False, "it did not end in time"

    def set_stable_image(self, image: str) -> None:
        """Give the stable Deployment another image."""
        self._run("set", "image", f"deployment/{STABLE}", f"{CONTAINER}={image}")

    def find_previous_image(self) -> tuple[str, int] | None:
        """The image before the present one, and its revision, of the ReplicaSets that are kept."""
        present = find_container(self.read_stable()["spec"]["template"])["image"]
        text = self._run(
            *("get", "replicasets", "--output", "json"),
            *("--selector", "tabserve.io/track=stable"),
        )
        found = []
        for item in json.loads(text)["items"]:
            revision = item["metadata"]["annotations"].get("deployment.kubernetes.io/revision", "0")
            image = find_container(item["spec"]["template"])["image"]
            if image != present:
                found.append((int(revision), image))
        if not found:
            return None
        revision, image = max(found)
        return image, revision

    def undo(self, revision: int) -> None:
        """Return the stable Deployment to a revision, its settings included."""
        self._run("rollout", "undo", f"deployment/{STABLE}", f"--to-revision={revision}")

    def write_record(self, record: dict[str, Any]) -> None:
        """Keep what a rollout is at, or how it ended, for `status` and for people."""
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": _RECORD, "namespace": self.namespace},
                "data": {"record.json": json.dumps(record, indent=2)},
            }
        )

    def read_record(self) -> dict[str, Any] | None:
        """The last record, if there was a rollout."""
        found = self.read("configmap", _RECORD)
        return None if found is None else json.loads(found["data"]["record.json"])

    def _run(self, *arguments: str, text: str | None = None) -> str:
        done = subprocess.run(  # noqa: S603 - kubectl with our own words
            [*self._command, *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            raise ClusterError(f"kubectl {arguments[0]}: {lines[-1]}")
        return done.stdout
