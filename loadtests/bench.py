"""tabserve beside its peers, one core each for server and load: `python -m loadtests.bench`.

Every server of `peers/catalogue.py` is started, shown to give the model's own scores,
warmed up, loaded at several numbers of connections and stopped; then the next; and all of
it again in the next round, so that whatever else the machine does falls on all alike.
The report gives medians over the rounds and the ratios within them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from loadtests import environment, equality, measurement, processes, report, rows, wrk
from loadtests.measurement import Measurements, Point, Start
from loadtests.peers import environments
from loadtests.peers.catalogue import BY_NAME, ROOT, Peer, Site

RESULTS = Path(__file__).parent / "results"
# Longer than the slowest peer (MLflow, a good ten seconds on one core) by far.
_READY_SECONDS = 120.0
# BentoML's dispatcher spends its first batches learning, and Python's caches fill.
_WARM_UP_SECONDS = 2.0
_BATCH_ROWS = 1_000
_BATCHES = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; exit 1 where scores differ or a server failed, 2 where it cannot run."""
    options = _parser().parse_args(arguments)
    if options.quick:
        options.seconds, options.rounds, options.connections = 3.0, 1, [1, 32]
    if not wrk.is_installed():
        print(wrk.INSTALL, file=sys.stderr)  # noqa: T201  # a command line speaks
        return 2
    if shutil.which("taskset") is None or len(os.sched_getaffinity(0)) < 2:
        print("taskset and two cores are needed", file=sys.stderr)  # noqa: T201
        return 2
    measured = Measurements(
        environment=environment.describe(),
        command=shlex.join(["python", "-m", "loadtests.bench", *(arguments or sys.argv[1:])]),
    )
    folder = find_model(options.model)
    samples = rows.read(options.rows)
    measured.environment["model"] = options.model
    for number in range(options.rounds):
        for name in options.peers:
            if name in measured.failed:
                continue
            try:
                _visit(BY_NAME[name], number, folder, samples, options, measured)
            except (
                processes.ServerFailed,
                equality.Different,
                environments.CannotInstall,
                wrk.GeneratorFailed,
                OSError,
            ) as error:
                measured.failed[name] = str(error)
                print(f"{name}: {error}", file=sys.stderr)  # noqa: T201
    _write(measured, options.output)
    return 1 if measured.failed or any(measured.differences.values()) else 0


def find_model(tag: str) -> Path:
    """Find the folder that `tabserve import` wrote for NAME:VERSION in the Bento store."""
    home = Path(os.environ.get("BENTOML_HOME", Path.home() / "bentoml"))
    name, _, version = tag.partition(":")
    if version in ("", "latest"):
        version = (home / "models" / name / "latest").read_text().strip()
    return home / "models" / name / version / "mlflow_model" / "tabserve"


def _visit(
    peer: Peer,
    number: int,
    model: Path,
    samples: list[rows.Sample],
    options: argparse.Namespace,
    measured: Measurements,
) -> None:
    environments.ensure(peer.environment)
    with tempfile.TemporaryDirectory(prefix="tabserve-bench-") as name:
        work = Path(name)
        site = Site(_free_port(), model, work, peer.python)
        variables = {
            "PEER_MODEL": str(model),
            "BENTOML_DO_NOT_TRACK": "True",
            "TABSERVE_MODEL": options.model,
            # Some servers call their own tools by name.
            "PATH": f"{peer.python.parent}{os.pathsep}{os.environ['PATH']}",
            **({"PYTHONPATH": str(ROOT)} if peer.name != "tabserve" else {}),
            **peer.variables,
        }
        folder = ROOT if peer.name == "tabserve" else work
        log = work / "server.log"
        if peer.prepare is not None:
            _prepare(peer.prepare(site), variables, work)
        started = time.perf_counter()
        with processes.serve(
            peer.command(site, 1),
            cores=options.server_core,
            log=log,
            environment=variables,
            folder=folder,
        ) as server:
            server.wait_ready(f"http://127.0.0.1:{site.port}{peer.ready}", _READY_SECONDS)
            measured.starts.append(Start(peer.name, number, time.perf_counter() - started))
            _Visit(peer, number, site, server, samples, options, measured).measure()


class _Visit:
    """One server, ready, in one round."""

    def __init__(
        self,
        peer: Peer,
        number: int,
        site: Site,
        server: processes.Server,
        samples: list[rows.Sample],
        options: argparse.Namespace,
        measured: Measurements,
    ) -> None:
        self.peer, self.number, self.site, self.server = peer, number, site, server
        self.options, self.measured = options, measured
        self.samples = samples
        self.contract = json.loads((site.model / "contract.json").read_text())

    def measure(self) -> None:
        """Check the scores, warm up, load."""
        bodies = self._bodies()
        self._compare("row", bodies, self.samples)
        path = self._file("row", bodies)
        self._run(path, self.peer.path, connections=32, seconds=_WARM_UP_SECONDS)
        for connections in self.options.connections:
            self._point("row", 1, path, self.peer.path, connections)
        if self.peer.batch_body is None or not self.options.batches:
            return
        batches = self._batches()
        expected = list(islice(cycle(self.samples), _BATCH_ROWS * _BATCHES))
        self._compare("batch", batches, expected)
        path = self._file("batch", batches)
        self._run(path, self.peer.batch_path, connections=1, seconds=1.0)
        for connections in (1, 4):
            self._point("batch", _BATCH_ROWS, path, self.peer.batch_path, connections)

    def _bodies(self) -> list[bytes]:
        return [
            json.dumps(self.peer.body([sample.row], self.contract)).encode()
            for sample in self.samples
        ]

    def _batches(self) -> list[bytes]:
        body = self.peer.batch_body or self.peer.body
        source = cycle(sample.row for sample in self.samples)
        return [
            json.dumps(body(list(islice(source, _BATCH_ROWS)), self.contract)).encode()
            for _ in range(_BATCHES)
        ]

    def _compare(self, kind: str, bodies: list[bytes], samples: Sequence[rows.Sample]) -> None:
        scores_of = self.peer.scores if kind == "row" else self.peer.batch_scores
        path = self.peer.path if kind == "row" else self.peer.batch_path
        # The first thousand are proof enough, and keep the slow servers' turn short.
        answers = equality.post(self.site.port, path, bodies[:1000])
        if scores_of is None:
            return
        expected = [sample.score for sample in samples if sample.score is not None]
        expected = expected[: 1000 if kind == "row" else None]
        found = equality.largest_difference(answers, scores_of, expected)
        key = f"{self.peer.name} {kind}"
        self.measured.differences[key] = max(found, self.measured.differences.get(key, 0.0))
        if found:
            raise equality.Different(f"a score differs by {found:.3g} from the model's own")

    def _file(self, kind: str, bodies: list[bytes]) -> Path:
        path = self.site.work / f"{kind}.jsonl"
        path.write_bytes(b"\n".join(bodies) + b"\n")
        return path

    def _run(self, bodies: Path, path: str, *, connections: int, seconds: float) -> wrk.Run:
        return wrk.run(
            f"http://127.0.0.1:{self.site.port}",
            path,
            bodies,
            connections=connections,
            seconds=seconds,
            cores=self.options.load_core,
        )

    def _point(self, kind: str, count: int, bodies: Path, path: str, connections: int) -> None:
        core = self.options.server_core
        busy = processes.busy_seconds(core)
        before, started = self.server.usage(), time.perf_counter()
        run = self._run(bodies, path, connections=connections, seconds=self.options.seconds)
        after, seconds = self.server.usage(), time.perf_counter() - started
        used = after.cpu_seconds - before.cpu_seconds
        point = Point(
            peer=self.peer.name,
            kind=kind,
            rows=count,
            workers=1,
            connections=connections,
            round=self.number,
            per_second=run.per_second,
            p50=run.p50,
            p95=run.p95,
            p99=run.p99,
            longest=run.longest,
            failures=run.failures,
            cores=used / seconds,
            other_cores=max(0.0, processes.busy_seconds(core) - busy - used) / seconds,
            rss_bytes=after.rss_bytes,
            largest_rss_bytes=after.largest_rss_bytes,
            load_cores=run.cpu_seconds / run.seconds,
        )
        self.measured.points.append(point)
        print(  # noqa: T201  # progress
            f"round {self.number + 1} {point.peer:17} {kind:5} c={connections:<4}"
            f"{point.per_second:10.1f}/s  p50 {point.p50:8.3f}  p99 {point.p99:8.3f} ms  "
            f"failures {point.failures}  cores {point.cores:.2f} "
            f"load {point.load_cores:.2f} others {point.other_cores:.2f}",
            flush=True,
        )


def _prepare(command: list[str], variables: dict[str, str], work: Path) -> None:
    log = work / "prepare.log"
    with processes.serve(
        command,
        cores=f"0-{len(os.sched_getaffinity(0)) - 1}",
        log=log,
        environment=variables,
        folder=work,
    ) as process:
        process.wait_end(_READY_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write(measured: Measurements, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.datetime.now(tz=datetime.UTC).date().isoformat()}-peers"
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
    parser.add_argument("--server-core", default="0")
    parser.add_argument("--load-core", default="1")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="few peers, short, one round")
    return parser


if __name__ == "__main__":
    sys.exit(main())
