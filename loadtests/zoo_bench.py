"""Every model of the zoo beside a peer: `python -m loadtests.zoo_bench` (`make bench-zoo`).

tabserve as it comes (prediction log and access log on) and stripped of both, and a careful
FastAPI server with the same model, one after the other on one core, wrk on another. Each
server's scores are compared with the model's own on 10,000 rows before it is loaded, and every
answered row must be in the log. The report names the worst model first.
`--rivals`: the other servers of `peers/catalogue.py`, too. `--second-core`: tabserve on two cores,
and with two workers.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from loadtests.bench import exit_code
from loadtests.benchmark import delivery, equality, zoo_chart, zoo_report
from loadtests.benchmark.measurement import Measurements, Start
from loadtests.benchmark.visit import Load, Visit
from loadtests.machine import environment, processes, store
from loadtests.machine.launch import US, describe_model, launched
from loadtests.peers import abilities, environments
from loadtests.peers.catalogue import BY_NAME, Peer
from loadtests.session import add_zoo_options, what_is_missing
from loadtests.traffic import rows, wrk

DEFAULTS = "tabserve-defaults"
PEERS = (US, DEFAULTS, "fastapi")
# One of each kind: tuned or batching variants are what `make bench` compares.
RIVALS = ("bentoml-stock", "mlflow", "mlserver", "litserve")
# Measured beside the first model alone: it knows none.
_FLOOR = "floor"
# Single rows: alone, and as many callers as the goals are set for. Batches: one connection.
_CONNECTIONS = (1, 32)


@dataclass(frozen=True)
class Arrangement:
    """One visit of a round: the server, its workers, and the cores of server and generator."""

    peer: Peer
    server_cores: str
    load_core: str
    workers: int = 1

    @property
    def is_usual(self) -> bool:
        """Whether the server has one core, and so all loads."""
        return len(processes.cores_of(self.server_cores)) == 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; exit 1 for what `exit_code` names, 2 where it cannot run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    if options.quick:
        options.seconds, options.rounds = 1.0, 1
    if missing := what_is_missing():
        print(missing, file=sys.stderr)  # noqa: T201  # a command line speaks
        return 2
    command = shlex.join(["python", "-m", "loadtests.zoo_bench", *arguments])
    names = options.models or sorted(path.stem for path in options.folder.glob("*.jsonl"))
    if not names:
        print(f"{options.folder} has no models: make zoo", file=sys.stderr)  # noqa: T201
        return 2
    described = environment.describe() | _second_core(options)
    found = {name: Measurements(dict(described), command) for name in names}
    for number in range(options.rounds):
        for name in names:
            for one in _arrangements(options, is_first=name == names[0]):
                _try(one, name, number, options, found[name])
            # After each model: a run that is cut short has what it has.
            _write(found, options.output)
    print(options.output / f"{environment.today()}-zoo.md")  # noqa: T201
    return max(exit_code(measured) for measured in found.values())


def _arrangements(options: argparse.Namespace, *, is_first: bool) -> list[Arrangement]:
    names = [*options.peers, *(RIVALS if options.rivals else ()), *([_FLOOR] if is_first else [])]
    found = [
        Arrangement(BY_NAME[name], options.server_core, options.load_core)
        for name in dict.fromkeys(names)
    ]
    if options.second_core:
        both, load = f"{options.server_core},{options.load_core}", _spare(options)
        found += [Arrangement(BY_NAME[name], both, load) for name in (US, DEFAULTS)]
        found.append(Arrangement(BY_NAME[US], both, load, workers=2))
    return found


def _spare(options: argparse.Namespace) -> str:
    """Give a core that neither server core is; the generator's own where there is none."""
    taken = processes.cores_of(f"{options.server_core},{options.load_core}")
    spare = sorted(os.sched_getaffinity(0) - taken)
    return str(spare[0]) if spare else str(options.load_core)


def _second_core(options: argparse.Namespace) -> dict[str, str]:
    if not options.second_core:
        return {}
    if _spare(options) != options.load_core:
        return {"second core": "and the load generator has a third for itself"}
    return {
        "second core": "the second of which the load generator shares, as the machine has no "
        'third: it is not free, by what stands under "load\'s cores" below'
    }


def _try(
    one: Arrangement, name: str, number: int, options: argparse.Namespace, measured: Measurements
) -> None:
    peer = one.peer.name
    if peer in measured.failed or peer in measured.cannot:
        return
    try:
        _visit(one, name, number, options, measured)
    except abilities.CannotServe as error:
        measured.cannot[peer] = str(error)
        print(f"{name} {peer}: {error}", file=sys.stderr)  # noqa: T201
    except (
        processes.ServerFailed,
        equality.Different,
        delivery.NotDelivered,
        environments.CannotInstall,
        wrk.GeneratorFailed,
        OSError,
        ValueError,
    ) as error:
        # A server says at its end what went wrong.
        measured.failed[peer] = str(error).strip().splitlines()[-1]
        print(f"{name} {peer}: {measured.failed[peer]}", file=sys.stderr)  # noqa: T201


def _visit(
    one: Arrangement, name: str, number: int, options: argparse.Namespace, measured: Measurements
) -> None:
    tag = f"zoo-{name}:latest"
    peer = abilities.fit(one.peer.of_model(tag), store.contract_of(tag))
    samples = rows.read(options.folder / f"{name}.jsonl")
    measured.environment["model"] = store.version_of(tag)
    load = Load(options.seconds, one.server_cores, one.load_core)
    print(f"-- {name}", flush=True)  # noqa: T201  # progress
    with launched(peer, tag, cores=one.server_cores, workers=one.workers) as ready:
        if one.is_usual:
            measured.starts.append(Start(peer.name, number, ready.ready_seconds))
        if peer.name == US:
            measured.environment.update(describe_model(ready))
        visit = Visit(peer, number, ready, samples, load, measured, workers=one.workers)
        visit.warm_up()
        visit.rows(_CONNECTIONS if one.is_usual else _CONNECTIONS[1:])
        if one.workers == 1:
            visit.batches((1,))
        visit.check_log()


def _write(found: dict[str, Measurements], output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    stem = f"{environment.today()}-zoo"
    document = {name: asdict(measured) for name, measured in found.items()}
    (output / f"{stem}.json").write_text(json.dumps(document, indent=1) + "\n")
    pictures = zoo_chart.draw(found, output, stem)
    (output / f"{stem}.md").write_text(zoo_report.render(found, pictures))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", help="names; all of the folder by default")
    parser.add_argument("--peers", nargs="+", choices=BY_NAME, default=list(PEERS))
    parser.add_argument("--rivals", action="store_true", help=f"and {', '.join(RIVALS)}")
    parser.add_argument("--second-core", action="store_true", help="tabserve on two cores, too")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each point")
    parser.add_argument("--rounds", type=int, default=1)
    add_zoo_options(parser, "short, one round")
    return parser


if __name__ == "__main__":
    sys.exit(main())
