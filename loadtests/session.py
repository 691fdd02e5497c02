"""One server, started, put under one Locust plan, watched and stopped.

`python -m loadtests.session --plan smoke` writes `results/DATE-smoke.json`, which
`python -m loadtests.check` judges. The server runs on one core, Locust on another.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from loadtests.machine import environment, processes, store
from loadtests.machine.launch import Launched, launched
from loadtests.peers import abilities
from loadtests.peers.catalogue import BY_NAME, ROOT
from loadtests.peers.environments import CannotInstall
from loadtests.traffic import wrk
from loadtests.traffic.plan import PLANS
from loadtests.traffic.recorder import Passage, Tally

RESULTS = Path(__file__).parent / "results"
_LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_REFERENCE = "credit-default"
_WATCH_SECONDS = 0.5
# Beyond the plan's own time: start, a last answer that is slow, writing.
_GRACE_SECONDS = 120.0
# Of a stage's samples, the share that says what the server held at first.
_FIRST = 0.1


@dataclass(frozen=True)
class Sample:
    """What server and generator had used at one moment of perf_counter.

    `busy_seconds`: for which the server's core was not idle.
    """

    at: float
    cpu_seconds: float
    load_cpu_seconds: float
    busy_seconds: float
    rss_bytes: int


@dataclass
class Session:
    """One run of a plan."""

    environment: dict[str, str]
    command: str
    plan: str
    server: str
    passages: list[Passage] = field(default_factory=list)


def drive(
    ready: Launched,
    server: str,
    plan: str,
    *,
    rows: Path | None,
    scale: float,
    server_core: str,
    load_core: str,
    seed: int = 1,
    batch_rows: int = 100,
) -> list[Passage]:
    """Run a plan against a server that is ready. Raises ServerFailed where Locust fails."""
    outcome = ready.site.work / "outcome.json"
    outcome.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "locust", "--locustfile", str(_LOCUSTFILE)),
        *("--headless", "--only-summary", "--loglevel", "ERROR", "--stop-timeout", "15"),
        # Failures are ours to judge, with the reasons; the code is for what went wrong here.
        *("--exit-code-on-error", "0", "--host", f"http://127.0.0.1:{ready.site.port}"),
        *("--plan", plan, "--scale", str(scale), "--server", server, "--seed", str(seed)),
        *("--batch-rows", str(batch_rows), "--outcome", str(outcome)),
        *(("--rows", str(rows.resolve())) if rows else ()),
    ]
    limit = sum(max(2.0, stage.seconds * scale) for stage in PLANS[plan]) + _GRACE_SECONDS
    samples = []
    with processes.serve(
        command, cores=load_core, log=ready.site.work / "locust.log", environment={}, folder=ROOT
    ) as load:
        until = time.perf_counter() + limit
        while not load.has_ended():
            if time.perf_counter() > until:
                raise processes.ServerFailed(f"Locust was not done within {limit:.0f} s")
            ours, theirs = ready.server.usage(), load.usage()
            now = time.perf_counter()
            busy = processes.busy_seconds(server_core)
            samples.append(Sample(now, ours.cpu_seconds, theirs.cpu_seconds, busy, ours.rss_bytes))
            time.sleep(_WATCH_SECONDS)
    if not outcome.is_file():
        raise processes.ServerFailed("Locust ended without an outcome")
    passages = read_passages(json.loads(outcome.read_text()))
    for passage in passages:
        watch(passage, samples)
    return passages


def watch(passage: Passage, samples: Sequence[Sample]) -> None:
    """Add to a stage what server and generator used in it; leave it where nobody looked."""
    seen = [sample for sample in samples if passage.started <= sample.at <= passage.ended]
    if len(seen) < 2:
        return
    first, last = seen[0], seen[-1]
    seconds = last.at - first.at
    passage.cores = (last.cpu_seconds - first.cpu_seconds) / seconds
    passage.load_cores = (last.load_cpu_seconds - first.load_cpu_seconds) / seconds
    busy = (last.busy_seconds - first.busy_seconds) / seconds
    passage.other_cores = max(0.0, busy - passage.cores)
    sizes = [sample.rss_bytes for sample in seen]
    passage.rss_bytes = max(sizes)
    at_first = median(sizes[: max(1, round(len(sizes) * _FIRST))])
    passage.rss_growth = passage.rss_bytes / at_first - 1 if at_first else float("nan")


def read_passages(data: Sequence[Mapping[str, object]]) -> list[Passage]:
    """Make stages of plain data, as JSON has it."""
    passages = [Passage(**stage) for stage in data]  # type: ignore[arg-type]  # what asdict wrote
    for passage in passages:
        passage.tallies = {
            name: Tally(**tally)  # type: ignore[arg-type]  # the same
            for name, tally in passage.tallies.items()
        }
    return passages


def save(session: Session, path: Path) -> None:
    """Write as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(session), indent=1) + "\n")


def load(path: Path) -> Session:
    """Read what `save` wrote. Raises OSError, or ValueError for anything else."""
    data = json.loads(path.read_text())
    try:
        data["passages"] = read_passages(data["passages"])
        return Session(**data)
    except (KeyError, TypeError, AttributeError):
        raise ValueError("this is no result of loadtests.session") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Start, load, stop, write; exit 2 where that was not possible. `check` judges."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    if not has_two_cores():
        print("taskset and two cores are needed", file=sys.stderr)  # noqa: T201
        return 2
    session = Session(
        environment=environment.describe(),
        command=shlex.join(["python", "-m", "loadtests.session", *arguments]),
        plan=options.plan,
        server=options.server,
    )
    try:
        session.environment["model"] = store.version_of(options.model)
        peer = abilities.fit(BY_NAME[options.server], store.contract_of(options.model))
        with launched(peer, options.model, cores=options.server_core) as ready:
            session.passages = drive(
                ready,
                options.server,
                options.plan,
                rows=options.rows,
                scale=0.2 if options.quick else options.scale,
                server_core=options.server_core,
                load_core=options.load_core,
            )
    except (processes.ServerFailed, abilities.CannotServe, CannotInstall, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    target = options.output / f"{environment.today()}-{options.plan}{suffix(options.model)}.json"
    save(session, target)
    print(target)  # noqa: T201  # for `check`
    return 0


def suffix(tag: str) -> str:
    """What ends a result's name: nothing for the reference model, `-NAME` for another."""
    name = tag.partition(":")[0]
    return "" if name == _REFERENCE else f"-{name}"


def has_two_cores() -> bool:
    """Whether server and generator can have a core each."""
    return shutil.which("taskset") is not None and len(os.sched_getaffinity(0)) >= 2


def what_is_missing() -> str | None:
    """Say what a server with wrk beside it needs and is not here; None where all is."""
    if wrk.is_installed() and has_two_cores():
        return None
    return f"two cores and taskset are needed, and wrk: {wrk.INSTALL}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", choices=PLANS, default="smoke")
    parser.add_argument("--server", choices=BY_NAME, default="tabserve")
    parser.add_argument("--rows", type=Path, help="JSON lines of export_rows.py; else drawn")
    add_shared_options(parser)
    return parser


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command here takes."""
    parser.add_argument("--model", default=f"{_REFERENCE}:latest", help="tag in the Bento store")
    parser.add_argument("--scale", type=float, default=1.0, help="stretches every stage")
    add_place_options(parser, "as short as it can be")


def add_place_options(parser: argparse.ArgumentParser, quick: str) -> None:
    """Add on which cores to run, and where results go; `quick`: what that option does."""
    parser.add_argument("--server-core", default="0")
    parser.add_argument("--load-core", default="1")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help=f"{quick}: does it work?")


def add_zoo_options(parser: argparse.ArgumentParser, quick: str) -> None:
    """Add what every command over the zoo takes."""
    parser.add_argument("--folder", type=Path, default=Path(".tabserve/zoo"), help="of make zoo")
    add_place_options(parser, quick)


if __name__ == "__main__":
    sys.exit(main())
