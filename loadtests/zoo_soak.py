"""Models of the zoo at 70 % of their peak for five minutes each, with the log on.

`python -m loadtests.zoo_soak` (`make soak-zoo`) writes `results/DATE-zoo-soak.md`. Exit code 1
where a request failed, memory was not flat, or an answered row is not in the log.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from loadtests.benchmark import delivery, equality, soak_report
from loadtests.benchmark.measurement import Measurements
from loadtests.benchmark.soak import Soak, hold
from loadtests.benchmark.visit import Load, Visit
from loadtests.machine import environment, processes, store
from loadtests.machine.launch import describe_model, launched
from loadtests.peers import abilities, environments
from loadtests.peers.catalogue import BY_NAME
from loadtests.session import add_zoo_options, what_is_missing
from loadtests.traffic import openloop, rows, wrk

_SERVER = "tabserve-defaults"
# A dozen text categories, the widest rows, and the most rows a second: the log's dearest.
_MODELS = ("words", "wide", "small")


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak one model after the other; exit 1 where one was not good, 2 where it cannot run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    if options.quick:
        options.seconds, options.peak_seconds = 20.0, 2.0
    if missing := what_is_missing():
        print(missing, file=sys.stderr)  # noqa: T201  # a command line speaks
        return 2
    command = shlex.join(["python", "-m", "loadtests.zoo_soak", *arguments])
    described = environment.describe()
    found: list[Soak] = []
    for name in options.models:
        try:
            found.append(_soak(name, options))
        except (
            processes.ServerFailed,
            equality.Different,
            delivery.NotDelivered,
            environments.CannotInstall,
            wrk.GeneratorFailed,
            OSError,
            ValueError,
        ) as error:
            print(f"{name}: {error}", file=sys.stderr)  # noqa: T201
            return 1
        _write(described, command, found, options.output)
    print(options.output / f"{environment.today()}-zoo-soak.md")  # noqa: T201
    return int(any(soak.broken for soak in found))


def _soak(name: str, options: argparse.Namespace) -> Soak:
    tag = f"zoo-{name}:latest"
    peer = abilities.fit(BY_NAME[_SERVER], store.contract_of(tag))
    samples = rows.read(options.folder / f"{name}.jsonl")
    load = Load(options.peak_seconds, options.server_core, options.load_core)
    scores_of = peer.scores
    assert scores_of is not None  # noqa: S101  # the service has scores

    def is_right(place: int, body: bytes) -> bool:
        return scores_of(json.loads(body)) == [samples[place].score]

    with launched(peer, tag, cores=options.server_core) as ready:
        visit = Visit(peer, 0, ready, samples, load, Measurements({}, ""))
        visit.warm_up()
        peak = visit.peak()
        engine = describe_model(ready)["engine"]
        soak = Soak(name, engine, peak, options.share * peak, options.seconds)
        print(f"{name}: {soak.rate:,.0f}/s for {soak.seconds:g} s", flush=True)  # noqa: T201
        hold(
            ready,
            [openloop.request(peer.path, body) for body in visit.singles],
            is_right,
            soak,
            server_core=options.server_core,
            load_core=options.load_core,
        )
    print(f"{name}: {', '.join(soak.broken) or 'good'}", flush=True)  # noqa: T201
    return soak


def _write(described: dict[str, str], command: str, found: Sequence[Soak], output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{environment.today()}-zoo-soak.json"
    document = {"environment": described, "command": command, "soaks": [*map(asdict, found)]}
    path.write_text(json.dumps(document, indent=1) + "\n")
    path.with_suffix(".md").write_text(soak_report.render(described, command, found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(_MODELS))
    parser.add_argument("--share", type=float, default=0.7, help="of the peak")
    parser.add_argument("--seconds", type=float, default=300.0, help="of each model")
    parser.add_argument(
        "--peak-seconds", type=float, default=10.0, help="of the closed loop before"
    )
    add_zoo_options(parser, "20 s a model")
    return parser


if __name__ == "__main__":
    sys.exit(main())
