"""What each model of the zoo costs, as ratios of processor time within one run.

Medians of many short alternations: other work on the machine falls on both sides alike, and a
process that is not running costs no processor time. Children count: a log that is delivered by a
process of its own is no cheaper for it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import msgspec
import pytest
from pydantic import SecretStr

from bentos.model.engine import choose
from bentos.model.json_batches import BatchReader
from bentos.model.json_rows import instances_of, parse
from bentos.model.scoring import Scorer
from bentos.model.validation import Encoder
from bentos.records.writer.log import Log
from bentos.serving.app import FrontApp
from bentos.serving.exposition.metrics import Metrics
from bentos.serving.worker import Worker
from bentos.settings import Settings
from loadtests import zoo
from tests.conftest import ZooModel
from tests.service.test_cost import scope

ROUNDS = 15


def tree_seconds() -> float:
    """Processor seconds of this process and of all that it started and that still run."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rsplit(")", 1)[1].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    total = 0.0
    for pid in found:
        try:
            # A process' own clock, as clock_getcpuclockid(3) gives it: nanoseconds, not ticks.
            total += time.clock_gettime((~pid << 3) | 2)
        except OSError:
            continue
    return total


def ratio(work: Callable[[], object], other: Callable[[], object], times: int = 1) -> float:
    """The median processor time of one way by another's, in turn."""

    def seconds(way: Callable[[], object]) -> float:
        begin = time.process_time()
        for _ in range(times):
            way()
        return time.process_time() - begin

    return median(seconds(work) / seconds(other) for _ in range(ROUNDS))


# A row that leaves the fast way is read twice: at least as dear as the slow way alone. These
# were 0.07 to 0.3 of it when this was written, 0.43 with a dozen text categories.
MOST_READ = 0.7
# More than any body here has objects or members.
MANY = 10**6


@pytest.mark.parametrize("name", zoo.ZOO)
def test_rows_are_read_the_fast_way(name: str, zoo_model: Callable[[str], ZooModel]) -> None:
    """Good rows of every model, one by one and together, cost less than the slow way would."""
    model = zoo_model(name)
    reader = BatchReader(Encoder(model.stored.contract))
    rows = model.rows(100)
    body = msgspec.json.encode({"instances": rows})
    singles = [msgspec.json.encode(row) for row in rows]

    def read_slowly() -> None:
        document = parse(body, MANY, MANY)
        reader.validate_instances(instances_of(document, len(rows)))

    def read_one_by_one() -> None:
        for single in singles:
            reader.read_row(single)

    def read_one_by_one_slowly() -> None:
        for single in singles:
            reader.validate(parse(single, MANY, MANY))

    together = ratio(lambda: reader.read_instances(body, len(rows)), read_slowly)
    alone = ratio(read_one_by_one, read_one_by_one_slowly)
    assert max(together, alone) < MOST_READ
    assert reader.slow_rows == 0


# A row by the trees' own library, which serves where the accelerator is left: then this is 1. It
# was 0.3, and 0.5 for 200 features, with a tenth of each model's trees.
MOST_SCORED = 0.8


@pytest.mark.parametrize("name", [name for name in zoo.ZOO if name != "texts"])
def test_rows_are_scored_by_the_accelerator(
    name: str, zoo_model: Callable[[str], ZooModel]
) -> None:
    """A single row of every model of trees costs less than its own library takes for it."""
    model = zoo_model(name)
    contract = model.stored.contract
    row, _ = BatchReader(Encoder(contract)).read_row(msgspec.json.encode(model.rows(1)[0]))
    engine = choose(model.stored, settings())
    assert engine.name == "accelerated", engine.reason
    scorer = Scorer(contract, engine.predictor)
    fallback = choose(model.stored, settings(accelerator=False))
    if fallback.name == "booster":
        slow = Scorer(contract, fallback.predictor)
        found = ratio(lambda: scorer.predict([row]), lambda: slow.predict([row]), times=20)
    else:
        # XGBoost and CatBoost serve nothing here: their models are asked as their users ask them.
        one = model.animal.frame.head(1)
        found = ratio(lambda: scorer.predict([row]), lambda: model.animal.score(one), times=5)
    assert found < MOST_SCORED


# Processor time of rows with the prediction log to rows without, until the last is in the store.
# It was 1.2 to 2.0 for rows one by one and 1.0 to 2.5 in batches when this was written.
MOST_LOGGED = {"row": 3.0, "batch": 4.0}
CALLERS, BATCH_ROWS = 16, 50
CALLS = {"row": 10, "batch": 1}
# Each waits until the log has been flushed, which is not done at once.
LOG_ROUNDS = 3


@pytest.mark.parametrize("name", zoo.ZOO)
async def test_logged_rows_cost_a_small_multiple(
    name: str, zoo_model: Callable[[str], ZooModel], tmp_path: Path
) -> None:
    """Rows of every model cost at most so many times as much with the log, children included."""
    model = zoo_model(name)
    rows = model.rows(BATCH_ROWS)
    bodies = {
        "row": ("/v1/predict", msgspec.json.encode(rows[0])),
        "batch": ("/v1/predict/batch", msgspec.json.encode({"instances": rows})),
    }
    plain, logged = [
        await Serving.start(model, settings(access_log=False, data_dir=tmp_path, store_url=url))
        for url in (SecretStr("none"), SecretStr("sqlite:///"))
    ]
    try:
        for kind, (path, body) in bodies.items():
            # Not the first time: a process for the log starts, caches fill.
            await logged.seconds(path, body, 1)
            ratios = []
            for _ in range(LOG_ROUNDS):
                cheap = await plain.seconds(path, body, CALLS[kind])
                ratios.append(await logged.seconds(path, body, CALLS[kind]) / cheap)
            assert median(ratios) < MOST_LOGGED[kind], ratios
    finally:
        await plain.worker.stop()
        await logged.worker.stop()


class Serving(NamedTuple):
    """A worker in this process, and its log."""

    worker: Worker
    log: Log
    routes: FrontApp

    @classmethod
    async def start(cls, model: ZooModel, chosen: Settings) -> Serving:
        """Start a worker on a model of the zoo; its golden rows are scored first."""

        async def nothing(*_: Any) -> None:
            raise AssertionError("not a route of ours")

        log = Log(chosen)
        worker = Worker(chosen, Metrics(), log)
        worker.load(lambda: model.stored)
        worker.readiness.start()
        while not worker.readiness.is_ready:
            await asyncio.sleep(0.01)
        return cls(worker, log, FrontApp(nothing, worker))

    async def seconds(self, path: str, body: bytes, calls: int) -> float:
        """Processor seconds for the calls of all callers, until the store has every row."""
        begin = tree_seconds()

        async def call() -> None:
            for _ in range(calls):
                await self._call(path, body)

        await asyncio.gather(*(call() for _ in range(CALLERS)))
        recorder = self.log.recorder
        while recorder is not None and recorder.look(datetime.now(UTC)).depth:
            await asyncio.sleep(0.01)
        return tree_seconds() - begin

    async def _call(self, path: str, body: bytes) -> None:
        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                assert message["status"] == 200

        await self.routes(scope("POST", path, body), receive, send)


def settings(**changes: Any) -> Settings:
    """The settings as they come, with changes."""
    return Settings(**changes)
