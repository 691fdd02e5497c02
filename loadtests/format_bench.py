"""Every form of a request on models of the zoo: `python -m loadtests.format_bench`.

JSON, JSON lines, CSV, Arrow, Parquet, Open Inference in JSON and binary, MLflow in JSON, CSV and
Parquet, and explanations (`make bench-formats`). Writes `results/DATE-zoo-formats.md`: rows a
second as ratios to JSON batches of the same run, stripped and as the service comes.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from loadtests.benchmark import delivery, equality, form_report
from loadtests.benchmark.form_report import FormPoint, Forms
from loadtests.machine import environment, processes, store
from loadtests.machine.launch import US, Launched, launched
from loadtests.peers.catalogue import BY_NAME, DEVELOPMENT, Peer
from loadtests.session import add_zoo_options, what_is_missing
from loadtests.traffic import rows, wrk
from loadtests.traffic.forms import FORMS, Body, Form
from loadtests.traffic.rows import Sample

_SERVERS = (US, "tabserve-defaults")
# A dozen text categories, the widest rows, several classes, whole numbers and booleans.
_MODELS = ("words", "wide", "classes", "flags")
_BODIES = 10
_TIMEOUT_SECONDS = 30
_WARM_UP_SECONDS = 1.0
_IDLE_SECONDS = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; exit 1 where a score differs or a request failed, 2 if it cannot run."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    if options.quick:
        options.seconds, options.rounds = 1.0, 1
    if missing := what_is_missing():
        print(missing, file=sys.stderr)  # noqa: T201  # a command line speaks
        return 2
    command = shlex.join(["python", "-m", "loadtests.format_bench", *arguments])
    found = Forms(environment.describe(), command)
    for number in range(options.rounds):
        for name in options.models:
            for server in options.servers:
                try:
                    _visit(BY_NAME[server], name, number, options, found)
                except (processes.ServerFailed, OSError, ValueError) as error:
                    _fail(found, f"{name}, {server}", error)
            _write(found, options.output)
    print(options.output / f"{environment.today()}-zoo-formats.md")  # noqa: T201
    return int(bool(found.failed) or any(point.failures for point in found.points))


def _visit(server: Peer, name: str, number: int, options: argparse.Namespace, found: Forms) -> None:
    tag = f"zoo-{name}:latest"
    contract = store.contract_of(tag)
    samples = rows.read(options.folder / f"{name}.jsonl")
    # pyarrow is an extra, which the service's own environment lacks.
    with launched(
        replace(server, environment=DEVELOPMENT), tag, cores=options.server_core
    ) as ready:
        for form in FORMS:
            if form.needs_booster and contract["engine"] != "booster":
                continue
            try:
                point = _measure(form, ready, contract, samples, options)
            except (
                equality.Different,
                delivery.NotDelivered,
                wrk.GeneratorFailed,
                OSError,
            ) as error:
                _fail(found, f"{name}, {server.name}, {form.name}", error)
                continue
            finally:
                if server.has_log:
                    delivery.wait(ready.site.port, ready.site.work)
            point = replace(point, model=name, server=server.name, round=number)
            found.points.append(point)
            print(  # noqa: T201  # progress
                f"round {number + 1} {name:9} {server.name:17} {form.name:22}"
                f"{point.rows_per_second:12,.0f} rows/s  p50 {point.p50:8.3f} ms  "
                f"failures {point.failures}  cores {point.cores:.2f} "
                f"others {point.other_cores:.2f}",
                flush=True,
            )


def _measure(
    form: Form,
    ready: Launched,
    contract: Mapping[str, Any],
    samples: Sequence[Sample],
    options: argparse.Namespace,
) -> FormPoint:
    source = cycle(samples)
    # Of single rows as many different ones as of the batches there are rows in a body.
    parts = [list(islice(source, form.rows)) for _ in range(_BODIES if form.rows > 1 else 1000)]
    made = [form.write([sample.row for sample in part], contract) for part in parts]
    # The path of a model in the Open Inference Protocol has its name.
    path = form.path.format(model=ready.site.model.parent.parent.parent.name)
    for body, part in zip(made[:_BODIES], parts, strict=False):
        _compare(form, ready.site.port, path, body, part, contract)
    listing = wrk.write_list(
        ready.site.work / form.name.replace(" ", "-"), [(body.data, body.headers) for body in made]
    )
    url = f"http://127.0.0.1:{ready.site.port}"
    wrk.run(url, path, listing, connections=1, seconds=_WARM_UP_SECONDS, cores=options.load_core)
    ready.server.wait_idle(_IDLE_SECONDS)
    busy = processes.busy_seconds(options.server_core)
    before, started = ready.server.usage().cpu_seconds, time.perf_counter()
    run = wrk.run(
        url, path, listing, connections=1, seconds=options.seconds, cores=options.load_core
    )
    used, seconds = ready.server.usage().cpu_seconds - before, time.perf_counter() - started
    other = processes.busy_seconds(options.server_core) - busy - used
    return FormPoint(
        model="",
        server="",
        form=form.name,
        round=0,
        rows=form.rows,
        body_bytes=len(made[0].data),
        per_second=run.per_second,
        p50=run.p50,
        p99=run.p99,
        failures=run.failures,
        cores=used / seconds,
        other_cores=max(0.0, other) / seconds,
    )


def _compare(
    form: Form,
    port: int,
    path: str,
    body: Body,
    samples: Sequence[Sample],
    contract: Mapping[str, Any],
) -> None:
    """Send one body and compare its scores with the model's own. Raises Different, OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("POST", path, body.data, body.headers)
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise equality.Different(f"{path} answered {answer.status}: {data[:300]!r}")
    found = form.read(data, dict(answer.headers))
    if len(found) != len(samples):
        raise equality.Different(f"{len(found)} scores for {len(samples)} rows")
    if form.gives_labels and contract["classes"] is not None:
        return
    if found != [sample.score for sample in samples]:
        raise equality.Different("a score differs from the model's own")


def _fail(found: Forms, what: str, error: Exception) -> None:
    found.failed[what] = str(error).strip().splitlines()[-1]
    print(f"{what}: {found.failed[what]}", file=sys.stderr)  # noqa: T201


def _write(found: Forms, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{environment.today()}-zoo-formats.json"
    path.write_text(json.dumps(asdict(found), indent=1) + "\n")
    path.with_suffix(".md").write_text(form_report.render(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(_MODELS))
    parser.add_argument("--servers", nargs="+", choices=_SERVERS, default=list(_SERVERS))
    parser.add_argument("--seconds", type=float, default=3.0, help="of each point")
    parser.add_argument("--rounds", type=int, default=1)
    add_zoo_options(parser, "short, one round")
    return parser


if __name__ == "__main__":
    sys.exit(main())
