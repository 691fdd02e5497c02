"""tabserve beside its peers, one core each for server and load: `python -m loadtests.bench`.

Every server of `peers/catalogue.py` is started, shown to give the model's own scores,
warmed up, loaded at several numbers of connections and stopped; then the next; and all of
it again in the next round, so that whatever else the machine does falls on all alike.
The report gives medians over the rounds and the ratios within them.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from loadtests.benchmark import delivery, equality, measurement, report
from loadtests.benchmark.measurement import Measurements, Start
from loadtests.benchmark.visit import TIMEOUT_SECONDS, Load, Visit
from loadtests.machine import environment, processes, store
from loadtests.machine.launch import US, launched
from loadtests.peers import abilities, environments
from loadtests.peers.catalogue import BY_NAME, Peer
from loadtests.session import add_place_options, has_two_cores, suffix
from loadtests.traffic import rows, wrk


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; exit 1 where scores differ or a server failed, 2 where it cannot run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    if options.quick:
        options.seconds, options.rounds, options.connections = 3.0, 1, [1, 32]
    if not wrk.is_installed():
        print(wrk.INSTALL, file=sys.stderr)  # noqa: T201  # a command line speaks
        return 2
    if not has_two_cores():
        print("taskset and two cores are needed", file=sys.stderr)  # noqa: T201
        return 2
    measured = Measurements(
        environment=environment.describe(),
        command=shlex.join(["python", "-m", "loadtests.bench", *arguments]),
    )
    try:
        samples = rows.read(options.rows)
        measured.environment["model"] = store.version_of(options.model)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    for number in range(options.rounds):
        for name in options.peers:
            if name in measured.failed or name in measured.cannot:
                continue
            try:
                _visit(BY_NAME[name], number, samples, options, measured)
            except abilities.CannotServe as error:
                measured.cannot[name] = str(error)
                print(f"{name}: {error}", file=sys.stderr)  # noqa: T201
            except (
                processes.ServerFailed,
                equality.Different,
                delivery.NotDelivered,
                environments.CannotInstall,
                wrk.GeneratorFailed,
                OSError,
            ) as error:
                measured.failed[name] = str(error)
                print(f"{name}: {error}", file=sys.stderr)  # noqa: T201
    _write(measured, options.output, suffix(options.model))
    return exit_code(measured)


def exit_code(measured: Measurements) -> int:
    """Give 1 where a score differs, a request or a server failed, or the log lacks a row.

    A target that was missed is in the report and no failure: the machine may be busy. Nor is
    a server that is not made for the model.
    """
    has_failures = (
        any(point.failures for point in measured.points)
        or any(overload.failures for overload in measured.overloads)
        or not all(logged.is_whole for logged in measured.logs)
    )
    return int(bool(measured.failed or has_failures or any(measured.differences.values())))


def _visit(
    peer: Peer,
    number: int,
    samples: list[rows.Sample],
    options: argparse.Namespace,
    measured: Measurements,
) -> None:
    load = Load(options.seconds, options.server_core, options.load_core)
    peer = abilities.fit(peer.of_model(options.model), store.contract_of(options.model))
    with launched(peer, options.model, cores=options.server_core) as ready:
        measured.starts.append(Start(peer.name, number, ready.ready_seconds))
        visit = Visit(peer, number, ready, samples, load, measured)
        visit.warm_up()
        visit.rows(options.connections)
        if options.batches:
            visit.batches((1, 4))
        visit.check_log()
    if peer.name != US:
        return
    if options.overload:
        settings = {"TABSERVE_TIMEOUT_SECONDS": f"{TIMEOUT_SECONDS:g}"}
        with launched(peer, options.model, cores=options.server_core, settings=settings) as ready:
            visit = Visit(peer, number, ready, samples, load, measured)
            visit.warm_up()
            visit.overload("row", (2.0, 4.0))
            visit.overload("batch", (4.0,))
    if options.two_workers:
        cores = f"{options.server_core},{options.load_core}"
        load = replace(load, server_core=cores)
        with launched(peer, options.model, cores=cores, workers=2) as ready:
            visit = Visit(peer, number, ready, samples, load, measured, workers=2)
            visit.warm_up()
            visit.rows([32, 64] if 64 in options.connections else [32])


def _write(measured: Measurements, output: Path, suffix: str) -> None:
    output.mkdir(parents=True, exist_ok=True)
    name = f"{environment.today()}-peers{suffix}"
    measurement.save(measured, output / f"{name}.json")
    (output / f"{name}.md").write_text(report.render(measured))
    print(output / f"{name}.md")  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, required=True, help="JSON lines of export_rows.py")
    parser.add_argument("--model", default="credit-default:latest", help="tag in the Bento store")
    parser.add_argument("--peers", nargs="+", choices=BY_NAME, default=list(BY_NAME))
    parser.add_argument("--connections", nargs="+", type=int, default=[1, 4, 16, 32, 64, 256])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each point")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-batches", dest="batches", action="store_false")
    parser.add_argument("--no-overload", dest="overload", action="store_false")
    parser.add_argument("--no-two-workers", dest="two_workers", action="store_false")
    add_place_options(parser, "short, one round")
    return parser


if __name__ == "__main__":
    sys.exit(main())
