"""What hostile bodies cost: `python -m tests.hostile.bodies --output PAGE`.

Each body goes to each POST route of a real service of its own process, alone and eight at a time.
Measured are the worker's peak memory over what it held before, its CPU seconds, and the longest
time that `/livez` took meanwhile. A cost above the bounds below makes the exit code 1.
"""

from __future__ import annotations

import argparse
import gzip
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from http.client import IncompleteRead
from pathlib import Path
from typing import NamedTuple

_HOME = tempfile.TemporaryDirectory(prefix="tb-home-")
os.environ["BENTOML_HOME"] = _HOME.name
os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{_HOME.name}/mlflow.db"

from bentos.model.intake import importing  # noqa: E402 - after the environment is set
from tests import models  # noqa: E402 - the same
from tests.service.checks import rows_of  # noqa: E402 - the same
from tests.service.process import Server  # noqa: E402 - the same

NAME = "bodies"
AT_ONCE = 4
# 16 MiB of body, the largest that the service takes, costs its decoder several times as much.
MOST_MIB = 400.0
MOST_CPU_SECONDS = 5.0
# The machine may be busy; what once stood here took nine seconds.
MOST_LIVEZ_SECONDS = 2.0

HEAD = """# What hostile bodies cost

Each body was sent to each route of one worker, alone and four at a time, by `make test-bodies`,
which writes this page. `sent`: bytes on the wire. `peak`: the worker's memory over what it held
before, as the kernel counts it. `CPU`: of the worker. `livez`: the longest that `/livez` took
meanwhile. Shown are the dearest of each route by each of the three, sorted by peak.

Streams (JSON lines) have no last row: they end where most of their rows are refused, or where
far more comes out of gzip than was sent (`bentos/serving/bulk/budget.py`).
"""

JSON, CSV, LINES = "application/json", "text/csv", "application/x-ndjson"
ROUTES = {
    "/v1/predict": (JSON,),
    "/v1/predict/batch": (JSON, CSV, LINES),
    "/v1/explain": (JSON,),
    "/v1/feedback": (JSON,),
    f"/v2/models/{NAME}/infer": (JSON,),
    "/invocations": (JSON, CSV),
}


class Body(NamedTuple):
    """A body of a few kilobytes on the wire, or of as many bytes as are taken."""

    name: str
    media_types: tuple[str, ...]
    data: bytes


class Cost(NamedTuple):
    """What one body, sent so many times at once, cost the worker."""

    route: str
    body: str
    at_once: int
    sent: int
    statuses: str
    peak_mib: float
    cpu_seconds: float
    livez_seconds: float


def bodies() -> Iterator[Body]:
    """Every hostile body, compressed; each near the largest that is taken once it is not."""
    everything = (JSON, CSV, LINES)
    limit = 15 * 2**20
    for name, text in (
        ("empty names", '{"":1' + ',"":1' * (limit // 5) + "}"),
        ("a member a number", "{" + ",".join(f'"{i}":1' for i in range(limit // 12)) + "}"),
        ("instances of nothing", '{"instances":[' + "{}," * (limit // 3) + "{}]}"),
        ("rows of empty names", '{"instances":[' + '{"":1},' * (limit // 7) + "{}]}"),
        ("inputs of nothing", '{"inputs":[' + "{}," * (limit // 3) + "{}]}"),
        (
            "tensors of no name",
            '{"inputs":['
            + '{"name":"","shape":[1],"datatype":"FP64","data":[1]},' * (limit // 54)
            + "{}]}",
        ),
        (
            "a split frame",
            '{"dataframe_split":{"columns":["a"],"data":[' + "[1]," * (limit // 4) + "[1]]}}",
        ),
        ("records", '{"dataframe_records":[' + '{"a":1},' * (limit // 8) + "{}]}"),
        ("deep arrays", "[" * limit),
        ("deep objects", '{"a":' * (limit // 5)),
        ("numbers", "[" + "1," * (limit // 2) + "1]"),
        ("a long number", "1" * limit),
        ("a long text", '{"a":"' + "x" * limit + '"}'),
        ("escapes", '{"a":"' + "\\u0000" * (limit // 6) + '"}'),
        ("spaces", " " * limit + "{}"),
    ):
        yield Body(name, (JSON,), gzip.compress(text.encode(), 9))
    yield Body("columns of a table", (CSV,), gzip.compress(b"a," * (limit // 2) + b"a\n1\n", 9))
    yield Body("rows of a table", (CSV,), gzip.compress(b"a\n" + b"1\n" * (limit // 2), 9))
    yield Body("quotes", (CSV,), gzip.compress(b'"' * limit, 9))
    for name, line in (
        ("lines of nothing", b"{}\n"),
        ("lines of a number", b"1\n"),
        ("blank lines", b"\n"),
        ("lines of blanks", b" " * 2000 + b"\n"),
        ("lines of empty names", b'{"":1}\n'),
    ):
        # As a stream has no limit on its bytes, ten times as many as a body may have.
        yield Body(name, (LINES,), gzip.compress(line * (10 * limit // len(line)), 9))
    yield Body("a hundred times too large", everything, gzip.compress(bytes(2**30), 9))
    yield Body("gzip in gzip", everything, gzip.compress(gzip.compress(bytes(limit), 9), 9))


def measure(server: Server, pid: int, route: str, media_type: str, body: Body, count: int) -> Cost:
    """Send a body so many times at once, and look at the worker."""
    # The kernel counts the peak anew from here on.
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    before, cpu = _memory(pid, "VmRSS"), _cpu_seconds(pid)
    headers = {"Content-Type": media_type, "Content-Encoding": "gzip"}
    slowest, is_over = [0.0], threading.Event()
    prober = threading.Thread(target=_probe, args=(server, slowest, is_over))
    prober.start()

    def send(_: int) -> int:
        try:
            return server.request("POST", route, body.data, headers).status
        except IncompleteRead:
            # A stream that was ended after its first answers.
            return 200

    with ThreadPoolExecutor(count) as pool:
        statuses = sorted(set(pool.map(send, range(count))))
    is_over.set()
    prober.join()
    return Cost(
        route,
        f"{body.name}, {media_type}",
        count,
        len(body.data),
        ", ".join(map(str, statuses)),
        max(_memory(pid, "VmHWM") - before, 0.0),
        _cpu_seconds(pid) - cpu,
        slowest[0],
    )


def _probe(server: Server, slowest: list[float], is_over: threading.Event) -> None:
    while not is_over.is_set():
        started = time.perf_counter()
        assert server.request("GET", "/livez").status == 200
        slowest[0] = max(slowest[0], time.perf_counter() - started)
        time.sleep(0.005)


def _memory(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(field)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure everything and write the page; 1 where a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    frame = models.training_frame()
    folder = models.log(models.binary(frame), frame, Path(_HOME.name) / "model", threshold=0.4)
    tag = importing.import_model(str(folder), name=NAME).tag
    costs: list[Cost] = []
    run = Path(tempfile.mkdtemp(dir=_HOME.name))
    server = Server(run, TABSERVE_MODEL=tag, TABSERVE_STORE_URL="none")
    with closing(server):
        server.wait_until_ready()
        (pid,) = server.workers()
        for body in bodies():
            for route, media_types in ROUTES.items():
                for media_type in set(media_types) & set(body.media_types):
                    for count in (1, AT_ONCE):
                        costs.append(measure(server, pid, route, media_type, body, count))
                        sys.stderr.write(f"{costs[-1]}\n")
        # What it refused has left it whole.
        answer = server.post("/v1/predict", rows_of(frame.head(1))[0])
        assert answer.status == 200, answer
    broken = [cost for cost in costs if _is_broken(cost)]
    arguments.output.write_text("\n".join(_page(costs, broken)) + "\n")
    for cost in broken:
        sys.stderr.write(f"above a bound: {cost}\n")
    return int(bool(broken))


def _is_broken(cost: Cost) -> bool:
    return (
        cost.peak_mib > MOST_MIB * (1 if cost.at_once == 1 else 2)
        or cost.cpu_seconds > MOST_CPU_SECONDS * cost.at_once
        or cost.livez_seconds > MOST_LIVEZ_SECONDS
        # Many at once may be shed; a mistake of one client is never the server's.
        or (cost.at_once == 1 and cost.statuses.startswith("5"))
    )


def _page(costs: list[Cost], broken: list[Cost]) -> Iterator[str]:
    yield HEAD
    yield (
        f"Measured on {datetime.now(UTC).date()}, {os.cpu_count()} CPUs, {platform.system()}, "
        f"Python {platform.python_version()}: {len(costs)} measurements, {len(broken)} above the "
        f"bounds ({MOST_MIB:.0f} MiB alone and twice that for {AT_ONCE} at once, "
        f"{MOST_CPU_SECONDS:.0f} CPU seconds a body, {MOST_LIVEZ_SECONDS:.0f} s for `/livez`)."
    )
    yield ""
    yield "| route | body | at once | sent | status | peak | CPU | livez |"
    yield "|---|---|---|---|---|---|---|---|"
    shown = []
    for route in ROUTES:
        for count in (1, AT_ONCE):
            of_route = [one for one in costs if one.route == route and one.at_once == count]
            for key in (
                lambda one: one.peak_mib,
                lambda one: one.cpu_seconds,
                lambda one: one.livez_seconds,
            ):
                shown.append(max(of_route, key=key))
    for one in sorted({*shown, *broken}, key=lambda one: -one.peak_mib):
        yield (
            f"| `{one.route}` | {one.body} | {one.at_once} | {one.sent:,} | {one.statuses} | "
            f"{one.peak_mib:.0f} MiB | {one.cpu_seconds:.2f} s | {one.livez_seconds:.2f} s |"
        )


if __name__ == "__main__":
    sys.exit(main())
