"""Every model of the zoo beside a peer: `python -m loadtests.zoo_bench` (`make bench-zoo`).

tabserve as it comes (prediction log and access log on) and stripped of both, and a careful
FastAPI server with the same model, one after the other on one core, wrk on another. Each
server's scores are compared with the model's own on 10,000 rows before it is loaded. The
report names the worst model first.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from loadtests.bench import exit_code
from loadtests.benchmark import equality, zoo_chart, zoo_report
from loadtests.benchmark.measurement import Measurements, Start
from loadtests.benchmark.visit import Load, Visit
from loadtests.machine import environment, processes, store
from loadtests.machine.launch import US, Launched, launched
from loadtests.peers import environments
from loadtests.peers.catalogue import BY_NAME, DEVELOPMENT, Peer
from loadtests.session import RESULTS, has_two_cores
from loadtests.traffic import rows, wrk

PEERS = (US, "tabserve-defaults", "fastapi")
# Measured beside the first model alone: it knows none.
_FLOOR = "floor"
# Single rows: alone, and as many callers as the goals are set for. Batches: one connection.
_CONNECTIONS = (1, 32)
_TIMEOUT_SECONDS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; exit 1 where scores differ or a server failed, 2 where it cannot run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    if options.quick:
        options.seconds, options.rounds = 1.0, 1
    if not wrk.is_installed() or not has_two_cores():
        print(f"two cores and taskset are needed, and wrk: {wrk.INSTALL}", file=sys.stderr)  # noqa: T201  # a command line speaks
        return 2
    command = shlex.join(["python", "-m", "loadtests.zoo_bench", *arguments])
    names = options.models or sorted(path.stem for path in options.folder.glob("*.jsonl"))
    if not names:
        print(f"{options.folder} has no models: make zoo", file=sys.stderr)  # noqa: T201
        return 2
    found = {name: Measurements(environment.describe(), command) for name in names}
    for number in range(options.rounds):
        for name in names:
            peers = [*options.peers, *([_FLOOR] if name == names[0] else [])]
            for peer in peers:
                _try(BY_NAME[peer], name, number, options, found[name])
            # After each model: a run that is cut short has what it has.
            _write(found, options.output)
    print(options.output / f"{environment.today()}-zoo.md")  # noqa: T201
    return max(exit_code(measured) for measured in found.values())


def _try(
    peer: Peer, name: str, number: int, options: argparse.Namespace, measured: Measurements
) -> None:
    if peer.name in measured.failed:
        return
    try:
        _visit(peer, name, number, options, measured)
    except (
        processes.ServerFailed,
        equality.Different,
        environments.CannotInstall,
        wrk.GeneratorFailed,
        OSError,
        ValueError,
    ) as error:
        # A server says at its end why it cannot serve a model.
        measured.failed[peer.name] = str(error).strip().splitlines()[-1]
        print(f"{name} {peer.name}: {measured.failed[peer.name]}", file=sys.stderr)  # noqa: T201


def _visit(
    peer: Peer, name: str, number: int, options: argparse.Namespace, measured: Measurements
) -> None:
    tag = f"zoo-{name}:latest"
    contract = json.loads((store.find(tag) / store.EXPORTED / "contract.json").read_text())
    if peer.is_project and contract["engine"] == "pyfunc":
        peer = replace(peer, environment=DEVELOPMENT)
    samples = rows.read(options.folder / f"{name}.jsonl")
    measured.environment["model"] = store.version_of(tag)
    load = Load(options.seconds, options.server_core, options.load_core)
    print(f"-- {name}", flush=True)  # noqa: T201  # progress
    with launched(peer, tag, cores=options.server_core) as ready:
        measured.starts.append(Start(peer.name, number, ready.ready_seconds))
        if peer.name == US:
            measured.environment.update(_described(ready))
        visit = Visit(peer, number, ready, samples, load, measured)
        visit.warm_up()
        visit.rows(_CONNECTIONS)
        visit.batches((1,))


def _described(ready: Launched) -> dict[str, str]:
    """What the service says of its model: what scores it, and how many features it has."""
    url = f"http://127.0.0.1:{ready.site.port}/v1/model"
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # loopback
        model = json.load(answer)
    return {
        "engine": model["engine"],
        "flavor": model["mlflow"]["flavor"],
        "task": model["task"],
        "features": str(len(model["features"])),
    }


def _write(found: dict[str, Measurements], output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    stem = f"{environment.today()}-zoo"
    document = {name: asdict(measured) for name, measured in found.items()}
    (output / f"{stem}.json").write_text(json.dumps(document, indent=1) + "\n")
    pictures = zoo_chart.draw(found, output, stem)
    (output / f"{stem}.md").write_text(zoo_report.render(found, pictures))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".tabserve/zoo"), help="of make zoo")
    parser.add_argument("--models", nargs="+", help="names; all of the folder by default")
    parser.add_argument("--peers", nargs="+", choices=BY_NAME, default=list(PEERS))
    parser.add_argument("--seconds", type=float, default=3.0, help="of each point")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--server-core", default="0")
    parser.add_argument("--load-core", default="1")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="short, one round: does it work?")
    return parser


if __name__ == "__main__":
    sys.exit(main())
