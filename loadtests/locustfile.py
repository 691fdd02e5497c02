"""Locust's users and shape: a plan of `plan.py`, every answer read and checked.

`locust -f loadtests/locustfile.py --headless --host http://127.0.0.1:3000 --plan smoke`;
`python -m loadtests.session` starts the service too, and keeps books on it. Rows are those of
`--rows` (export_rows.py writes them, with scores), else drawn from `/v1/model`.
"""

from __future__ import annotations

import json
import random
import time
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import gevent
from locust import LoadTestShape, User, events, task
from locust.env import Environment

from loadtests.peers.catalogue import BY_NAME
from loadtests.traffic import answer, openloop, plan, rows
from loadtests.traffic.client import Broken, Client
from loadtests.traffic.pace import Pace
from loadtests.traffic.recorder import Recorder
from loadtests.traffic.rows import Sample

_DRAWN_ROWS = 2000
# How often a user looks for a schedule when there is none.
_IDLE_SECONDS = 0.01
# Users a second: all at once. How fast they come is the plan's stages, not Locust's ramp.
_SPAWN_RATE = 10_000.0

# While one user looks at the clock, gevent reads answers every 5 ms only, as it comes: half of
# that would be in every latency. A tenth of a millisecond is what an answer may lie unread.
gevent.setswitchinterval(0.0001)

PACE = Pace()
RECORDER = Recorder()


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # Locust has no types for it
def add_options(parser: ArgumentParser) -> None:
    """Add what a plan needs to Locust's own options."""
    parser.add_argument("--plan", choices=plan.PLANS, default="smoke")
    parser.add_argument("--scale", type=float, default=1.0, help="stretches every stage")
    parser.add_argument("--server", choices=BY_NAME, default="tabserve", help="who is asked")
    parser.add_argument("--rows", default="", help="JSON lines of export_rows.py")
    parser.add_argument("--batch-rows", type=int, default=100, help="rows of a batch request")
    parser.add_argument("--seed", type=int, default=1, help="of drawn rows and arrivals")
    parser.add_argument("--outcome", default="", help="file for what happened, as JSON")


@events.test_start.add_listener  # type: ignore[untyped-decorator]  # Locust has no types for it
def prepare(environment: Environment, **_: Any) -> None:
    """Read or draw the rows, and write all bodies before the first is sent."""
    # Which task a mixed user does next is drawn from here.
    random.seed(environment.parsed_options.seed)  # type: ignore[union-attr]  # ours are there
    Caller.load = Load(environment)


@events.quitting.add_listener  # type: ignore[untyped-decorator]  # Locust has no types for it
def write(environment: Environment, **_: Any) -> None:
    """Write what happened."""
    RECORDER.end(PACE.stop(), PACE.late)
    path = environment.parsed_options.outcome  # type: ignore[union-attr]  # as above
    if path:
        Path(path).write_text(json.dumps([asdict(p) for p in RECORDER.passages], indent=1))


class Load:
    """The rows, as bodies for the server asked."""

    def __init__(self, environment: Environment) -> None:
        options: Any = environment.parsed_options
        self.port = urlsplit(environment.host or "").port or 80
        self.peer = BY_NAME[options.server]
        samples = rows.read(Path(options.rows)) if options.rows else self._draw(options.seed)
        self.singles = cycle([([sample], self._body([sample])) for sample in samples])
        source = cycle(samples)
        # Some dozens, so that no batch is in a cache from the last time.
        batches = [list(islice(source, options.batch_rows)) for _ in range(50)]
        self.batches = cycle(
            [(batch, self._batch_body(batch)) for batch in batches] if self.peer.batch_body else []
        )
        # A name that no model has: which values one refuses depends on the model.
        self.mistake = json.dumps({**samples[0].row, "no such feature": 1}).encode()

    def _draw(self, seed: int) -> list[Sample]:
        model = json.loads(Client(self.port).send("GET", "/v1/model").body)
        return rows.draw(model, _DRAWN_ROWS, seed)

    def _body(self, batch: list[Sample]) -> bytes:
        return json.dumps(self.peer.body([sample.row for sample in batch], {})).encode()

    def _batch_body(self, batch: list[Sample]) -> bytes:
        write = self.peer.batch_body or self.peer.body
        return json.dumps(write([sample.row for sample in batch], {})).encode()


class Caller(User):
    """One client with one connection: waits for its time, sends, checks, records."""

    abstract = True
    load: Load

    def on_start(self) -> None:
        """Make the client; it connects with its first request."""
        self.client = Client(self.load.port)

    def on_stop(self) -> None:
        """Close the connection."""
        self.client.close()

    def call(self, request: str, send: Callable[[], None]) -> None:
        """Send at the next time of the pace; latency counts from then."""
        began = PACE.wait()
        if began is None:
            time.sleep(_IDLE_SECONDS)
            return
        failure: answer.Wrong | Broken | None = None
        try:
            send()
        except (answer.Wrong, Broken) as error:
            failure = error
        ended = perf_counter()
        RECORDER.add(request, began, ended, str(failure) if failure else None)
        self.environment.events.request.fire(
            request_type="HTTP",
            name=request,
            response_time=(ended - began) * 1e3,
            response_length=0,
            exception=failure,
            context={},
        )

    def send_row(self) -> None:
        """Ask for one row's score."""
        samples, body = next(self.load.singles)
        reply = self.client.send("POST", self.load.peer.path, body)
        is_ours = self.load.peer.name == "tabserve"
        scores_of = answer.require_prediction if is_ours else self.load.peer.scores
        if scores_of is not None:
            answer.require_scores(reply, samples, scores_of)

    def send_batch(self) -> None:
        """Ask for the scores of many rows."""
        samples, body = next(self.load.batches)
        reply = self.client.send("POST", self.load.peer.batch_path, body)
        is_ours = self.load.peer.name == "tabserve"
        scores_of = answer.require_predictions if is_ours else self.load.peer.batch_scores
        if scores_of is not None:
            answer.require_scores(reply, samples, scores_of)

    def send_mistake(self) -> None:
        """Send a name that is unknown: that must be said, and cost nobody else anything."""
        reply = self.client.send("POST", self.load.peer.path, self.load.mistake)
        answer.require_problem(reply, 422)

    def send_question(self) -> None:
        """Ask what is served."""
        reply = self.client.send("GET", "/v1/model")
        if reply.status != 200:
            raise answer.Wrong(f"status {reply.status}")


class PredictUser(Caller):
    """Asks for one row after the other."""

    @task
    def predict(self) -> None:
        """Ask for one row's score."""
        self.call("predict", self.send_row)


class BatchUser(Caller):
    """Asks for many rows at a time."""

    @task
    def batch(self) -> None:
        """Ask for the scores of many rows."""
        self.call("batch", self.send_batch)


class MixedUser(Caller):
    """All that clients do: mostly single rows, some batches, a mistake, a question."""

    @task(88)
    def predict(self) -> None:
        """Ask for one row's score."""
        self.call("predict", self.send_row)

    @task(8)
    def batch(self) -> None:
        """Ask for the scores of many rows."""
        self.call("batch", self.send_batch)

    @task(3)
    def mistake(self) -> None:
        """Send a row with a name that is unknown."""
        self.call("mistake", self.send_mistake)

    @task(1)
    def model(self) -> None:
        """Ask what is served."""
        self.call("model", self.send_question)


_USERS: dict[plan.Kind, type[User]] = {
    "predict": PredictUser,
    "batch": BatchUser,
    "mixed": MixedUser,
}


class PlanShape(LoadTestShape):
    """Takes the run through its plan."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the same
        self._course: plan.Course | None = None
        self._stage: plan.Stage | None = None
        self._seed = 0

    def tick(self) -> tuple[int, float, list[type[User]] | None] | None:
        """Give Locust the users of this moment; None ends the run."""
        if self._course is None:
            assert self.runner is not None  # noqa: S101  # Locust sets it before the first tick
            options: Any = self.runner.environment.parsed_options
            self._course = plan.Course(plan.PLANS[options.plan], options.scale)
            self._seed = options.seed
        # The stage that runs has no numbers yet: it is ended first where it is over.
        if self._course.is_over(perf_counter()):
            RECORDER.end(PACE.stop(), PACE.late)
        stage = self._course.move(perf_counter(), RECORDER.peak)
        if stage is None:
            return None
        if stage is not self._stage:
            self._stage = stage
            # Longer than the stage: it is the stage that ends the schedule.
            times = openloop.randomly(stage.rate, stage.seconds + 60, self._seed)
            PACE.start(times if stage.is_open else None)
            if stage.users:
                RECORDER.begin(stage)
        return stage.users, _SPAWN_RATE, [_USERS[stage.kind]]
