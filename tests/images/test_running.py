"""The serving image at work, with no rights but those that it needs."""

from __future__ import annotations

import os
import shlex
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.images.conftest import SERVING

GRACE_SECONDS = 30
# Where the tool's own runtime does not work: IMAGE_RUN_OPTIONS="--runtime /usr/sbin/runc ...".
OPTIONS = shlex.split(os.environ.get("IMAGE_RUN_OPTIONS", ""))
RESTRICTED = (
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--tmpfs=/tmp:rw,mode=1777",
    "--network=host",
)


@dataclass
class Container:
    """A running container, and the folder of its log."""

    tool: str
    name: str
    client: httpx.Client
    folder: Path

    def stop(self) -> int:
        """End it as Kubernetes does, and give its exit code."""
        subprocess.run(
            [self.tool, "stop", "--time", str(GRACE_SECONDS), self.name],
            check=True,
            capture_output=True,
        )
        code = subprocess.run(
            [self.tool, "inspect", "--format", "{{.State.ExitCode}}", self.name],
            check=True,
            capture_output=True,
            text=True,
        )
        return int(code.stdout)


@pytest.fixture(params=["65532:65532", "1000710000:0"], ids=["own-user", "any-user"])
def container(tool: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Container]:
    """The image, restricted as Pod Security asks, as its own user and as one of OpenShift's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tmp_path.chmod(0o777)
    for parent in list(tmp_path.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    name = f"tabserve-test-{port}"
    command = [tool, "run", "--detach", "--name", name, "--user", request.param, *RESTRICTED]
    command += [*OPTIONS, "--volume", f"{tmp_path}:/var/lib/tabserve", SERVING]
    command += ["bentoml", "serve", "/opt/bento", "--host", "127.0.0.1", "--port", str(port)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            yield Container(tool, name, client, tmp_path)
    finally:
        subprocess.run([tool, "rm", "--force", name], check=True, capture_output=True)


def wait_until_ready(client: httpx.Client, seconds: float = 120) -> None:
    """Wait for the model to have proved itself."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail("the container did not become ready")


def make_row(model: dict[str, Any]) -> dict[str, Any]:
    """A row that the contract takes: the middle of each range, the first of each category."""
    row: dict[str, Any] = {}
    for feature in model["features"]:
        if feature["categories"]:
            row[feature["name"]] = feature["categories"][0]
        else:
            profile = feature["profile"]
            row[feature["name"]] = (profile["minimum"] + profile["maximum"]) / 2
    return row


def test_serves_and_stops(container: Container) -> None:
    """It answers; stopped under load it finishes what it took on, and has logged every answer."""
    client = container.client
    wait_until_ready(client)
    row = make_row(client.get("/v1/model").json())
    answered: list[str] = []
    refused: list[int] = []
    stopped = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=client.base_url) as own:
            while not stopped.is_set():
                try:
                    answer = own.post("/v1/predict", json=row)
                except httpx.TransportError:
                    # The server has closed its port, or an idle connection.
                    continue
                if answer.status_code == 200:
                    answered.append(answer.json()["id"])
                else:
                    refused.append(answer.status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    began = time.monotonic()
    code = container.stop()
    took = time.monotonic() - began
    stopped.set()
    for thread in threads:
        thread.join()
    assert code == 0
    assert took < GRACE_SECONDS - 5, "it did not wait to be killed"
    assert len(answered) > 100
    assert set(refused) <= {503}
    with closing(sqlite3.connect(container.folder / "records.db")) as log:
        (logged,) = log.execute("SELECT count(*) FROM predictions").fetchone()
    assert logged >= len(set(answered))


def test_commands(container: Container) -> None:
    """`tabserve` is on PATH and knows the model that the image holds."""
    wait_until_ready(container.client)
    run = [container.tool, "exec", container.name, "tabserve"]
    version = subprocess.run([*run, "--version"], check=True, capture_output=True, text=True)
    assert version.stdout.startswith("tabserve, version ")
    row = make_row(container.client.get("/v1/model").json())
    assert container.client.post("/v1/predict", json=row).status_code == 200
    # A row is in the log within a second of its answer.
    time.sleep(3)
    replay = subprocess.run([*run, "replay"], check=True, capture_output=True, text=True)
    assert "1 equal to the last bit, 0 different" in replay.stdout
    assert subprocess.run([*run, "migrate"], check=True, capture_output=True).returncode == 0


def test_a_log_without_a_volume_is_warned_of(tool: str) -> None:
    """Where no volume is mounted for the log, one line says that it goes with the container."""
    name = "tabserve-test-no-volume"
    command = [tool, "run", "--detach", "--name", name, "--network=host", *OPTIONS, SERVING]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command += ["bentoml", "serve", "/opt/bento", "--host", "127.0.0.1", "--port", str(port)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            wait_until_ready(client)
        logs = subprocess.run([tool, "logs", name], check=True, capture_output=True, text=True)
        assert (logs.stdout + logs.stderr).count("lies in the container's own layer") == 1
    finally:
        subprocess.run([tool, "rm", "--force", name], check=True, capture_output=True)
