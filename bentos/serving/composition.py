"""How a worker fits into BentoML: its app before BentoML's, and calls without HTTP.

Another service on the same host calls ours as methods (`bentoml.depends`): those calls
bring plain values and take the same way as requests from inference on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import bentoml
import msgspec

from bentos.errors import Problem
from bentos.ids import new_id
from bentos.model.json_rows import instances_of
from bentos.model.validation import JsonObject
from bentos.protocols import v1
from bentos.protocols.explain import Wish
from bentos.protocols.protocol import Call, Reply, Rows
from bentos.serving.app import FrontApp
from bentos.serving.connections.protocol import install
from bentos.serving.http import App
from bentos.serving.worker import Worker

_CALL = Call(b"")


async def score_value(worker: Worker, row: object) -> dict[str, Any]:
    """Score one row given as plain values. Raises Problem, TimeoutError."""
    model = worker.readiness.require()
    encoded, faults = model.reader.validate(row)
    encode = partial(v1.encode_row, model, _CALL)
    return _plain(await worker.pipeline.score(model, Rows((encoded,), (faults,)), encode, new_id()))


async def explain_value(worker: Worker, row: object) -> dict[str, Any]:
    """Score and explain one row given as plain values. Raises Problem, TimeoutError."""
    model = worker.readiness.require()
    encoded, faults = model.reader.validate(row)
    encode = partial(v1.encode_row, model, _CALL)
    rows = Rows((encoded,), (faults,))
    return _plain(await worker.pipeline.score(model, rows, encode, new_id(), Wish()))


async def score_values(worker: Worker, instances: list[Any]) -> dict[str, Any]:
    """Score many rows given as plain values. Raises Problem, TimeoutError."""
    model = worker.readiness.require()
    rows, faults = model.reader.validate_instances(
        instances_of(JsonObject(instances=instances), worker.settings.max_rows)
    )
    encode = partial(v1.encode_batch, model, _CALL)
    return _plain(
        await worker.pipeline.score(
            model, Rows(rows, faults, pointer="/instances"), encode, new_id()
        )
    )


async def record_values(worker: Worker, outcomes: list[Any]) -> dict[str, Any]:
    """Record outcomes given as plain values. Raises Problem."""
    return _plain(await worker.feedback.record_values(outcomes, new_id()))


@contextlib.contextmanager
def as_service_error() -> Iterator[None]:
    """Raise a problem as BentoML's kind of error."""
    try:
        yield
    except Problem as problem:
        document = v1.encode_problem(problem, new_id()).body.decode()
        raise bentoml.exceptions.BentoMLException(document, error_code=problem.status) from None


def behind(worker: Worker) -> type[bentoml.Service[Any]]:
    """Make the class of a BentoML service whose app stands behind the routes of `worker`."""

    class FrontedService(bentoml.Service[Any]):  # type: ignore[misc]  # untyped at run time
        def to_asgi(self, is_main: bool = True) -> App:
            """Make the app that a worker process runs."""
            install()
            return FrontApp(super().to_asgi(is_main), worker)

    return FrontedService


def _plain(reply: Reply) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(reply.body)
    return plain
