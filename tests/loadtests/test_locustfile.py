"""Locust's users, a soak and all forms of requests, against the service in its own processes."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path

from loadtests.benchmark import delivery
from loadtests.benchmark.soak import Soak, hold
from loadtests.machine import processes, store
from loadtests.machine.launch import Launched
from loadtests.peers.commands import Site
from loadtests.session import read_passages
from loadtests.traffic import openloop
from loadtests.traffic.client import Client
from loadtests.traffic.forms import BASE, FORMS
from loadtests.traffic.rows import draw
from tests.service.process import Server, server

ROOT = Path(__file__).parents[2]


def test_a_plan_runs_from_end_to_end(imported: dict[str, str], tmp_path: Path) -> None:
    """Every kind of user gets good answers, in a closed and in an open loop; nothing fails."""
    outcome = tmp_path / "outcome.json"
    with server(tmp_path, TABSERVE_MODEL=imported["binary"]) as started:
        started.wait_until_ready()
        # As short as the plan can be, and without rows: they are drawn from /v1/model.
        command = [
            *(sys.executable, "-m", "locust", "--locustfile", "loadtests/locustfile.py"),
            *("--headless", "--only-summary", "--loglevel", "ERROR"),
            *("--host", f"http://127.0.0.1:{started.port}", "--plan", "smoke", "--scale", "0.01"),
            *("--batch-rows", "5", "--stop-timeout", "10", "--outcome", str(outcome)),
        ]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        _ask_in_every_form(started, imported["binary"])
        soak = _soak(started)
        # The log that the service keeps as it comes: nobody stopped a loop with rows under way.
        delivery.wait(started.port, started.data, patience_seconds=30)
        logged = delivery.read(started.port)
        stored = delivery.stored(started.data)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stored == logged.scored > soak.scheduled
    assert soak.answered == soak.stored == soak.scheduled > 0
    assert (soak.failures, soak.dropped) == ({}, 0)
    assert soak.moments
    assert (logged.rows, logged.dropped) == (0, 0)
    passages = {
        passage.stage: passage for passage in read_passages(json.loads(outcome.read_text()))
    }
    assert all(passage.failed == 0 for passage in passages.values()), passages
    good = {name: set(passage.tallies) for name, passage in passages.items()}
    assert good["predict"] == good["open"] == {"predict"}
    assert good["batch"] == {"batch"}
    assert good["mixed"] >= {"predict", "batch"}


def _ask_in_every_form(started: Server, tag: str) -> None:
    """Every form of the benchmark of forms is answered, with the scores of all others."""
    client = Client(started.port)
    model = json.loads(client.send("GET", "/v1/model").body)
    client.close()
    rows = [sample.row for sample in draw(model, 20, seed=2)]
    contract = store.contract_of(tag)
    scores = {}
    for form in FORMS:
        part = rows[: form.rows]
        body = form.write(part, contract)
        connection = http.client.HTTPConnection("127.0.0.1", started.port, timeout=60)
        path = form.path.format(model=tag.partition(":")[0])
        connection.request("POST", path, body.data, body.headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        assert answer.status == 200, (form.name, data)
        scores[form.name] = form.read(data, dict(answer.headers))
        if form.gives_labels:
            assert len(scores[form.name]) == len(part)
        else:
            assert scores[form.name] == scores[BASE][: form.rows], form.name


def _soak(started: Server) -> Soak:
    """Rows by schedule for two seconds, with the log on."""
    site = Site(started.port, started.data, started.data, Path(sys.executable))
    ready = Launched(site, processes.Server(started.process, started.log), 0.0)
    client = Client(started.port)
    model = json.loads(client.send("GET", "/v1/model").body)
    client.close()
    bodies = [json.dumps(sample.row).encode() for sample in draw(model, 50, seed=1)]
    core = str(min(os.sched_getaffinity(0)))
    soak = Soak("binary", "accelerated", peak=50.0, rate=50.0, seconds=2.0)
    hold(
        ready,
        [openloop.request("/v1/predict", body) for body in bodies],
        lambda _, body: b'"score":' in body,
        soak,
        server_core=core,
        load_core=core,
    )
    return soak
