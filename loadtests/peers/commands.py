"""How each kind of server is started, and where."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

APPS = "loadtests.peers.apps"


@dataclass(frozen=True)
class Site:
    """Where a peer is run: its port, the model's folder, a folder of its own, its Python."""

    port: int
    model: Path
    work: Path
    python: Path

    def tool(self, name: str) -> str:
        """Name a command of the peer's environment."""
        return str(self.python.parent / name)


def uvicorn(app: str) -> Callable[[Site, int], list[str]]:
    """An ASGI app of `apps/` under uvicorn."""

    def command(site: Site, workers: int) -> list[str]:
        return [
            *(str(site.python), "-m", "uvicorn", f"{APPS}.{app}:app"),
            *("--host", "127.0.0.1", "--port", str(site.port)),
            *("--loop", "uvloop", "--http", "httptools"),
            *("--no-access-log", "--log-level", "warning", "--workers", str(workers)),
        ]

    return command


def bentoml(service: str) -> Callable[[Site, int], list[str]]:
    """A service under `bentoml serve`."""

    def command(site: Site, _: int) -> list[str]:
        return [
            *(str(site.python), "-m", "bentoml", "serve", service),
            *("--host", "127.0.0.1", "--port", str(site.port)),
        ]

    return command


def litserve(batch: int) -> Callable[[Site, int], list[str]]:
    """The LitServe app, with batches of so many rows."""

    def command(site: Site, _: int) -> list[str]:
        return [str(site.python), "-m", f"{APPS}.litserve_app", str(site.port), str(batch)]

    return command


def save_mlflow_model(site: Site) -> list[str]:
    """Write the model as MLflow serves it."""
    return [str(site.python), "-m", f"{APPS}.mlflow_model", str(site.work / "model")]


def serve_mlflow_model(site: Site, workers: int) -> list[str]:
    """`mlflow models serve`."""
    return [
        *(site.tool("mlflow"), "models", "serve", "-m", str(site.work / "model")),
        *("--env-manager", "local", "-h", "127.0.0.1", "-p", str(site.port), "-w", str(workers)),
    ]


def mlserver(site: Site, _: int) -> list[str]:
    """Write MLServer's settings, and start it."""
    # Its inference workers are off: in-process was its fastest arrangement on one core.
    settings = {
        "host": "127.0.0.1",
        "http_port": site.port,
        "grpc_port": site.port + 1,
        "metrics_port": site.port + 2,
        "parallel_workers": 0,
        "debug": False,
    }
    model = {
        "name": "model",
        "implementation": "mlserver_lightgbm.LightGBMModel",
        "parameters": {"uri": str(site.model / "booster.txt")},
    }
    (site.work / "settings.json").write_text(json.dumps(settings))
    (site.work / "model-settings.json").write_text(json.dumps(model))
    return [site.tool("mlserver"), "start", str(site.work)]
