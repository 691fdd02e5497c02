"""A server of the catalogue, started with its environment on given cores until the block ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtests.machine import processes, store
from loadtests.peers import environments
from loadtests.peers.catalogue import ROOT, Peer
from loadtests.peers.commands import Site

# Longer than the slowest peer (MLflow, a good ten seconds on one core) by far.
_READY_SECONDS = 120.0
_TIMEOUT_SECONDS = 5
US = "tabserve"


@dataclass(frozen=True)
class Launched:
    """A server that is ready: where, its processes, and how long that took."""

    site: Site
    server: processes.Server
    ready_seconds: float


@contextlib.contextmanager
def launched(
    peer: Peer,
    tag: str,
    *,
    cores: str,
    workers: int = 1,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Launched]:
    """Start a server with the model `tag`, wait until it is ready, stop it at the end.

    `settings`: environment variables over the peer's own. Raises CannotInstall,
    ServerFailed, OSError.
    """
    environments.ensure(peer.environment)
    with tempfile.TemporaryDirectory(prefix="tabserve-load-") as name:
        work = Path(name)
        site = Site(free_port(), store.find(tag) / store.EXPORTED, work, peer.python)
        variables = {
            "PEER_MODEL": str(site.model),
            "BENTOML_DO_NOT_TRACK": "True",
            "TABSERVE_MODEL": tag,
            "TABSERVE_WORKERS": str(workers),
            # Some servers call their own tools by name.
            "PATH": f"{peer.python.parent}{os.pathsep}{os.environ['PATH']}",
            **({"TABSERVE_DATA_DIR": name} if peer.is_project else {"PYTHONPATH": str(ROOT)}),
            **({"TABSERVE_KEYS_FILE": str(work / "keys.json")} if peer.read_key else {}),
            **peer.variables,
            **(settings or {}),
        }
        if peer.is_project:
            _compile(peer.python, work)
        if peer.prepare is not None:
            with processes.serve(
                peer.prepare(site),
                cores=f"0-{(os.cpu_count() or 1) - 1}",
                log=work / "prepare.log",
                environment=variables,
                folder=work,
            ) as preparation:
                preparation.wait_end(_READY_SECONDS)
        started = time.perf_counter()
        with processes.serve(
            peer.command(site, workers),
            cores=cores,
            log=work / "server.log",
            environment=variables,
            folder=ROOT if peer.is_project else work,
        ) as server:
            server.wait_ready(f"http://127.0.0.1:{site.port}{peer.ready}", _READY_SECONDS)
            yield Launched(site, server, time.perf_counter() - started)


def _compile(python: Path, work: Path) -> None:
    # As in an image; the packages were compiled when they were installed.
    with processes.serve(
        [str(python), "-m", "compileall", "-q", "bentos", "service.py"],
        cores=f"0-{(os.cpu_count() or 1) - 1}",
        log=work / "compile.log",
        environment={},
        folder=ROOT,
    ) as compilation:
        compilation.wait_end(_READY_SECONDS)


def describe_model(ready: Launched) -> dict[str, str]:
    """What tabserve says of its model: what scores it, and how many features it has."""
    url = f"http://127.0.0.1:{ready.site.port}/v1/model"
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # loopback
        model = json.load(answer)
    return {
        "engine": model["engine"],
        "flavor": model["mlflow"]["flavor"],
        "task": model["task"],
        "features": str(len(model["features"])),
    }


def free_port() -> int:
    """Give a loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
