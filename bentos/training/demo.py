"""`make demo`: from data to answers to drift in one go, then everything is stopped again.

Uses only what a user has: the command line, `bentoml serve`, HTTP. Anything that fails
ends it with one line and a non-zero exit code.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import httpx
import numpy as np
import pandas as pd

from bentos.training.data import Dataset, load_reference
from bentos.training.explore import describe

NAME = "credit-default"
# Loading LightGBM, BentoML and, for the proof with its own loader, MLflow takes some
# seconds; a busy machine takes several times as long.
START_SECONDS = 120
STOP_SECONDS = 30

SHOWN_METRICS = (
    "tabserve_ready",
    "tabserve_requests_total",
    "tabserve_rows_total",
    "tabserve_labels_total",
    "tabserve_batch_rows_count",
    "tabserve_log_rows",
)

# A log of the demo's own, so that each starts with an empty one and can be looked at after.
LOG = Path(".tabserve") / "demo.db"
EXPLORED = Path(".tabserve") / "explore.html"

ORDINARY_ROWS = 4000
CHANGED_ROWS = 6000
_ROWS_A_REQUEST = 1000


def step(number: int, what: str) -> None:
    """Announce a step."""
    click.secho(f"\n[{number}/7] {what}", bold=True)


def run(*arguments: str) -> None:
    """Run a command of the project, its output shown. Raises ClickException if it fails."""
    click.echo(f"$ {' '.join(arguments)}")
    command = [sys.executable, "-m", "bentos.cli", *arguments[1:]]
    if subprocess.run(command, check=False).returncode != 0:  # noqa: S603 - our own command
        raise click.ClickException(f"`{' '.join(arguments)}` failed: its last line says why")


def is_imported() -> bool:
    """Whether the Bento store has the model."""
    import bentoml  # noqa: PLC0415 - --help stays quick

    try:
        bentoml.models.get(f"{NAME}:latest")
    except bentoml.exceptions.BentoMLException:
        return False
    return True


def free_port() -> int:
    """A loopback port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def service(port: int) -> Iterator[httpx.Client]:
    """Start the service, give a client once it is ready, and stop it whatever happens."""
    base = f"http://127.0.0.1:{port}"
    command = ["bentoml", "serve", ".", "--host", "127.0.0.1", "--port", str(port)]
    click.echo(f"$ {' '.join(command)}")
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(  # noqa: S603 - the service of this very project
            [sys.executable, "-m", *command], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            with httpx.Client(base_url=base, timeout=10) as client:
                _wait_until_ready(client, process)
                yield client
        except BaseException:
            log.seek(0)
            click.echo("the service said last:", err=True)
            click.echo("".join(log.readlines()[-15:]), err=True)
            raise
        finally:
            process.terminate()
            try:
                code = process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
        if code != 0:
            raise click.ClickException(f"the service stopped with exit code {code}")


def _wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    said = ""
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise click.ClickException(f"the service stopped with exit code {process.returncode}")
        try:
            answer = client.get("/readyz")
        except httpx.TransportError:
            time.sleep(0.25)
            continue
        if answer.status_code == 200:
            click.echo("ready")
            return
        if (detail := answer.json()["detail"]) != said:
            said = detail
            click.echo(f"not ready yet: {detail}")
        time.sleep(0.25)
    raise click.ClickException(f"the service was not ready within {START_SECONDS} seconds")


def show(client: httpx.Client, what: str, path: str, body: object, expected: int) -> None:
    """Send a body and show the answer. Raises ClickException for another status."""
    answer = client.post(path, json=body)
    click.secho(f"\n{what}: POST {path} -> {answer.status_code}", fg="cyan")
    click.echo(json.dumps(answer.json(), indent=2))
    if answer.status_code != expected:
        raise click.ClickException(f"{path} answered {answer.status_code}, not {expected}")


def rows_of(features: pd.DataFrame) -> list[dict[str, object]]:
    """Rows as a client would send them: missing is null."""
    rows: list[dict[str, object]] = json.loads(features.to_json(orient="records"))
    return rows


def talk(client: httpx.Client, rows: Sequence[dict[str, object]]) -> None:
    """Send good and bad rows, and show what comes back."""
    good, other = rows[0], rows[1]
    click.echo(f"a real row: {json.dumps(good)}")
    show(client, "a good row", "/v1/predict", good, 200)
    show(
        client,
        "a limit outside the training range, a value missing",
        "/v1/predict",
        {
            **good,
            "limit_balance": 5_000_000.0,
            "bill_amount_sep": None,
        },
        200,
    )
    wrong = {**good, "limit_balance": "50000", "marriage": "complicated", "agee": good["age"]}
    del wrong["age"]
    show(client, "four mistakes in one row", "/v1/predict", wrong, 422)
    show(
        client,
        "a batch with a bad row",
        "/v1/predict/batch",
        {
            "instances": [good, {**other, "age": None, "sex": 2}, other],
        },
        200,
    )


def send(client: httpx.Client, features: pd.DataFrame) -> list[str]:
    """Score many rows in large batches; gives the ids of their predictions."""
    predictions: list[dict[str, object]] = []
    for start in range(0, len(features), _ROWS_A_REQUEST):
        part = rows_of(features.iloc[start : start + _ROWS_A_REQUEST])
        answer = client.post("/v1/predict/batch", json={"instances": part})
        predictions += answer.raise_for_status().json()["predictions"]
    positives = sum(prediction["label"] == 1 for prediction in predictions)
    click.echo(f"{len(predictions):,} real rows in batches: {positives:,} predicted to default")
    click.echo(f"Server-Timing of the last: {answer.headers['server-timing']}")
    return [str(prediction["id"]) for prediction in predictions]


def follow_up(client: httpx.Client, ids: Sequence[str], labels: Sequence[object]) -> None:
    """Report what became of every other prediction, and read the log back."""
    known = [
        {"id": name, "outcome": label} for name, label in zip(ids[::2], labels[::2], strict=True)
    ]
    answer = client.post("/v1/feedback", json=known).raise_for_status()
    recorded = sum(one.get("status") == "recorded" for one in answer.json()["results"])
    click.echo(f"POST /v1/feedback -> {answer.status_code}, {recorded:,} outcomes recorded")
    run("tabserve", "records", "--id", ids[0])
    run("tabserve", "performance", "--since", "1h")
    run("tabserve", "replay", "--since", "1h")


def change(features: pd.DataFrame) -> pd.DataFrame:
    """Make the same people poorer, and some of their bills unknown: what drift looks like."""
    changed = features.copy()
    changed["limit_balance"] *= 0.6
    changed.loc[changed.index[::8], "bill_amount_sep"] = np.nan
    return changed


def look_for_drift(job: str) -> None:
    """Run the drift job as given: it reads the log of this demo."""
    click.echo(f"$ {job}")
    if subprocess.run(shlex.split(job), check=False).returncode != 0:  # noqa: S603 - given by the Makefile
        raise click.ClickException("the drift job failed: its last lines say why")


def report(client: httpx.Client) -> None:
    """Show the model's line and the metrics that matter first."""
    model = client.get("/v1/model").raise_for_status().json()
    metrics = model["metrics"]
    click.echo(
        f"{model['name']}:{model['version']}, MLflow {model['mlflow']['registry_name']} version "
        f"{model['mlflow']['registry_version']}: test ROC-AUC {metrics['test_roc_auc']:.4f}, "
        f"KS {metrics['test_ks']:.4f}, Brier {metrics['test_brier']:.4f}; "
        f"label 1 from {model['threshold']:.4f} on; contract {model['contract_hash'][:12]}"
    )
    for line in client.get("/metrics").raise_for_status().text.splitlines():
        # Many series exist from the start, so that an alert sees their first increase.
        if line.startswith(SHOWN_METRICS) and not line.endswith(" 0.0"):
            click.echo(line)


def pick(dataset: Dataset) -> tuple[Dataset, Dataset]:
    """Pick rows for ordinary and for changed traffic, the same in every demo."""
    order = np.random.default_rng(11).permutation(len(dataset.features))
    ordinary, changed = order[:ORDINARY_ROWS], order[ORDINARY_ROWS:][:CHANGED_ROWS]
    return dataset.take(ordinary), dataset.take(changed)


@click.command()
@click.option("--prepare", is_flag=True, help="Only make sure that there is a model to serve.")
@click.option("--job", help="Drift job to run after ordinary and after changed traffic.")
def main(prepare: bool, job: str | None) -> None:
    """Train, import, serve, score real rows, read the log, look for drift, stop."""
    if prepare and is_imported():
        return
    begin = time.monotonic()
    if not Path("service.py").is_file():
        raise click.ClickException("run this in the project's root folder")
    step(1, "train the reference model (or reuse it) and register it in MLflow")
    if not prepare and not EXPLORED.exists():
        # The reference data never change, and neither does their page.
        EXPLORED.parent.mkdir(parents=True, exist_ok=True)
        EXPLORED.write_text(describe(load_reference()), encoding="utf-8")
        click.echo(f"the data on one page: {EXPLORED}")
    run("tabserve", "train", "--reuse", "--name", NAME)
    step(2, "import the champion into the Bento store")
    run("tabserve", "import", f"models:/{NAME}@champion")
    if prepare:
        return
    os.environ["TABSERVE_MODEL"] = f"{NAME}:latest"
    os.environ["TABSERVE_STORE_URL"] = f"sqlite:///{LOG}"
    for old in LOG.parent.glob(f"{LOG.name}*"):
        old.unlink()
    ordinary, changed = pick(load_reference())
    step(3, "serve it")
    with service(free_port()) as client:
        step(4, "score real rows over HTTP, good and bad")
        talk(client, rows_of(ordinary.features.head(2)))
        ids = send(client, ordinary.features)
        step(5, "outcomes come back; the prediction log is read, judged, replayed")
        follow_up(client, ids, ordinary.labels.tolist())
        step(6, "look for drift after ordinary traffic, and after changed traffic")
        if job is None:
            click.echo("no drift job was given: `make demo` gives one")
        else:
            look_for_drift(job)
            send(client, change(changed.features))
            look_for_drift(job)
        step(7, "what is served, and how it went")
        report(client)
    click.secho(
        f"\neverything worked and is stopped again ({time.monotonic() - begin:.0f} s)", fg="green"
    )
    click.echo(
        "next:\n"
        "  make serve                 the same service on http://127.0.0.1:3000 (Swagger page)\n"
        "  uv run tabserve --help     train on your data, import your model, read the log\n"
        "  .tabserve/drift/*.html     the drift reports, for a browser\n"
        "  .tabserve/explore.html     the reference data on one page\n"
        "  uv run mlflow ui --backend-store-uri sqlite:///.tabserve/mlflow.db\n"
        "                             runs, pictures and the model card\n"
        "  ARCHITECTURE.md            how it is built"
    )


if __name__ == "__main__":
    main()
