"""One server that is ready, in one round: its scores compared, then its loads, by wrk.

Where it keeps a prediction log, each load is followed by a wait until the store has all rows:
the next one must not pay for them, and this one must.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from loadtests.benchmark import delivery, equality, overload
from loadtests.benchmark.measurement import Logged, Measurements, Point
from loadtests.machine import processes
from loadtests.machine.launch import Launched
from loadtests.peers.catalogue import Peer
from loadtests.traffic import wrk
from loadtests.traffic.rows import Sample

# The service's own limit as it comes; set for the overload, so that the report is right.
TIMEOUT_SECONDS = 10.0
# BentoML's dispatcher spends its first batches learning, and Python's caches fill.
_WARM_UP_SECONDS = 2.0
_IDLE_SECONDS = 5.0
_BATCH_ROWS = 1_000
# All 10,000 rows of a model of the zoo.
_BATCHES = 10
# Connections at which the peak is taken that an overload is a multiple of.
_PEAK_CONNECTIONS = {"row": 64, "batch": 4}


@dataclass(frozen=True)
class Load:
    """How long each point lasts, and on which cores (as taskset takes them)."""

    seconds: float
    server_core: str
    load_core: str


class Visit:
    """Measures into `measured`. Raises Different, NotDelivered, GeneratorFailed, OSError."""

    def __init__(
        self,
        peer: Peer,
        number: int,
        ready: Launched,
        samples: list[Sample],
        load: Load,
        measured: Measurements,
        workers: int = 1,
    ) -> None:
        self.peer, self.number, self.workers = peer, number, workers
        self.site, self.server = ready.site, ready.server
        self.cpus = len(processes.cores_of(load.server_core))
        # Rows of good answers, and the most that a stopped load left under way.
        self.answered, self.cut_off = 0, 0
        self.key = peer.read_key(ready.site) if peer.read_key else ""
        self.samples, self.load, self.measured = samples, load, measured
        self.contract = json.loads((ready.site.model / "contract.json").read_text())
        self.singles = [
            json.dumps(peer.body([sample.row], self.contract)).encode() for sample in samples
        ]

    def warm_up(self) -> None:
        """Compare the scores of single rows, then send them for some seconds."""
        self._compare("row", self.singles, self.samples)
        self._wrk("row", self.singles, connections=32, seconds=_WARM_UP_SECONDS)
        self._drain()

    def rows(self, connections: Sequence[int]) -> None:
        """Measure single rows at each number of connections."""
        for number in connections:
            self._point("row", 1, self.singles, number)

    def peak(self) -> float:
        """Give the most single rows a second of a closed loop of 32 connections."""
        run = self._wrk("row", self.singles, connections=32, seconds=self.load.seconds)
        self._drain()
        return run.per_second

    def batches(self, connections: Sequence[int]) -> None:
        """Compare and measure batches, where the server takes them."""
        if self.peer.batch_body is None:
            return
        bodies = self._batches()
        expected = list(islice(cycle(self.samples), _BATCH_ROWS * _BATCHES))
        self._compare("batch", bodies, expected)
        self._wrk("batch", bodies, connections=1, seconds=1.0)
        self._drain()
        for number in connections:
            self._point("batch", _BATCH_ROWS, bodies, number)

    def check_log(self) -> None:
        """Count the rows of the log, where there is one. Raises NotDelivered if one is missing."""
        if not self.peer.has_log:
            return
        self._drain()
        queue = delivery.read(self.site.port)
        logged = Logged(
            peer=self.peer.name,
            round=self.number,
            cpus=self.cpus,
            answered=self.answered,
            cut_off=self.cut_off,
            scored=queue.scored,
            dropped=queue.dropped,
            stored=delivery.stored(self.site.work),
        )
        self.measured.logs.append(logged)
        if not logged.is_whole:
            raise delivery.NotDelivered(
                f"the log has {logged.stored} rows: {logged.answered} were answered, "
                f"{logged.scored} scored, {logged.dropped} dropped"
            )

    def _drain(self) -> delivery.Drain:
        if not self.peer.has_log:
            return delivery.Drain(0, 0.0, 0.0)
        return delivery.wait(self.site.port, self.site.work)

    def overload(self, kind: str, multiples: Sequence[float]) -> None:
        """Take the peak, then offer multiples of it."""
        count, bodies = (1, self.singles) if kind == "row" else (_BATCH_ROWS, self._batches())
        run = self._wrk(
            kind, bodies, connections=_PEAK_CONNECTIONS[kind], seconds=self.load.seconds
        )
        if kind == "row":
            self._flood(run.per_second)
        for multiple in multiples:
            with overload.pinned(self.load.load_core):
                outcome = overload.offer(
                    self.peer,
                    self.site.port,
                    bodies,
                    self._is_right if kind == "row" else _is_whole,
                    kind=kind,
                    rate=multiple * run.per_second,
                    seconds=self.load.seconds,
                )
            found = overload.summarise(
                outcome,
                peer=self.peer.name,
                kind=kind,
                rows=count,
                multiple=multiple,
                number=self.number,
                peak=run.per_second,
                timeout_seconds=TIMEOUT_SECONDS,
            )
            self.measured.overloads.append(found)
            print(  # noqa: T201  # progress
                f"round {self.number + 1} {kind} at {multiple:g} x {found.peak:.0f}/s: offered "
                f"{found.offered:.0f}/s  accepted {found.accepted_per_second:.0f}/s  p99 "
                f"{found.accepted_p99:.0f} ms  shed {found.shed}  failures {found.failures}",
                flush=True,
            )

    def _flood(self, peak: float) -> None:
        run = self._wrk(
            "row", self.singles, connections=overload.ROW_CONNECTIONS, seconds=self.load.seconds
        )
        found = overload.flood(
            run,
            peer=self.peer.name,
            number=self.number,
            peak=peak,
            timeout_seconds=TIMEOUT_SECONDS,
        )
        self.measured.overloads.append(found)
        print(  # noqa: T201  # progress
            f"round {self.number + 1} row, {overload.ROW_CONNECTIONS} connections: asked "
            f"{found.offered:.0f}/s  accepted {found.accepted_per_second:.0f}/s "
            f"of {peak:.0f}/s  failures {found.failures}",
            flush=True,
        )

    def _is_right(self, place: int, body: bytes) -> bool:
        expected = self.samples[place].score
        score = json.loads(body)["score"]
        return score == expected or expected is None

    def _batches(self) -> list[bytes]:
        body = self.peer.batch_body or self.peer.body
        source = cycle(sample.row for sample in self.samples)
        return [
            json.dumps(body(list(islice(source, _BATCH_ROWS)), self.contract)).encode()
            for _ in range(_BATCHES)
        ]

    def _compare(self, kind: str, bodies: list[bytes], samples: Sequence[Sample]) -> None:
        scores_of = self.peer.scores if kind == "row" else self.peer.batch_scores
        path = self.peer.path if kind == "row" else self.peer.batch_path
        # The first thousand are proof enough, and keep the slow servers' turn short.
        answers = equality.post(self.site.port, path, bodies[:1000], self.key)
        self.answered += len(answers) * (1 if kind == "row" else _BATCH_ROWS)
        if scores_of is None:
            return
        expected = [sample.score for sample in samples if sample.score is not None]
        expected = expected[: 1000 if kind == "row" else None]
        found = equality.largest_difference(answers, scores_of, expected)
        key = f"{self.peer.name} {kind}"
        self.measured.differences[key] = max(found, self.measured.differences.get(key, 0.0))
        if found:
            raise equality.Different(f"a score differs by {found:.3g} from the model's own")

    def _wrk(
        self, kind: str, bodies: Sequence[bytes], *, connections: int, seconds: float
    ) -> wrk.Run:
        path: Path = self.site.work / f"{kind}.jsonl"
        if not path.exists():
            path.write_bytes(b"\n".join(bodies) + b"\n")
        run = wrk.run(
            f"http://127.0.0.1:{self.site.port}",
            self.peer.path if kind == "row" else self.peer.batch_path,
            path,
            connections=connections,
            seconds=seconds,
            cores=self.load.load_core,
            key=self.key,
        )
        rows = 1 if kind == "row" else _BATCH_ROWS
        self.answered += (run.requests - run.statuses) * rows
        self.cut_off += connections * rows
        return run

    def _point(self, kind: str, count: int, bodies: list[bytes], connections: int) -> None:
        core = self.load.server_core
        # A slow server still answers what the last load left: that is not this one's.
        self.server.wait_idle(_IDLE_SECONDS)
        busy = processes.busy_seconds(core)
        before, started = self.server.usage(), time.perf_counter()
        run = self._wrk(kind, bodies, connections=connections, seconds=self.load.seconds)
        after, seconds = self.server.usage(), time.perf_counter() - started
        used = after.cpu_seconds - before.cpu_seconds
        other = max(0.0, processes.busy_seconds(core) - busy - used) / seconds
        if strays := self.server.strays(processes.cores_of(core)):
            raise processes.ServerFailed(f"{strays} of its processes may run on other cores")
        drain = self._drain()
        point = Point(
            peer=self.peer.name,
            kind=kind,
            rows=count,
            workers=self.workers,
            connections=connections,
            round=self.number,
            per_second=run.per_second,
            p50=run.p50,
            p95=run.p95,
            p99=run.p99,
            longest=run.longest,
            failures=run.failures,
            cores=used / seconds,
            # On several cores the generator's may be one: what else is there is unknown.
            other_cores=other if self.cpus == 1 else 0.0,
            rss_bytes=after.rss_bytes,
            largest_rss_bytes=after.largest_rss_bytes,
            load_cores=run.cpu_seconds / run.seconds,
            cpus=self.cpus,
            seconds=run.seconds,
            waiting_rows=drain.rows,
            oldest_seconds=drain.oldest_seconds,
            drain_seconds=drain.seconds,
            drain_cpu_seconds=self.server.usage().cpu_seconds - after.cpu_seconds,
        )
        self.measured.points.append(point)
        print(  # noqa: T201  # progress
            f"round {self.number + 1} {point.peer:17} {kind:5} w={point.workers} c={connections:<4}"
            f"{point.per_second:10.1f}/s  p50 {point.p50:8.3f}  p99 {point.p99:8.3f} ms  "
            f"failures {point.failures}  cores {point.cores:.2f} "
            f"load {point.load_cores:.2f} others {point.other_cores:.2f}"
            f"{f'  waited {point.waiting_rows} rows' if self.peer.has_log else ''}",
            flush=True,
        )


def _is_whole(_: int, body: bytes) -> bool:
    # Counted, not decoded: a millisecond of JSON for each answer would hold the schedule.
    return body.count(b'"score":') == _BATCH_ROWS
