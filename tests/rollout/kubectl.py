"""A stand-in for kubectl and its cluster: objects are files of a folder, pods are ready at once.

Run as a program by `tests/rollout/conftest.py`. It takes the commands that a rollout uses, with the
flags that it uses, and refuses any other: kubectl would.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

STATE = Path(os.environ.get("KUBECTL_STATE", "."))


def place(kind: str, name: str) -> Path:
    """The file of an object."""
    # A kind may be named with its API group: httproutes.gateway.networking.k8s.io.
    return STATE / f"{kind.partition('.')[0].lower().removesuffix('s')}-{name}.json"


def write(item: dict[str, Any]) -> None:
    """Keep an object as the cluster would: what runs is ready, and a job has ended."""
    kind, name = item["kind"], item["metadata"]["name"]
    if kind == "Deployment":
        item["status"] = {"readyReplicas": item["spec"].get("replicas", 1)}
        image = item["spec"]["template"]["spec"]["containers"][0]["image"]
        keep_revision(item, image)
    if kind == "Job":
        is_good = "unlike" not in json.dumps(item["spec"])
        item["status"] = {"succeeded": 1} if is_good else {"failed": 1}
    place(kind, name).write_text(json.dumps(item))


def keep_revision(item: dict[str, Any], image: str) -> None:
    """A ReplicaSet for each template of the stable Deployment."""
    if item["metadata"]["name"] != "tabserve":
        return
    path = STATE / "replicasets.json"
    sets = json.loads(path.read_text()) if path.is_file() else {"items": []}
    annotations = {"deployment.kubernetes.io/revision": str(len(sets["items"]) + 1)}
    sets["items"].append(
        {"metadata": {"annotations": annotations}, "spec": {"template": item["spec"]["template"]}}
    )
    path.write_text(json.dumps(sets))


def main(arguments: list[str]) -> int:
    """Do one command."""
    with (STATE / "calls.txt").open("a") as calls:
        calls.write(" ".join(arguments) + "\n")
    assert arguments[:2] == ["--namespace", "tabserve"]
    command, *rest = arguments[2:]
    names = [each for each in rest if not each.startswith("--")]
    if command == "get" and rest[0] == "replicasets":
        sys.stdout.write((STATE / "replicasets.json").read_text())
    elif command == "get":
        path = place(rest[0], rest[1])
        sys.stdout.write(path.read_text() if path.is_file() else "")
    elif command == "apply":
        item = json.load(sys.stdin)
        with (STATE / "calls.txt").open("a") as calls:
            calls.write(f"applied {item['kind']} {item['metadata']['name']}\n")
        write(item)
    elif command == "delete":
        place(rest[0], rest[1]).unlink(missing_ok=True)
    elif command == "logs":
        sys.stdout.write("600 scored\n")
    elif command == "set":
        item = json.loads(place("deployment", "tabserve").read_text())
        item["spec"]["template"]["spec"]["containers"][0]["image"] = names[2].partition("=")[2]
        write(item)
    elif command == "rollout" and rest[0] == "undo":
        sets = json.loads((STATE / "replicasets.json").read_text())["items"]
        item = json.loads(place("deployment", "tabserve").read_text())
        item["spec"]["template"] = sets[int(rest[2].partition("=")[2]) - 1]["spec"]["template"]
        write(item)
    elif command == "rollout":
        item = json.loads(place("deployment", names[1].partition("/")[2]).read_text())
        if "never-ready" in json.dumps(item["spec"]["template"]):
            sys.stderr.write("error: timed out waiting for the condition\n")
            return 1
    else:
        sys.stderr.write(f"error: unknown command {command}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
