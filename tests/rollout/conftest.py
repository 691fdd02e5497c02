"""A cluster and a Prometheus as a rollout sees them: a program and an HTTP server."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.k8s.rendered import render

PROGRAM = Path(__file__).parent / "kubectl.py"


@dataclass
class State:
    """The cluster's objects, as files."""

    folder: Path

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        """An object, or nothing."""
        path = self.folder / f"{kind}-{name}.json"
        return json.loads(path.read_text()) if path.is_file() else None

    @property
    def image(self) -> str:
        """The stable version's."""
        stable = self.read("deployment", "tabserve")
        assert stable is not None
        image: str = stable["spec"]["template"]["spec"]["containers"][0]["image"]
        return image

    @property
    def record(self) -> dict[str, Any]:
        """What the rollout wrote of itself."""
        found = self.read("configmap", "tabserve-rollout")
        assert found is not None
        record: dict[str, Any] = json.loads(found["data"]["record.json"])
        return record


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    """The production overlay, applied, with three replicas ready; `kubectl` on PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "kubectl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {PROGRAM} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    folder = tmp_path / "cluster"
    folder.mkdir()
    monkeypatch.setenv("KUBECTL_STATE", str(folder))
    for item in render("production"):
        if (item["kind"], item["metadata"]["name"]) == ("Deployment", "tabserve"):
            stable = {**item, "status": {"readyReplicas": 3}}
            (folder / "deployment-tabserve.json").write_text(json.dumps(stable))
            first = {
                "metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}},
                "spec": {"template": item["spec"]["template"]},
            }
            (folder / "replicasets.json").write_text(json.dumps({"items": [first]}))
    return State(folder)


@dataclass
class Served:
    """What Prometheus answers for the canary; the stable version is always healthy."""

    url: str = ""
    requests: float = 5000
    errors: float = 0
    status: int = 200
    asked: list[str] = field(default_factory=list)

    def answer(self, query: str) -> list[dict[str, Any]]:
        """Series by track, with the label that the query groups by."""
        self.asked.append(query)
        found = []
        for track, total, errors in (
            ("stable", 5000.0, 0.0),
            ("canary", self.requests, self.errors),
        ):
            if "by (track, status)" in query:
                rows = {"200": total - errors, "500": errors}
            elif "duration" in query:
                rows = {"0.01": total, "+Inf": total}
            elif "labels" in query:
                rows = {"0": total * 0.8, "1": total * 0.2}
            else:
                rows = {"0.5": total * 0.7, "+Inf": total}
            label = "status" if "status" in query else "label" if "label" in query else "le"
            found += [
                {"metric": {"track": track, label: name}, "value": [0, str(value)]}
                for name, value in rows.items()
                if total
            ]
        return found


@pytest.fixture
def prometheus() -> Iterator[Served]:
    """An HTTP server that answers as Prometheus does."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            result = served.answer(parse_qs(body)["query"][0])
            self.send_response(served.status)
            self.end_headers()
            self.wfile.write(json.dumps({"data": {"result": result}}).encode())

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        served.url = f"http://127.0.0.1:{server.server_port}"
        yield served
        server.shutdown()
        thread.join()
