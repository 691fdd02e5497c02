"""A night in small: the real service, Prometheus, Pushgateway, Alertmanager and drift job.

Two replicas are watched. One has two workers and a good log. The other has its log's store
away and room for one request at a time, so that it drops rows and sheds.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from monitoring.mixin import render
from tests.service.checks import require
from tests.service.driver import ROOT
from tests.service.process import Server, free_port, server

PATIENCE_SECONDS = 180
DRIFT_PYTHON = ROOT / ".venv-drift" / "bin" / "python"

# A minute stands for an hour: the same queries over shorter windows.
OVERRIDES = """{
  shortWindow: '20s', inputWindow: '30s', baselineWindow: '30s',
  driftIntervalSeconds: 60, cannotTellFor: '30s', minRequests: 10, minRows: 50,
  burnRates: [
    { long: '30s', short: '10s', factor: 14.4, severity: 'page', timing: 'fast' },
    { long: '40s', short: '15s', factor: 6, severity: 'page', timing: 'steady' },
    { long: '50s', short: '20s', factor: 3, severity: 'ticket', timing: 'slow' },
    { long: '60s', short: '25s', factor: 1, severity: 'ticket', timing: 'slow' },
  ],
  local soon = { 'for': '1s', keep_firing_for: '1s' },
  timings: { event: soon, fast: soon, steady: soon, slow: soon, run: soon, stalled: soon },
  alertmanager+: {
    groupWait: '1s', groupInterval: '1s', webhooks: { page: ['%(hook)s'], ticket: ['%(hook)s'] },
  },
}"""
PLACEHOLDERS = {"$__rate_interval": "10s", "$__range": "3m", "$__interval": "2s"}

Json = dict[str, Any]


class Webhook:
    """Gets what Alertmanager sends: the alerts, by name and state."""

    def __init__(self) -> None:
        self.alerts: list[Json] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.alerts += body["alerts"]
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def names(self, status: str) -> set[str]:
        """The names of the alerts that arrived as `firing` or `resolved`."""
        return {one["labels"]["alertname"] for one in self.alerts if one["status"] == status}

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class Prometheus:
    """Asks a Prometheus by HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: object) -> Any:
        """The data of an API's answer."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:  # noqa: S310 - on loopback
            return json.load(answer)["data"]

    def series(self, query: str, start: float, step: float = 2.0) -> list[Json]:
        """What a query gives from a time on until now."""
        found: list[Json] = self.get(
            "query_range", query=query, start=start, end=time.time(), step=step
        )["result"]
        return found


class Night:
    """The running system. `mixin`: what was rendered for it."""

    def __init__(
        self, good: Server, bad: Server, prometheus: Prometheus, hook: Webhook, gateway: str,
        mixin: Json, started: float,
    ) -> None:  # fmt: skip
        self.good, self.bad = good, bad
        self.prometheus = prometheus
        self.hook = hook
        self.gateway = gateway
        self.mixin = mixin
        self.started = started
        # The preview, drawn while there was traffic.
        self.page = ""

    def drift(self, *options: str) -> None:
        """Run the drift job once on the good replica's log."""
        subprocess.run(
            [DRIFT_PYTHON, "-m", "monitoring.drift", "--store", f"sqlite:///{self.good.data}/log.db",
             "--window", "1h", "--pushgateway", self.gateway, *options],
            cwd=ROOT, check=True, capture_output=True,
        )  # fmt: skip

    def wait_for(self, what: str, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, f"{what}; {self.hook.alerts}"
            time.sleep(0.5)


class Traffic:
    """Good, bad and drifted rows with their outcomes to the one, too much to the other."""

    def __init__(self, night: Night, rows: list[Json]) -> None:
        self._night = night
        self._rows = rows
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(work,), daemon=True)
            for work in (self._ask_well, *[self._ask_too_much] * 6)
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(30)

    def _repeat(self, work: Callable[[random.Random], None]) -> None:
        draw = random.Random(1)  # noqa: S311 - which rows are sent is no secret
        while not self._is_over.is_set():
            with contextlib.suppress(OSError):
                work(draw)

    def _ask_well(self, draw: random.Random) -> None:
        good = self._night.good
        rows = draw.sample(self._rows, 50)
        # Amounts as of another year, a new colour, and many without a weight.
        drifted = [{**row, "amount": (row["amount"] or 0) + 1e6, "weight": None} for row in rows]
        drifted[0]["colour"] = "violet"
        answer = good.post("/v1/predict/batch", {"instances": [*drifted, {}]})
        ids = [one["id"] for one in answer.json()["predictions"] if "error" not in one]
        good.post("/v1/predict", rows[0])
        good.post("/v1/predict", {"amount": "x"})
        good.request("POST", "/v1/predict", b"{", {"Content-Type": "application/json"})
        good.request("GET", f"/nothing/{draw.random()}")
        outcomes = [{"id": one, "outcome": draw.choice([0, 1])} for one in ids]
        good.post("/v1/feedback", outcomes)
        self._is_over.wait(0.2)

    def _ask_too_much(self, draw: random.Random) -> None:
        rows = draw.sample(self._rows, 100)
        self._night.bad.post("/v1/predict/batch", {"instances": rows * 5})
        # The other programs of the night need the processor too.
        self._is_over.wait(0.05)


@contextlib.contextmanager
def running(command: list[str], ready: str, log: Path) -> Iterator[None]:
    """Run a program until it answers at `ready`, and end it afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=log.parent)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                urllib.request.urlopen(ready, timeout=5).close()  # noqa: S310 - on loopback
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def watching(folder: Path, tag: str) -> Iterator[Night]:
    """Start everything on loopback, and stop it all."""
    programs = {
        name: require(program, package)
        for name, program, package in (
            ("prometheus", "prometheus", "prometheus"),
            ("pushgateway", "prometheus-pushgateway", "prometheus-pushgateway"),
            ("alertmanager", "prometheus-alertmanager", "prometheus-alertmanager"),
        )
    }
    folders = {name: folder / name for name in (*programs, "good", "bad")}
    for path in folders.values():
        path.mkdir()
    with contextlib.ExitStack() as stack:
        hook = Webhook()
        stack.callback(hook.close)
        mixin = render.evaluate(OVERRIDES % {"hook": hook.url})
        render.write(folders["prometheus"] / "out", mixin)
        common = {"TABSERVE_MODEL": tag, "TABSERVE_UNKNOWN_CATEGORY": "missing"}
        good = stack.enter_context(
            server(folders["good"], **common, TABSERVE_WORKERS="2",
                   TABSERVE_STORE_URL=f"sqlite:///{folders['good']}/data/log.db")
        )  # fmt: skip
        bad = stack.enter_context(
            server(folders["bad"], **common, TABSERVE_MAX_CONCURRENCY="1",
                   TABSERVE_STORE_URL=f"postgresql://nobody@127.0.0.1:{free_port()}/none",
                   TABSERVE_SPOOL_MAX_BYTES="0", TABSERVE_STORE_BUFFER_ROWS="1024")
        )  # fmt: skip
        ports = {name: free_port() for name in programs}
        address = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        stack.enter_context(
            running(
                [programs["pushgateway"], f"--web.listen-address={address['pushgateway']}",
                 "--persistence.file="],
                f"http://{address['pushgateway']}/-/ready", folders["pushgateway"] / "log",
            )
        )  # fmt: skip
        stack.enter_context(
            running(
                [programs["alertmanager"], f"--web.listen-address={address['alertmanager']}",
                 f"--config.file={folders['prometheus']}/out/alertmanager.yaml",
                 f"--storage.path={folders['alertmanager']}", "--cluster.listen-address="],
                f"http://{address['alertmanager']}/-/ready", folders["alertmanager"] / "log",
            )
        )  # fmt: skip
        targets = [f"127.0.0.1:{one.port}" for one in (good, bad)]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["out/rules.yaml", "out/alerts.yaml"],
            "alerting": {
                "alertmanagers": [{"static_configs": [{"targets": [address["alertmanager"]]}]}]
            },
            "scrape_configs": [
                {"job_name": "tabserve", "static_configs": [{"targets": targets}]},
                {"job_name": "pushgateway", "honor_labels": True,
                 "static_configs": [{"targets": [address["pushgateway"]]}]},
            ],
        }  # fmt: skip
        path = folders["prometheus"] / "prometheus.yaml"
        path.write_text(render.to_yaml(config))
        good.wait_until_ready(workers=2)
        bad.wait_until_ready()
        started = time.time()
        url = f"http://{address['prometheus']}"
        stack.enter_context(
            running(
                [programs["prometheus"], f"--web.listen-address={address['prometheus']}",
                 f"--config.file={path}", f"--storage.tsdb.path={folders['prometheus']}/data"],
                f"{url}/-/ready", folders["prometheus"] / "log",
            )
        )  # fmt: skip
        yield Night(
            good, bad, Prometheus(url), hook, f"http://{address['pushgateway']}", mixin, started
        )


def load(night: Night) -> subprocess.Popen[bytes]:
    """Locust's smoke plan against the good replica, as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless",
         "--host", f"http://127.0.0.1:{night.good.port}", "--plan", "smoke"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
