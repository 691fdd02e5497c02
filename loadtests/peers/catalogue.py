"""The list of servers: how each is started, how a row is sent to it, where its scores are.

Every one serves the same booster. What one does not do that tabserve does (validation,
ids, labels, metrics) is written in `note`, and goes into the report.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from loadtests.peers import bodies, commands
from loadtests.peers.bodies import Row
from loadtests.peers.commands import Site

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = Path(__file__).parent / ".venv"
REQUIREMENTS = Path(__file__).parent / "requirements"
# The environment of the service itself: the project's lock, without extras and groups.
OWN = "tabserve"
# The interpreter that runs this: it has MLflow, which a model of its pyfunc needs.
DEVELOPMENT = "development"


@dataclass(frozen=True)
class Peer:
    """One server."""

    name: str
    title: str
    note: str
    # Name of its lock file; OWN for the project's own.
    environment: str
    command: Callable[[Site, int], list[str]]
    ready: str
    path: str
    body: Callable[[Sequence[Row], Mapping[str, Any]], Any]
    scores: Callable[[Any], list[float]] | None
    batch_path: str = ""
    batch_body: Callable[[Sequence[Row], Mapping[str, Any]], Any] | None = None
    batch_scores: Callable[[Any], list[float]] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Site], list[str]] | None = None
    # Gives the key that requests need, once `prepare` has made it.
    read_key: Callable[[Site], str] | None = None
    # Whether it is the project itself, run from its folder.
    is_project: bool = False
    # Its environment for a model that MLflow runs; empty where it cannot serve one.
    mlflow_environment: str = ""
    # Whether it reads the models of LightGBM and of no other library.
    has_lightgbm_alone: bool = False

    def of_model(self, tag: str) -> Peer:
        """The same server with the name of a model of our store in its paths."""
        name = tag.partition(":")[0]
        return replace(
            self,
            path=self.path.replace("{model}", name),
            batch_path=self.batch_path.replace("{model}", name),
        )

    @property
    def has_log(self) -> bool:
        """Whether it keeps a prediction log of every row."""
        return self.is_project and self.variables.get("TABSERVE_STORE_URL") != "none"

    @property
    def python(self) -> Path:
        """The interpreter of the peer's environment."""
        if self.environment == DEVELOPMENT:
            return Path(sys.executable)
        return ENVIRONMENTS / self.environment / "bin" / "python"


_QUIET = {"TABSERVE_ACCESS_LOG": "false", "TABSERVE_LOG_LEVEL": "warning"}

_OURS = Peer(
    name="tabserve",
    title="tabserve",
    note="validates, ids, labels, warnings, metrics by stage; no access log, no prediction log",
    environment=OWN,
    command=commands.bentoml("."),
    ready="/readyz",
    path="/v1/predict",
    body=bodies.one,
    scores=lambda answer: [bodies.score(answer)],
    batch_path="/v1/predict/batch",
    batch_body=bodies.instances,
    batch_scores=bodies.predictions,
    variables={**_QUIET, "TABSERVE_STORE_URL": "none"},
    is_project=True,
    mlflow_environment=DEVELOPMENT,
)


def _make_key(site: Site) -> list[str]:
    # Limits that are never reached: what is measured is the counting.
    limits = ("--requests-per-second", "1e8", "--rows-per-second", "1e8", "--concurrency", "9999")
    command = [sys.executable, "-m", "bentos.cli", "keys", "create", "bench", "--scopes", "predict"]
    return [*command, *limits, "--file", str(site.work / "keys.json")]


def _read_key(site: Site) -> str:
    lines = (site.work / "prepare.log").read_text().splitlines()
    return next(line for line in lines if line.startswith("tsk_"))


PEERS: tuple[Peer, ...] = (
    _OURS,
    replace(
        _OURS,
        name="tabserve-keys",
        title="tabserve, a key with limits asked for",
        note="each request brings a key; requests, rows and requests at a time are counted",
        prepare=_make_key,
        read_key=_read_key,
    ),
    replace(
        _OURS,
        name="tabserve-defaults",
        title="tabserve as it comes: prediction log (SQLite) and access log on",
        note="what a user gets on the first day; both logs are written on the same core",
        variables={},
    ),
    replace(
        _OURS,
        name="tabserve-log",
        title="tabserve, every answer in the prediction log (SQLite)",
        note="as above, and each row with its features recorded, on the same core",
        variables={**_QUIET, "TABSERVE_STORE_URL": "sqlite:///"},
    ),
    replace(
        _OURS,
        name="tabserve-v2",
        title="tabserve, Open Inference Protocol (a named tensor a feature)",
        note="as the first; what MLServer is compared with",
        path="/v2/models/{model}/infer",
        body=bodies.named_tensors,
        scores=bodies.first_output,
        batch_path="/v2/models/{model}/infer",
        batch_body=bodies.named_tensors,
        batch_scores=bodies.first_output,
    ),
    replace(
        _OURS,
        name="tabserve-mlflow",
        title="tabserve, MLflow scoring (`dataframe_records`, probabilities)",
        note="as the first; what `mlflow models serve` is compared with",
        path="/invocations",
        body=bodies.records,
        scores=bodies.outputs,
        batch_path="/invocations",
        batch_body=bodies.records,
        batch_scores=bodies.outputs,
    ),
    Peer(
        name="fastapi",
        title="FastAPI, strict pydantic, Booster.predict",
        note="validates, labels; no ids, no metrics; uvloop and httptools",
        environment="fastapi",
        mlflow_environment="fastapi-mlflow",
        command=commands.uvicorn("fastapi_app"),
        ready="/readyz",
        path="/v1/predict",
        body=bodies.one,
        scores=lambda answer: [bodies.score(answer)],
        batch_path="/v1/predict/batch",
        batch_body=bodies.instances,
        batch_scores=bodies.predictions,
    ),
    Peer(
        name="bentoml-stock",
        title="BentoML as installed, `batchable=True`, pydantic rows",
        note="validates, labels, BentoML's metrics; access log off",
        environment="bentoml",
        command=commands.bentoml(f"{commands.APPS}.bentoml_stock:Stock"),
        ready="/readyz",
        path="/predict",
        body=lambda rows, _: {"rows": rows},
        scores=bodies.all_scores,
        batch_path="/predict",
        batch_body=lambda rows, _: {"rows": rows},
        batch_scores=bodies.all_scores,
    ),
    Peer(
        name="bentoml-pyfunc",
        title="BentoML as installed, plain endpoint, MLflow's pyfunc",
        note="validates, labels, BentoML's metrics; a pandas frame a request; access log off",
        environment="bentoml-mlflow",
        command=commands.bentoml(f"{commands.APPS}.bentoml_pyfunc:Pyfunc"),
        ready="/readyz",
        path="/predict",
        body=lambda rows, _: {"rows": rows},
        scores=bodies.all_scores,
        batch_path="/predict",
        batch_body=lambda rows, _: {"rows": rows},
        batch_scores=bodies.all_scores,
        variables={"MLFLOW_DISABLE_TELEMETRY": "true"},
        prepare=commands.save_mlflow_model,
    ),
    Peer(
        name="bentoml-uvloop",
        title="the same with uvloop and httptools installed",
        note="as above",
        environment="bentoml-tuned",
        command=commands.bentoml(f"{commands.APPS}.bentoml_stock:Stock"),
        ready="/readyz",
        path="/predict",
        body=lambda rows, _: {"rows": rows},
        scores=bodies.all_scores,
        batch_path="/predict",
        batch_body=lambda rows, _: {"rows": rows},
        batch_scores=bodies.all_scores,
    ),
    Peer(
        name="mlflow",
        title="`mlflow models serve`, pyfunc with typed signature",
        note="checks column types; no categories, ids, labels, metrics; uvloop and httptools",
        environment="mlflow",
        command=commands.serve_mlflow_model,
        ready="/ping",
        path="/invocations",
        body=lambda rows, _: {"dataframe_records": rows},
        scores=bodies.outputs,
        batch_path="/invocations",
        batch_body=lambda rows, _: {"dataframe_records": rows},
        batch_scores=bodies.outputs,
        # Its launcher calls `bash -c "exec uvicorn ..."`: uvicorn reads this.
        variables={"UVICORN_ACCESS_LOG": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        prepare=commands.save_mlflow_model,
    ),
    Peer(
        name="mlserver",
        title="MLServer, LightGBM runtime",
        note="numbers by position, encoded by the client, not validated; no labels; own metrics",
        environment="mlserver",
        command=commands.mlserver,
        ready="/v2/health/ready",
        path="/v2/models/model/infer",
        body=bodies.tensor,
        scores=bodies.first_output,
        batch_path="/v2/models/model/infer",
        batch_body=bodies.tensor,
        batch_scores=bodies.first_output,
        has_lightgbm_alone=True,
    ),
    Peer(
        name="litserve",
        title="LitServe, strict pydantic, Booster.predict",
        note="validates, labels; no ids, no metrics; its worker is a second process on the core",
        environment="litserve",
        command=commands.litserve(1),
        ready="/health",
        path="/v1/predict",
        body=bodies.one,
        scores=lambda answer: [bodies.score(answer)],
    ),
    Peer(
        name="litserve-batching",
        title="the same with LitServe's batching (128 rows, 1 ms)",
        note="as above",
        environment="litserve",
        command=commands.litserve(128),
        ready="/health",
        path="/v1/predict",
        body=bodies.one,
        scores=lambda answer: [bodies.score(answer)],
    ),
    Peer(
        name="floor-bentoml",
        title="BentoML as installed, endpoint that does nothing",
        note="a floor: no model, no row",
        environment="bentoml",
        command=commands.bentoml(f"{commands.APPS}.bentoml_floor:Floor"),
        ready="/readyz",
        path="/predict",
        body=lambda rows, _: {"score": 0.5},
        scores=None,
    ),
    Peer(
        name="floor",
        title="uvicorn, ASGI callable that does nothing",
        note="the ceiling: the project's own uvicorn, uvloop and httptools; no model",
        environment=OWN,
        command=commands.uvicorn("floor"),
        ready="/",
        path="/v1/predict",
        body=bodies.one,
        scores=None,
    ),
)
BY_NAME = {peer.name: peer for peer in PEERS}
